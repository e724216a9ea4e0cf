/* AES-XTS with VAES on 512-bit registers. */
#ifndef NBDCRYPT_XTS_VAES_AVX512_H
#define NBDCRYPT_XTS_VAES_AVX512_H

#include "crypto/cipher/cipher-ops.h"

extern const struct cipher_ops xts_vaes_avx512_ops;

#endif
