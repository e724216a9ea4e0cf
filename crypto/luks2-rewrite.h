/* Changes of a LUKS2 header's text that libcryptsetup has no call for. */
#ifndef NBDCRYPT_LUKS2_REWRITE_H
#define NBDCRYPT_LUKS2_REWRITE_H

#include <stdint.h>

#include "server/error.h"

/* The cipher of segment 0, in both copies of the image; each has copy_bytes, and is good. */
NODISCARD int luks2_rewrite_cipher(int image_fd, uint64_t copy_bytes, const char *cipher,
                                   struct error *err);

#endif
