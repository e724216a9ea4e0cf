/* The options of the handshake: a table with one handler for each, and the replies they write.
 *
 * No I/O here: handshake.c brings the payload of an option and sends what the handler put into
 * `reply`.  A handler is called once per option; LIST is called again while it has more. */
#ifndef NBDCRYPT_HANDSHAKE_OPTIONS_H
#define NBDCRYPT_HANDSHAKE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/nbd/nbd-wire.h"

struct conversation;
struct export;

/* The longest single answer: an export with a name and a description of 4096 bytes each. */
#define OPTION_REPLIES_BYTES_MAX 12288u

/* What follows when the replies, if any, have been sent. */
enum option_outcome {
    OPTION_NEXT,         /* the client may send another option */
    OPTION_MORE,         /* the same handler is called again: its answer is longer than the room */
    OPTION_TLS,          /* from here on it is TLS; the client may send another option under it */
    OPTION_TRANSMISSION, /* talk->export is set */
    OPTION_CLOSE,
    OPTION_DROP, /* nothing is sent: the protocol knows no reply here */
};

struct option_exchange {
    struct conversation *talk;
    bool no_zeroes; /* the client agreed to go without the 124 zero bytes */

    uint32_t option;
    struct nbd_cursor payload; /* what is left of it */
    size_t list_next;          /* LIST: the next export; 0 at the first call */
    uint64_t list_version;     /* ... of this set */
    uint64_t list_last;        /* ... the id of the last one that was named */

    uint8_t reply[OPTION_REPLIES_BYTES_MAX];
    size_t reply_bytes;
};

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

/* Puts an error reply with a sentence for the person at the client, at most 1023 bytes of it,
 * and logs it with the peer's name. */
void option_refuse(struct option_exchange *ex, uint32_t type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What EXPORT_NAME, INFO and GO tell of an export to this client.
 * Source: proto.md, "Transmission flags". */
uint16_t handshake_transmission_flags(const struct export *ex, bool structured_replies);

#endif
