/* A backend under the test's control: a disk in memory, on which any request can be held back,
 * completed out of order, or made to fail. */
#ifndef NBDCRYPT_FAKE_BACKEND_H
#define NBDCRYPT_FAKE_BACKEND_H

#include "server/block/layer.h"

#define FAKE_BACKEND_HELD_MAX 256u

#define FAKE_CONTEXT_FLAGS 0x1000u /* so many times the number of a context are in its flags */

struct fake_backend {
    struct stage stage;
    struct layer layer; /* the only one */
    uint8_t *disk;
    unsigned seen;    /* requests so far */
    unsigned fail_at; /* this one fails (1 is the first); 0: none */
    int fail_error;
    bool hold;                                   /* keep requests until fake_backend_release() */
    struct request *held[FAKE_BACKEND_HELD_MAX]; /* in order of arrival */
    unsigned held_count;
    uint32_t extent_bytes; /* EXTENTS answers pieces of this size, data and holes in turn */
    uint32_t extents_max;  /* ... and so many of them at most; 0: all */
};

/* block_min_bytes as given, all operations, native FUA.  The disk begins as a private copy of the
 * file `image_fd`, which has its size, and without one (-1) as zeros: only what is used of it costs
 * anything.  Closing the stage frees the disk, not `fake`. */
void fake_backend_init(struct fake_backend *fake, uint64_t size_bytes, uint32_t block_min_bytes,
                       int image_fd);
/* Carries out and completes the held request number `index` (0 is the oldest). */
void fake_backend_release(struct fake_backend *fake, unsigned index);
/* All that are held, oldest first, and those that come meanwhile; then no longer holds. */
void fake_backend_release_all(struct fake_backend *fake);

#endif
