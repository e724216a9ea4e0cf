/* Blocking access to an image that is open.
 *
 * Header work (unlock, format, info) reads and writes the backend through these functions,
 * which run the same layers as the server on a private loop: one way to the data. */
#ifndef NBDCRYPT_IMAGE_IO_H
#define NBDCRYPT_IMAGE_IO_H

#include "server/block/layer.h"

/* Blocking access to the stage that image_open() gave (or to any other), from one thread. */
struct image_io;
NODISCARD int image_io_create(struct image_io **out, struct stage *stage, struct error *err);
void image_io_destroy(struct image_io *io);

/* 0, or -errno with a message that names offset and cause.  Any offset and length inside the
 * stage's size. */
NODISCARD int image_io_read(struct image_io *io, uint64_t offset_bytes, void *data,
                            size_t length_bytes, struct error *err);
/* The same; -EROFS: nothing there can be written. */
NODISCARD int image_io_write(struct image_io *io, uint64_t offset_bytes, const void *data,
                             size_t length_bytes, struct error *err);
/* What there is from an offset on: at least one extent, and as many as `out` has room for, which
 * need not reach to the end.  Of a stage that lists EXTENTS. */
NODISCARD int image_io_extents(struct image_io *io, struct extent_list *out, uint64_t offset_bytes,
                               uint64_t length_bytes, struct error *err);
/* Where there is no FLUSH, writes were durable if they could be (FUA), and nothing is done. */
NODISCARD int image_io_flush(struct image_io *io, struct error *err);
/* The same on a loop of the caller, which is not running: there is nothing left that could be
 * lacking. */
NODISCARD int image_io_flush_on(struct stage *stage, struct loop *loop, struct error *err);

#endif
