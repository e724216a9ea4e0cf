/* The header of a chunk, structured or extended, in front of what a fragment brings. */
#ifndef NBDCRYPT_CHUNK_HEAD_H
#define NBDCRYPT_CHUNK_HEAD_H

#include "server/connection/nbd-command.h"

static inline struct nbd_chunk chunk_head_of(const struct fragment *fragment, uint16_t type,
                                             bool done, uint32_t length_bytes)
{
    return (struct nbd_chunk){
        .flags = done ? NBD_REPLY_FLAG_DONE : 0,
        .type = type,
        .cookie = fragment->command->request.cookie,
        .length_bytes = length_bytes,
    };
}

/* `length_bytes`: of all that is behind the header. */
static inline void chunk_head_put(struct fragment *fragment, bool extended, uint16_t type,
                                  bool done, uint32_t length_bytes)
{
    struct nbd_chunk chunk = chunk_head_of(fragment, type, done, length_bytes);

    if (__builtin_expect(extended, false)) {
        nbd_encode_extended_chunk(fragment->head, &chunk, fragment->command->request.offset_bytes);
        fragment->head_bytes = NBD_EXTENDED_CHUNK_HEADER_BYTES;
    } else {
        nbd_encode_chunk(fragment->head, &chunk);
        fragment->head_bytes = NBD_CHUNK_HEADER_BYTES;
    }
}

#endif
