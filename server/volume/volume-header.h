/* The LUKS header of an image, wherever it is: in the image itself or in a file of its own. */
#ifndef NBDCRYPT_VOLUME_HEADER_H
#define NBDCRYPT_VOLUME_HEADER_H

#include "crypto/luks/luks-store.h"
#include "crypto/luks/luks.h"
#include "crypto/luks/format-signature.h"
#include "server/block/image-io.h"

/* Loads the header of `image`, which holds the data: from it, or from what `header_spec` names (a
 * detached header; NULL: none), which is opened for reading and closed again.  Blocks.
 * -errno as luks_load(); then *content, unless `content` is NULL, says what a file without a LUKS
 * header holds instead ("": not known).  The message names a detached header, and
 * leaves `image` to the caller. */
NODISCARD int volume_header_load(struct luks_header **out, struct stage *image,
                                 const char *header_spec, struct format_signature *content,
                                 struct error *err);

/* The same from the stage `header`, which `header_spec` names and the caller has opened; the
 * message names it. */
NODISCARD int volume_header_load_detached(struct luks_header **out, struct stage *header,
                                          const char *header_spec, uint64_t data_bytes,
                                          struct format_signature *content, struct error *err);

/* Loads a header that is all there is of its volume, as for an image of `data_bytes`. */
NODISCARD int luks_image_load_alone(struct luks_header **out, struct stage *header,
                                    uint64_t data_bytes, struct error *err);

/* The same from what has been opened already: `io` is of the place of the header, which has
 * `size_bytes`; `data_bytes` of the image that holds the data. */
NODISCARD int volume_header_load_from(struct luks_header **out, struct image_io *io,
                                      uint64_t size_bytes, uint64_t data_bytes, bool detached,
                                      struct format_signature *content, struct error *err);

enum luks_image_use {
    LUKS_IMAGE_OF_HEADER, /* named by --header */
    LUKS_IMAGE_LOOKED_AT, /* its header may be apart, where nobody named it */
    LUKS_IMAGE_SERVED,    /* the same, and it was to be served */
};

/* "no LUKS header found" (-EMEDIUMTYPE) helps more when it says what is there instead, and what to
 * do. */
void volume_header_tell_content(const struct format_signature *content, enum luks_image_use use,
                                struct error *err);

/* What an image holds (crypto/luks/format-signature.h); `io` has size_bytes. */
NODISCARD int volume_header_signature(struct format_signature *out,
                                      enum format_signature_scope scope, struct image_io *io,
                                      uint64_t size_bytes, struct error *err);

/* The bytes of an image, for crypto/; `io` must stay. */
struct luks_store volume_header_store(struct image_io *io);

#endif
