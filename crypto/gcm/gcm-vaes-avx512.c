/* AES-GCM on 512-bit registers: four blocks in each.  The method and its reasons are in
 * gcm-vaes-kernel.h; here is what the instructions are called. */
#include "crypto/gcm/gcm-vaes.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "crypto/cpu-features.h"

/* For each function, so that the rest of the program needs no special flags. */
#define TARGET __attribute__((target("avx512f,avx512bw,vaes,vpclmulqdq,aes,pclmul")))
#define KERNEL static inline __attribute__((always_inline)) TARGET

#define VEC_BLOCKS 4u
#define VEC_REGISTER(v) "+v"(v)

typedef __m512i vec;

KERNEL vec vec_load(const void *from)
{
    return _mm512_loadu_si512(from);
}

KERNEL void vec_store(void *to, vec a)
{
    _mm512_storeu_si512(to, a);
}

KERNEL vec vec_load_block(const void *from)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128(from));
}

KERNEL vec vec_zero(void)
{
    return _mm512_setzero_si512();
}

KERNEL vec vec_from_block(const void *from)
{
    return _mm512_zextsi128_si512(_mm_loadu_si128(from));
}

KERNEL vec vec_fold(vec a)
{
    const __m256i half =
        _mm256_xor_si256(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));

    return _mm512_zextsi128_si512(
        _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
}

KERNEL vec vec_counter_steps(void)
{
    return _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0);
}

KERNEL vec vec_xor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

KERNEL vec vec_xor3(vec a, vec b, vec c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

KERNEL vec vec_add_32(vec a, vec b)
{
    return _mm512_add_epi32(a, b);
}

KERNEL vec vec_reverse(vec a)
{
    return _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                                                                      10, 11, 12, 13, 14, 15)));
}

KERNEL vec vec_swap(vec a)
{
    return _mm512_shuffle_epi32(a, 0x4e);
}

#define vec_multiply(a, b, halves) _mm512_clmulepi64_epi128(a, b, halves)

KERNEL vec vec_round(vec a, vec key)
{
    return _mm512_aesenc_epi128(a, key);
}

KERNEL vec vec_last_round(vec a, vec key)
{
    return _mm512_aesenclast_epi128(a, key);
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

const struct gcm_ops gcm_vaes_avx512_ops = {
    .name = "vaes-avx512",
    .supports = cpu_has_gcm_avx512,
    .make_powers = make_powers,
    .seal = seal,
    .open = open,
};

#endif
