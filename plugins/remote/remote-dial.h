/* Connecting to a remote NBD server: blocks, on a thread that may, and says what the export can.
 *
 * What a server says is input from a stranger: sizes and block sizes that nobody could serve are
 * refused here.  The URI was written by the user; still it can only connect to TCP and Unix
 * sockets, runs nothing, and names no file but the socket. */
#ifndef NBDCRYPT_REMOTE_DIAL_H
#define NBDCRYPT_REMOTE_DIAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/block/meta-contexts.h"
#include "server/client/channel.h"
#include "server/base/error.h"

struct tls_client;

struct remote_address {
    char *uri;              /* see server/nbd/nbd-uri.h; with nothing but "socket" behind '?' */
    char *tls_certificates; /* folder; NULL: none */
    char *tls_psk_file;     /* NULL: none */
    struct meta_contexts contexts; /* that are asked for besides base:allocation */
};

/* What it was agreed to speak. */
struct remote_terms {
    bool structured_replies, extended_headers;
    bool status_payload; /* BLOCK_STATUS may name a context */
    struct meta_context_ids contexts;
    const char
        *contexts_refusal; /* why there is none of those in the address; NULL: there may be */
};

/* A connection with the handshake behind it. */
struct remote_connection {
    int fd;                 /* -1: there is none */
    struct tls_client *tls; /* NULL: in the clear */
    struct remote_terms terms;
};

/* What the server said about the export. */
struct remote_features {
    uint64_t size_bytes;
    uint32_t block_min_bytes;       /* a power of two up to 65,536 */
    uint32_t block_preferred_bytes; /* a power of two, at least 512 and block_min_bytes */
    uint32_t payload_max_bytes;     /* of one READ or WRITE; a multiple of block_min_bytes */
    bool read_only, rotational, multi_conn;
    bool flush, fua, trim, zero, fast_zero, cache, extents;
};

/* -ENOMEM; then remote_address_clear() is for the copy, too. */
NODISCARD int remote_address_copy(struct remote_address *to, const struct remote_address *from);
void remote_address_clear(struct remote_address *address);

/* What a server lists, of which some may be too much to be kept. */
struct remote_listed {
    struct meta_contexts contexts;
    unsigned left_out;
};

/* Connects.  `listed` (may be NULL): the server is asked which metadata contexts it has, which go
 * there and are asked for; address->contexts are not then.  `deadline_ms` from now; ends early once
 * *stop is true.  -errno with a message: nobody answers, it is no NBD server, there is no such
 * export, its certificate is not the host's, ... */
NODISCARD int remote_dial(struct remote_connection *out, struct remote_features *features,
                          struct remote_listed *listed, const struct remote_address *address,
                          unsigned deadline_ms, const atomic_bool *stop, struct error *err);
/* Closes what there is. */
void remote_connection_close(struct remote_connection *connection);

/* Whether a server that was found again serves what it did before; if not, -EMEDIUMTYPE and in
 * which way it differs. */
NODISCARD int remote_features_check(const struct remote_features *before,
                                    const struct remote_features *now, struct error *err);

#endif
