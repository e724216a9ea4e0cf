/* Takes the replies of a remote NBD server apart: simple and structured ones.
 *
 * The stream is received in parts of a length that is known; each tells what the next one is.  Data
 * goes straight into the buffer of its request, extents into its list.  Source:
 * NetworkBlockDevice/nbd doc/proto.md, "Simple reply message" to "Structured reply types". */
#ifndef NBDCRYPT_REMOTE_REPLIES_H
#define NBDCRYPT_REMOTE_REPLIES_H

#include "plugins/remote/remote-command.h"

#define REMOTE_ERROR_CHUNKS_MAX 16u                    /* in the reply to one command */
#define REMOTE_SMALL_BYTES (NBD_STRING_BYTES_MAX + 8u) /* the text of an error, and an offset */

enum remote_part_kind {
    REMOTE_HEADER,       /* what simple replies and chunks have in common: the first 16 bytes */
    REMOTE_CHUNK_HEADER, /* the rest of a chunk's */
    REMOTE_SIMPLE_DATA,
    REMOTE_DATA_OFFSET,
    REMOTE_DATA,
    REMOTE_HOLE,
    REMOTE_CONTEXT, /* the number of a meta context */
    REMOTE_EXTENTS,
    REMOTE_ERROR,      /* its number, and the length of its text */
    REMOTE_ERROR_TEXT, /* and what is behind that */
};

/* What is received next. */
struct remote_part {
    enum remote_part_kind kind;
    uint8_t *data;
    uint32_t length_bytes; /* 0: nothing has to be received for it */
};

struct remote_replies;

struct remote_replies_owner {
    /* All of the reply to a command has come. */
    void (*answered)(struct remote_replies *replies, struct remote_slot *slot);
    /* What the server says about an error: `text_bytes` that may be anything. */
    void (*complaint)(struct remote_replies *replies, const struct remote_slot *slot,
                      const uint8_t *text, uint32_t text_bytes);
};

struct remote_replies {
    const struct remote_replies_owner *owner;
    struct remote_slot *slots;
    unsigned slot_count;
    struct remote_terms terms;

    struct remote_part part;
    struct nbd_chunk chunk;   /* the one that is being received */
    struct remote_slot *slot; /* whose reply that is */
    uint32_t left_bytes;      /* of the chunk's payload, behind the part */
    uint64_t unlisted_bytes;  /* of the range whose extents come; 0: the rest is of no interest */
    uint16_t text_bytes;      /* of an error */
    uint8_t small[REMOTE_SMALL_BYTES]; /* parts that go nowhere else */
};

void remote_replies_init(struct remote_replies *replies, const struct remote_replies_owner *owner,
                         struct remote_slot *slots, unsigned slot_count);
/* A new connection: the first part is wanted. */
void remote_replies_begin(struct remote_replies *replies,
                          const struct remote_connection *connection);
/* The part has been filled: deals with it, tells the owner, and says what the next one is.  NULL,
 * or which rule of the protocol the server has broken. */
NODISCARD const char *remote_replies_take(struct remote_replies *replies);

#endif
