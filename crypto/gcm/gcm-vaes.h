/* AES-GCM with the instructions for vectors of blocks: VAES and VPCLMULQDQ. */
#ifndef NBDCRYPT_GCM_VAES_H
#define NBDCRYPT_GCM_VAES_H

#include "crypto/gcm/gcm.h"

extern const struct gcm_ops gcm_vaes_avx512_ops;
extern const struct gcm_ops gcm_vaes_avx2_ops;

#endif
