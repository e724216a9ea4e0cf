/* Changes of a LUKS2 header's text that libcryptsetup has no call for. */
#ifndef NBDCRYPT_LUKS2_REWRITE_H
#define NBDCRYPT_LUKS2_REWRITE_H

#include "crypto/luks/luks-policy.h"

/* The cipher of segment 0, in both copies of the image; each has copy_bytes, and is good. */
NODISCARD int luks2_rewrite_cipher(int image_fd, uint64_t copy_bytes, const char *cipher,
                                   struct error *err);

/* Keyslots whose area begins where one of `from` does have it where the one of the same index in
 * `to` begins. */
NODISCARD int luks2_rewrite_areas(int image_fd, uint64_t copy_bytes, const struct luks_areas *from,
                                  const struct luks_areas *to, struct error *err);

#endif
