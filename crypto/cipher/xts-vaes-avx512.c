/* AES-XTS with VAES on 512-bit registers: four blocks in each.  The method and its reasons are in
 * xts-vaes-kernel.h; here is what the instructions are called. */
#include "crypto/cipher/xts-vaes-avx512.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "crypto/cpu-features.h"
#include "crypto/cipher/xts-vaes.h"

/* For each function, so that the rest of the program needs no special flags. */
#define TARGET __attribute__((target("avx512f,vaes,aes")))
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

KERNEL vec vec_set_qwords(uint64_t number)
{
    return _mm512_set1_epi64((long long)number);
}

KERNEL vec vec_set_ivs(uint64_t first, uint64_t step)
{
    return _mm512_set_epi64(0, (long long)(first + 3 * step), 0, (long long)(first + 2 * step), 0,
                            (long long)(first + step), 0, (long long)first);
}

KERNEL vec vec_xor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

KERNEL vec vec_xor3(vec a, vec b, vec c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

KERNEL vec vec_add(vec a, vec b)
{
    return _mm512_add_epi64(a, b);
}

KERNEL vec vec_shift_left(vec a, unsigned bits)
{
    return _mm512_slli_epi64(a, bits);
}

KERNEL vec vec_shift_left_by(vec a, vec bits)
{
    return _mm512_sllv_epi64(a, bits);
}

KERNEL vec vec_shift_right_by(vec a, vec bits)
{
    return _mm512_srlv_epi64(a, bits);
}

KERNEL vec vec_interleave_low(vec a, vec b)
{
    return _mm512_unpacklo_epi64(a, b);
}

KERNEL vec vec_interleave_high(vec a, vec b)
{
    return _mm512_unpackhi_epi64(a, b);
}

KERNEL vec vec_round(vec a, vec key, bool encrypt)
{
    return encrypt ? _mm512_aesenc_epi128(a, key) : _mm512_aesdec_epi128(a, key);
}

KERNEL vec vec_last_round(vec a, vec key, bool encrypt)
{
    return encrypt ? _mm512_aesenclast_epi128(a, key) : _mm512_aesdeclast_epi128(a, key);
}

#include "crypto/cipher/xts-vaes-kernel.h"

static bool supports(const struct cipher_spec *spec)
{
    return cipher_spec_is_plain_aes_xts(spec) && cpu_has_vaes_avx512();
}

static int create(struct cipher **out, const struct cipher_spec *spec, const struct secret *key,
                  uint32_t sector_bytes, struct error *err)
{
    (void)spec;
    return xts_vaes_create(out, &xts_vaes_avx512_ops, key, sector_bytes, err);
}

TARGET static void encrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data,
                           size_t length_bytes)
{
    kernel_crypt(cipher, iv_sector, data, length_bytes, true);
}

TARGET static void decrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data,
                           size_t length_bytes)
{
    kernel_crypt(cipher, iv_sector, data, length_bytes, false);
}

const struct cipher_ops xts_vaes_avx512_ops = {
    .name = "vaes-avx512",
    .supports = supports,
    .create = create,
    .encrypt = encrypt,
    .decrypt = decrypt,
    .destroy = xts_vaes_destroy,
};

#endif
