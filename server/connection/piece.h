/* The arithmetic of pieces: how a command is cut into fragments, and what buffer each needs. Part
 * of the path of each request, so it is inline. */
#ifndef NBDCRYPT_PIECE_H
#define NBDCRYPT_PIECE_H

#include "server/connection/nbd-command.h"
#include "server/block/layer.h"

#define PIECE_EXTENTS_BYTES 65536u /* the buffer of a BLOCK_STATUS, or of a part of its reply */

/* The next piece of a command, and the buffer that it needs. */
struct piece {
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint32_t buffer_bytes; /* 0: none */
    uint32_t data_at;      /* where in the buffer the data lies */
};

/* Such a buffer, with nothing in it. */
static inline struct extent_list *piece_extents(uint8_t *data)
{
    struct extent_list *list = (struct extent_list *)(void *)data;

    extent_list_clear(list);
    list->capacity = (PIECE_EXTENTS_BYTES - sizeof *list) / sizeof list->extents[0];
    return list;
}

static inline uint32_t piece_smaller(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

static inline uint32_t piece_round_up(uint32_t length_bytes, uint32_t phase)
{
    return (length_bytes + phase - 1) & ~(phase - 1);
}

/* A piece with data: it begins at its phase, so that what the align layer widens it to is
 * contiguous; a write that must be widened has two scratch blocks behind it. */
static inline struct piece piece_of_data(uint64_t offset_bytes, uint64_t left_bytes, uint32_t phase,
                                         bool writes)
{
    uint32_t skip = offset_in_block(offset_bytes, phase);
    uint32_t length_bytes = piece_smaller(left_bytes, BUFFER_BYTES_MAX - skip);
    uint32_t scratch = 0;

    if (writes && (offset_in_block(skip + length_bytes, phase) | skip) != 0) {
        /* All but the last piece end on a block. */
        length_bytes = piece_smaller(left_bytes, BUFFER_BYTES_MAX / 2 - skip);
        scratch = 2 * phase;
    }
    return (struct piece){
        .offset_bytes = offset_bytes,
        .length_bytes = length_bytes,
        .buffer_bytes = piece_round_up(skip + length_bytes, phase) + scratch,
        .data_at = skip,
    };
}

/* Of a piece without data.  One that is cut ends on a multiple, so that storage can give back the
 * blocks on both sides of the cut. */
static inline uint64_t piece_without_data(uint64_t offset_bytes, uint64_t left_bytes)
{
    return left_bytes > REQUEST_BYTES_MAX ? REQUEST_BYTES_MAX - offset_bytes % REQUEST_BYTES_MAX
                                          : left_bytes;
}

/* Zeros that need no data: only a first and last part of a block do. */
static inline struct piece piece_of_zeros(uint64_t offset_bytes, uint64_t left_bytes,
                                          uint32_t phase)
{
    uint32_t skip = offset_in_block(offset_bytes, phase);

    if (skip > 0)
        return piece_of_data(offset_bytes, piece_smaller(left_bytes, phase - skip), phase, true);
    if (left_bytes < phase)
        return piece_of_data(offset_bytes, left_bytes, phase, true);
    left_bytes = piece_without_data(offset_bytes, left_bytes);
    return (struct piece){ .offset_bytes = offset_bytes,
                           .length_bytes = left_bytes - offset_in_block(left_bytes, phase) };
}

/* What of the command is issued next. */
static inline struct piece piece_next(const struct limits *limits, const struct command *command)
{
    uint64_t offset_bytes = command->request.offset_bytes + command->issued_bytes;
    uint64_t left_bytes = command->request.length_bytes - command->issued_bytes;

    switch (command->op) {
    case REQUEST_READ:
        return piece_of_data(offset_bytes, left_bytes, limits->phase_bytes, false);
    case REQUEST_WRITE:
        return piece_of_data(offset_bytes, left_bytes, limits->phase_bytes, true);
    case REQUEST_ZERO:
        if (limits->zero_needs_data)
            return piece_of_data(offset_bytes, left_bytes, limits->phase_bytes, true);
        return piece_of_zeros(offset_bytes, left_bytes, limits->phase_bytes);
    case REQUEST_EXTENTS:
        return (struct piece){ .offset_bytes = offset_bytes,
                               .length_bytes = left_bytes,
                               .buffer_bytes = PIECE_EXTENTS_BYTES };
    case REQUEST_FLUSH:
    case REQUEST_TRIM:
    case REQUEST_CACHE:
    case REQUEST_OP_COUNT:
        break;
    }
    return (struct piece){ .offset_bytes = offset_bytes,
                           .length_bytes = piece_without_data(offset_bytes, left_bytes) };
}

#endif
