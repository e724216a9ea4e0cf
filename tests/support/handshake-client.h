/* The other end of a handshake, on the fake loop: a server with a few exports, one connection,
 * and a client that says what the test wants.
 *
 * It stands in for connection.c: the end of the handshake is recorded.  The exports are those of a
 * table that the test fills. */
#ifndef NBDCRYPT_HANDSHAKE_CLIENT_H
#define NBDCRYPT_HANDSHAKE_CLIENT_H

#include "server/connection/conversation.h"
#include "server/connection/handshake.h"
#include "server/connection/handshake-options.h"
#include "server/export/export.h"
#include "server/connection/worker.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

#define CLIENT_FLAGS_ALL (NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES)

struct client {
    struct loop *loop;
    int fd;
    struct worker worker;
    struct export_set *set;
    struct conversation talk;
    struct handshake *handshake; /* NULL once it has ended */
    struct io_event ended;
    unsigned ends;                /* how often the handshake has ended: at most once */
    enum handshake_result result; /* of the end */
};

struct reply {
    uint32_t type;
    uint32_t length_bytes;
    uint8_t data[16384];
};

/* The exports of client_open(): three, none of them the default. */
extern struct export client_exports[3];

/* What makes up an option's payload. */
struct payload {
    size_t length_bytes;
    uint8_t data[65536];
};
void payload_u16(struct payload *payload, unsigned value);
void payload_u32(struct payload *payload, size_t value);
void payload_bytes(struct payload *payload, const void *data, size_t length_bytes);
/* Length and text. */
void payload_string(struct payload *payload, const char *text);

/* Accepts the connection and has the handshake start; nothing has run yet. */
void client_open(struct client *client);
void client_open_with(struct client *client, struct export *exports, size_t count);
/* The n-th operation will fail; the greeting is the first one. */
void client_open_failing(struct client *client, unsigned nth, int error);
/* Closes what is left; nothing may be in flight, nothing unread. */
void client_close(struct client *client);
/* Breaks the connection, whatever is unread, and closes. */
void client_break(struct client *client);

/* Takes the greeting, sends the flags. */
void client_greet(struct client *client, uint32_t flags);
/* client_open(), client_greet() as most clients do it. */
void client_start(struct client *client);

/* Puts an option on the wire; nothing runs. */
void client_send(struct client *client, uint32_t option, const void *data, size_t length_bytes);
/* Puts it on the wire and has it answered. */
void client_option(struct client *client, uint32_t option, const struct payload *payload);
void client_option_empty(struct client *client, uint32_t option);
/* INFO or GO with information requests that end with -1. */
void client_info(struct client *client, uint32_t option, const char *name, const int *infos);
/* LIST_META_CONTEXT or SET_META_CONTEXT with queries that end with NULL. */
void client_contexts(struct client *client, uint32_t option, const char *name,
                     const char *const *queries);

/* Takes one reply, which must be there.  What holds for every reply is checked here: the magic,
 * the option, a sentence in valid UTF-8 of at most 4096 bytes in every error, and never
 * ERR_TLS_REQD. */
void client_take(struct client *client, uint32_t option, struct reply *reply);
/* Takes a reply of this type. */
void client_expect(struct client *client, uint32_t option, uint32_t type);
/* The only reply there is, without data if it is an ACK. */
void client_expect_only(struct client *client, uint32_t option, uint32_t type);
/* Nothing is there to take, and the handshake goes on. */
void client_expect_silence(struct client *client);
void client_expect_end(struct client *client, enum handshake_result result);

#endif
