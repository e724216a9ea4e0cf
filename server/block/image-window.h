/* The part of an image that is meant: "?offset=BYTES&size=BYTES" or "?partition=N" of IMAGE, which
 * every backend has but nbdkit, whose plugins have all names for themselves. */
#ifndef NBDCRYPT_IMAGE_WINDOW_H
#define NBDCRYPT_IMAGE_WINDOW_H

#include "server/block/layer.h"

struct image_window {
    bool given;
    uint64_t offset_bytes;
    uint64_t size_bytes; /* 0: up to the end */
    unsigned partition;  /* 0: none */
};

/* Where the parameters of a window begin in a text whose other question marks belong to a path: its
 * last '?', if one of their names and a '=' are behind it; else NULL. */
char *image_window_question(const char *path);

/* Takes them out of `query` (the text behind '?'), which keeps the others.  -EINVAL: they make no
 * sense. */
NODISCARD int image_window_parse(struct image_window *out, char *query, struct error *err);

/* Where it is in `stage`, which is asked for the partition table; blocks.  -EINVAL: it does not lie
 * inside; -ENXIO: there is no such partition.  The message names those that are there. */
NODISCARD int image_window_find(struct byte_range *out, const struct image_window *window,
                                struct stage *stage, struct error *err);

#endif
