/* AES-GCM on 256-bit registers: two blocks in each.  The method and its reasons are in
 * gcm-vaes-kernel.h; here is what the instructions are called. */
#include "crypto/gcm/gcm-vaes.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "crypto/cpu-features.h"

/* For each function, so that the rest of the program needs no special flags. */
#define TARGET __attribute__((target("avx2,vaes,vpclmulqdq,aes,pclmul")))
#define KERNEL static inline __attribute__((always_inline)) TARGET

#define VEC_BLOCKS 2u
#define VEC_REGISTER(v) "+x"(v)

typedef __m256i vec;

KERNEL vec vec_load(const void *from)
{
    return _mm256_loadu_si256(from);
}

KERNEL void vec_store(void *to, vec a)
{
    _mm256_storeu_si256(to, a);
}

KERNEL vec vec_load_block(const void *from)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(from));
}

KERNEL vec vec_zero(void)
{
    return _mm256_setzero_si256();
}

KERNEL vec vec_from_block(const void *from)
{
    return _mm256_zextsi128_si256(_mm_loadu_si128(from));
}

KERNEL vec vec_fold(vec a)
{
    return _mm256_zextsi128_si256(
        _mm_xor_si128(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
}

KERNEL vec vec_counter_steps(void)
{
    return _mm256_set_epi64x(0, 1, 0, 0);
}

KERNEL vec vec_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

KERNEL vec vec_xor3(vec a, vec b, vec c)
{
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}

KERNEL vec vec_add_32(vec a, vec b)
{
    return _mm256_add_epi32(a, b);
}

KERNEL vec vec_reverse(vec a)
{
    return _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(_mm_set_epi8(
                                      0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

KERNEL vec vec_swap(vec a)
{
    return _mm256_shuffle_epi32(a, 0x4e);
}

#define vec_multiply(a, b, halves) _mm256_clmulepi64_epi128(a, b, halves)

KERNEL vec vec_round(vec a, vec key)
{
    return _mm256_aesenc_epi128(a, key);
}

KERNEL vec vec_last_round(vec a, vec key)
{
    return _mm256_aesenclast_epi128(a, key);
}

#include "crypto/gcm/gcm-vaes-kernel.h"

TARGET static void make_powers(struct gcm *gcm)
{
    kernel_make_powers(gcm);
}

TARGET static void seal(const struct gcm *gcm, const struct gcm_text *text, uint8_t *tag)
{
    kernel_crypt(gcm, text, tag, true);
}

TARGET static void open(const struct gcm *gcm, const struct gcm_text *text, uint8_t *tag)
{
    kernel_crypt(gcm, text, tag, false);
}

const struct gcm_ops gcm_vaes_avx2_ops = {
    .name = "vaes-avx2",
    .supports = cpu_has_gcm_avx2,
    .make_powers = make_powers,
    .seal = seal,
    .open = open,
};

#endif
