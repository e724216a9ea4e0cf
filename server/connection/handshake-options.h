/* The options of the handshake: a table with one handler for each, and the replies they write.
 *
 * No I/O here: handshake.c brings the payload of an option and sends what the handler put into
 * `reply`.  A handler is called once per option; LIST is called again while it has more. */
#ifndef NBDCRYPT_HANDSHAKE_OPTIONS_H
#define NBDCRYPT_HANDSHAKE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/connection/option-replies.h"

struct conversation;
struct export;

struct option_handler {
    uint32_t option;
    uint32_t payload_bytes_max; /* more is answered without a call */
    bool payload_ignored;       /* whatever its length, it is thrown away unread */
    enum option_outcome (*handle)(struct option_exchange *ex);
};

/* NULL: this server does not have it. */
const struct option_handler *option_handler_find(uint32_t option);

/* The server demands TLS first (proto.md, "TLS", mode FORCEDTLS). */
bool option_needs_tls(const struct conversation *talk, uint32_t option);

/* What EXPORT_NAME, INFO and GO tell of an export to this client.
 * Source: proto.md, "Transmission flags". */
uint16_t handshake_transmission_flags(const struct export *ex, bool structured_replies);

#endif
