/* The handshake, seen from the client: from the greeting to the transmission phase, blocking.
 * Source: NetworkBlockDevice/nbd doc/proto.md, "Handshake phase" (fixed newstyle). */
#ifndef NBDCRYPT_CLIENT_HANDSHAKE_H
#define NBDCRYPT_CLIENT_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/error.h"

/* What the server says of an export. */
struct export_info {
    uint64_t size_bytes;
    uint16_t flags; /* NBD_FLAG_* of the transmission phase */
    uint32_t block_min_bytes, block_max_bytes; /* of requests; 1 and 32 MiB if it does not say */
    bool structured_replies;
};

/* Asks for the export `name` on a connected socket, and for structured replies if wanted; a
 * server that has none of them is used without.  -errno with a sentence: the server refuses,
 * closes the connection, does not answer in time, or does not speak the protocol. */
NODISCARD int client_handshake(struct export_info *out, int fd, const char *name,
                               bool want_structured, struct error *err);

#endif
