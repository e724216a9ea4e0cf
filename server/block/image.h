/* IMAGE as the user wrote it, and blocking access to what it names.
 *
 *     PATH    file:PATH    memory:SIZE    (and what other plugins add)    [?key=value&...]
 *
 * With ?partition=N or ?offset=BYTES&size=BYTES it is that part of it (see image-window.h).
 *
 * Header work (unlock, format, info) reads and writes the backend through these functions,
 * which run the same layers as the server on a private loop: one way to the data. */
#ifndef NBDCRYPT_IMAGE_H
#define NBDCRYPT_IMAGE_H

#include "server/block/layer.h"

/* Opens the backend that `spec` names; blocks.  The message names the image. */
NODISCARD int image_open(struct stage **out, const char *spec, const struct image_options *options,
                         struct error *err);

/* Does it name a part of something that is there, or nothing that can be opened? */
bool image_names_a_part(const char *spec);
/* Whether the backend that `spec` names wants its images to be opened by one thread, in order. */
bool image_opens_in_order(const char *spec);

/* The one who serves this image needs its LUKS header no more: the keys in it may be changed by
 * others from now on.  Of a stage that image_open() gave; where there are no such locks, nothing
 * happens. */
void image_header_was_read(struct stage *stage);

/* Before something that has to last is written: a warning where nothing can be made durable,
 * neither by FLUSH nor by FUA. */
void image_warn_if_volatile(const struct stage *stage, const char *spec);

/* Blocking access to the stage that image_open() gave (or to any other), from one thread. */
struct image_io;
NODISCARD int image_io_create(struct image_io **out, struct stage *stage, struct error *err);
void image_io_destroy(struct image_io *io);

/* 0, or -errno with a message that names offset and cause.  Any offset and length inside the
 * stage's size. */
NODISCARD int image_read(struct image_io *io, uint64_t offset_bytes, void *data,
                         size_t length_bytes, struct error *err);
NODISCARD int image_write(struct image_io *io, uint64_t offset_bytes, const void *data,
                          size_t length_bytes, struct error *err);
/* Where there is no FLUSH, writes were durable if they could be (FUA), and nothing is done. */
NODISCARD int image_flush(struct image_io *io, struct error *err);
/* The same on a loop of the caller, which is not running: there is nothing left that could be
 * lacking. */
NODISCARD int image_flush_on(struct stage *stage, struct loop *loop, struct error *err);

#endif
