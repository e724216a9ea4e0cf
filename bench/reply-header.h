/* The head of what a server sends in the transmission phase: simple replies, and the chunks of
 * structured ones and of those with extended headers (NetworkBlockDevice/nbd doc/proto.md).  Pure
 * decoding, no I/O. */
#ifndef NBDCRYPT_REPLY_HEADER_H
#define NBDCRYPT_REPLY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_HEADER_BYTES_MAX 44u /* of any kind, as far as it is decoded here */
#define REPLY_MALFORMED (-1)
#define REPLY_INCOMPLETE 0

struct reply_header {
    uint64_t cookie;
    bool simple;    /* if it is without error and answers a READ, the data follows */
    bool done;      /* nothing more comes for this request */
    uint32_t error; /* NBD_E*, 0: none */
    bool has_data;  /* data_bytes follow, which belong to data_offset_bytes */
    bool has_hole;  /* hole_bytes of zeros belong to data_offset_bytes; nothing follows */
    uint64_t data_offset_bytes;
    uint32_t data_bytes, hole_bytes;
    uint32_t text_bytes; /* follow and can be skipped: the server's words on an error */
};

/* What is at `in`: the number of bytes that the header has, REPLY_INCOMPLETE if more than
 * `available_bytes` are needed to tell, or REPLY_MALFORMED. */
int reply_header_decode(struct reply_header *out, const uint8_t *in, size_t available_bytes);

/* Of what REPLY_INCOMPLETE was said: how many bytes, at least 1, must follow in every case. */
uint32_t reply_header_missing_bytes(const uint8_t *in, uint32_t available_bytes);

/* NBD_E* as words: "EIO (input/output error)". */
const char *reply_error_text(uint32_t error);

#endif
