/* One connection of the load generator, in the transmission phase: keeps `depth` requests in
 * flight for as long as its owner has some, on the loop of one thread.
 *
 * What makes it light: all requests that are ready leave in one sendmsg, one recvmsg takes as many
 * replies as have come, and payloads that nobody wants to see land in one small piece of memory
 * that stays in the cache.  Data of writes that nobody verifies is sent from there too.
 *
 * In the clear it works on the socket itself; under TLS a transport is between. */
#ifndef NBDCRYPT_BENCH_CLIENT_H
#define NBDCRYPT_BENCH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/scratch.h"
#include "server/base/error.h"
#include "server/loop/loop.h"

#define BENCH_CLIENT_DEPTH_MAX 4096u

struct bench_client;
struct tls_client;

struct client_request {
    uint16_t command; /* enum nbd_command */
    uint32_t length_bytes;
    uint64_t offset_bytes;
    uint8_t *data; /* what is sent or was received; NULL unless `keep_data` is set */

    /* The owner's; the client only stores them. */
    uint64_t start_ns;
    uint64_t write_number;
    bool counted;
};

enum client_next {
    CLIENT_REQUEST, /* here is one */
    CLIENT_LATER,   /* none now: ask again when one has been completed, or in a moment */
    CLIENT_END,     /* no more */
};

/* What the owner does; all are called on the loop's thread. */
struct client_owner_ops {
    /* Requests leave (or their replies have come) at about this time: called once for many. */
    void (*batch)(void *owner);
    /* Fills the next request; `data` is set already and has room for block_max_bytes. */
    enum client_next (*next)(void *owner, struct client_request *request);
    void (*completed)(void *owner, struct client_request *request);
    /* Nothing is in flight and nothing will be: the client may be detached. `err`, if it is not
     * NULL: it failed, and says why; what was in flight has no answer. */
    void (*ended)(void *owner, const struct error *err);
};

struct bench_client_config {
    int fd;                 /* owned by the client from here on, as is `tls` */
    struct tls_client *tls; /* NULL: in the clear */
    const char *name;       /* of the server, for messages on TLS; the caller's */
    unsigned depth;
    uint32_t block_max_bytes;
    bool extended;  /* headers were agreed on */
    bool keep_data; /* each request has memory of its own */
};

NODISCARD int bench_client_create(struct bench_client **out,
                                  const struct bench_client_config *config, struct error *err);
/* Says good-bye to the server, if the connection is sound, and closes it; it must be detached. */
void bench_client_destroy(struct bench_client *client);

/* Puts the client on a loop and has it begin, in the loop's next batch.  `scratch` is of the
 * loop's thread. */
void bench_client_attach(struct bench_client *client, struct loop *loop, struct scratch *scratch,
                         const struct client_owner_ops *ops, void *owner);
unsigned bench_client_in_flight(const struct bench_client *client);
/* Ends it, with `err` as the reason, as soon as the kernel has given back what it has. */
void bench_client_abort(struct bench_client *client, const struct error *err);
/* After `ended`: takes it off the loop; it can be attached again unless it failed. */
void bench_client_detach(struct bench_client *client);

#endif
