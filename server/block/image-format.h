/* The format of an image: "?format=qcow2&snapshot=NAME" of IMAGE.  Without it an image is raw: what
 * a guest wrote into one must not make it something else. */
#ifndef NBDCRYPT_IMAGE_FORMAT_H
#define NBDCRYPT_IMAGE_FORMAT_H

#include "server/block/layer.h"

struct image_format {
    bool given; /* any of them */
    char *kept; /* where the texts are; owned */
    bool qcow2;
    const char *format;
    const char *snapshot; /* NULL: the disk as it is */
    const char *backing;  /* "allow": what its header names, in the same folder; else an IMAGE;
                           * NULL: none may be used */
    const char *corrupt;  /* "allow": although QEMU has marked it as corrupt */
};

/* As image_window_question(). */
char *image_format_question(const char *path);

/* Takes them out of `query` (the text behind '?'), which keeps the others.  -EINVAL: they make no
 * sense.  image_format_free() in any case. */
NODISCARD int image_format_parse(struct image_format *out, char *query, struct error *err);
void image_format_free(struct image_format *format);

/* Puts the layer of the format on the backend `*stage`, if there is one.  `name` is IMAGE. */
NODISCARD int image_format_add(struct stage **stage, const struct image_format *format,
                               const char *name, const struct image_options *options,
                               struct error *err);

/* Which IMAGE its backing file is, to be freed; NULL: it has none.  `path` is that of a file, NULL
 * for another backend.  -EPERM, -EINVAL: there is one that may not be used. */
NODISCARD int image_format_backing(char **out, const struct image_format *format, const char *path,
                                   const struct stage *stage, struct error *err);
/* Gives it to the stage, if this succeeds. */
NODISCARD int image_format_set_backing(struct stage *stage, struct stage *backing,
                                       struct error *err);

#endif
