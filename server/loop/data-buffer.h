/* One data buffer: what buffer.h hands out, and the loop reads into and writes from. */
#ifndef NBDCRYPT_DATA_BUFFER_H
#define NBDCRYPT_DATA_BUFFER_H

#include <stdint.h>

struct buffer {
    uint8_t *base;           /* page aligned */
    uint32_t capacity_bytes; /* 4, 16, 64 or 256 KiB */
    int16_t fixed_index;     /* of the registered memory; -1: not registered */
    uint8_t size_class;
    struct piece *piece; /* from which it was cut */
    struct buffer *next_free;
};

#endif
