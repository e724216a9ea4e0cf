/* An option of the handshake while it is dealt with, and the replies that are written to it. */
#ifndef NBDCRYPT_OPTION_REPLIES_H
#define NBDCRYPT_OPTION_REPLIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/nbd/nbd-wire.h"

#define OPTION_SENTENCE_BYTES 1024u /* of an error */

struct conversation;

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

/* What follows is written behind what is there; the room is enough, as the constant above says. */
uint8_t *option_reply_room(struct option_exchange *ex, size_t length_bytes);
void option_reply_header(struct option_exchange *ex, uint32_t type, size_t length_bytes);
void option_reply_u16(struct option_exchange *ex, uint16_t value);
void option_reply_u32(struct option_exchange *ex, uint32_t value);
void option_reply_u64(struct option_exchange *ex, uint64_t value);
void option_reply_text(struct option_exchange *ex, const char *text, size_t length_bytes);
/* OPTION_NEXT. */
enum option_outcome option_reply_ack(struct option_exchange *ex);
/* The longest prefix of valid UTF-8 within `limit` bytes. */
size_t option_valid_prefix_bytes(const char *text, size_t length_bytes, size_t limit);
/* Without a word in the log; `text` may be cut. */
void option_reply_error(struct option_exchange *ex, uint32_t type, const char *text);
void option_log_refusal(const struct option_exchange *ex, const char *text);
/* Puts an error reply with a sentence for the person at the client, at most 1023 bytes of it,
 * and logs it with the peer's name. */
void option_refuse(struct option_exchange *ex, uint32_t type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ERR_INVALID, for that reason: OPTION_NEXT. */
enum option_outcome option_refuse_invalid(struct option_exchange *ex, const char *why);

#endif
