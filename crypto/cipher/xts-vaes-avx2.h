/* AES-XTS with VAES on 256-bit registers, for processors without AVX-512. */
#ifndef NBDCRYPT_XTS_VAES_AVX2_H
#define NBDCRYPT_XTS_VAES_AVX2_H

#include "crypto/cipher/cipher-ops.h"

extern const struct cipher_ops xts_vaes_avx2_ops;

#endif
