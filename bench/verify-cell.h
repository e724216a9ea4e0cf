/* A cell: 512 bytes that say where they belong, and which write put them there.
 *
 *      0  magic "NBDCELL1"             8  seed of the run
 *     16  offset of the cell          24  number of the write, from 1
 *     32  offset of the write         40  length of the write, bytes
 *     48  filling, made of the above 504  checksum of all that is before it
 *
 * Integers are little endian.  Pure functions on bytes. */
#ifndef NBDCRYPT_VERIFY_CELL_H
#define NBDCRYPT_VERIFY_CELL_H

#include <stdbool.h>
#include <stdint.h>

#define CELL_BYTES 512u

struct cell_label {
    uint64_t seed;
    uint64_t offset_bytes;
    uint64_t number; /* writes are numbered in order, over all connections of a run */
    uint64_t write_offset_bytes;
    uint64_t write_length_bytes;
};

enum cell_state {
    CELL_GOOD,
    CELL_ALIEN,   /* no magic: nothing that a run has written */
    CELL_DAMAGED, /* the checksum does not fit: a bit was flipped, or a write was torn inside */
};

void cell_encode(uint8_t out[CELL_BYTES], const struct cell_label *label);
/* `label` is filled unless the cell is alien. */
enum cell_state cell_decode(const uint8_t in[CELL_BYTES], struct cell_label *label);
bool cell_is_zero(const uint8_t in[CELL_BYTES]);

#endif
