/* The images that this process writes and that their storage does not keep from being opened twice:
 * two pipelines of one image lose each other's writes of less than a sector.  Any thread. */
#ifndef NBDCRYPT_IMAGE_CLAIM_H
#define NBDCRYPT_IMAGE_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/error.h"

struct image_claim;

struct image_claim_wish {
    const char *identity;              /* equal texts are the same image */
    uint64_t offset_bytes, size_bytes; /* the part that is written; of 0 bytes: all of it */
    const char *export_name;           /* what it is for; NULL: a command */
};

/* -EBUSY with a sentence that does not name the image: this or an overlapping part of it has been
 * claimed.  Blocks for two seconds at most, where an export has it that is going. */
NODISCARD int image_claim_take(struct image_claim **out, const struct image_claim_wish *wish,
                               struct error *err);
/* The same, although it has been claimed. */
NODISCARD int image_claim_share(struct image_claim **out, const struct image_claim_wish *wish,
                                struct error *err);
bool image_claim_is_of(const struct image_claim *claim, const char *identity);
/* Its export is about to be closed: then who wants it is told that it is worth waiting.  NULL is
 * fine, as for: */
void image_claim_leaves(struct image_claim *claim);
void image_claim_release(struct image_claim *claim);

#endif
