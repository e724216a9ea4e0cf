/* IMAGE as the user wrote it, and opening what it names.
 *
 *     PATH    file:PATH    memory:SIZE    (and what other plugins add)    [?key=value&...]
 *
 * With ?partition=N or ?offset=BYTES&size=BYTES it is that part of it (see image-window.h).
 * What is behind it is read and written by image-io.h. */
#ifndef NBDCRYPT_IMAGE_H
#define NBDCRYPT_IMAGE_H

#include "server/block/layer.h"

/* The backends that there are; ends with NULL.  Once, at the start: main.c hands over those that
 * are built in. */
void image_set_backends(const struct layer_ops *const *table);

/* Opens the backend that `spec` names; blocks.  The message names the image. */
NODISCARD int image_open(struct stage **out, const char *spec, const struct image_options *options,
                         struct error *err);

/* IMAGE taken apart: for who has to know what opening it will take. */
struct image_name {
    const char *scheme; /* of the backend: "file", "rbd" */
    char *path;         /* what is behind "scheme:", without parameters */
    const char
        *parameters; /* behind the '?', encoded, but for those of a window; in `path` or NULL */
    char *backing;   /* IMAGE of the backing file that was named; NULL: none */
};

/* image_name_free() if it succeeds. */
NODISCARD int image_name_parse(struct image_name *out, const char *spec, struct error *err);
void image_name_free(struct image_name *name);

/* Is it a file whose path begins in the folder that this process happens to stand in? */
bool image_is_relative(const char *spec);
/* What `spec` names, so that two that are the same one can be told. */
struct image_identity {
    char *claim; /* what is claimed of other storage (image-claim.h), owned; NULL: it is a file */
    uint64_t device, number; /* of a file or a device */
    bool is_part;            /* only a part of it is used */
};
/* False: it is not there, or may be opened as often as one likes. */
bool image_identify(struct image_identity *out, const char *spec);
/* Does it name a part of something that is there, or the disk in an image, or nothing that can be
 * opened? */
bool image_names_a_part(const char *spec);
/* Does it say which format it has? */
bool image_names_a_format(const char *spec);
/* Whether the backend that `spec` names wants its images to be opened by one thread, in order. */
bool image_opens_in_order(const char *spec);

/* The one who serves this image needs its LUKS header no more: the keys in it may be changed by
 * others from now on.  Of a stage that image_open() gave; where there are no such locks, nothing
 * happens. */
void image_header_was_read(struct stage *stage);

/* It is about to be closed, when those who use it have gone.  Any thread. */
void image_is_leaving(struct stage *stage);

/* Before something that has to last is written: a warning where nothing can be made durable,
 * neither by FLUSH nor by FUA. */
void image_warn_if_volatile(const struct stage *stage, const char *spec);

#endif
