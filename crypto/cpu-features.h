/* What this processor has and the operating system lets programs use. */
#ifndef NBDCRYPT_CPU_FEATURES_H
#define NBDCRYPT_CPU_FEATURES_H

#include <stdbool.h>

/* AES instructions, with which AES-GCM is faster than ChaCha20. */
bool cpu_has_aes(void);
/* AES on vectors of 256 bits (two blocks at once): VAES, AES-NI, AVX2. */
bool cpu_has_vaes_avx2(void);
/* AES on vectors of 512 bits (four blocks): VAES, AES-NI, AVX512F. */
bool cpu_has_vaes_avx512(void);
/* The same, with carry-less multiplication on such vectors: VPCLMULQDQ, and for 512 bits
 * AVX512BW. */
bool cpu_has_gcm_avx2(void);
bool cpu_has_gcm_avx512(void);

#endif
