/* AES-XTS with VAES on 256-bit registers: two blocks in each.  The method and its reasons are in
 * xts-vaes-kernel.h; here is what the instructions are called. */
#include "crypto/cipher/xts-vaes-avx2.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "crypto/cpu-features.h"
#include "crypto/cipher/xts-vaes.h"

/* For each function, so that the rest of the program needs no special flags. */
#define TARGET __attribute__((target("avx2,vaes,aes")))
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

KERNEL vec vec_set_qwords(uint64_t number)
{
    return _mm256_set1_epi64x((long long)number);
}

KERNEL vec vec_set_ivs(uint64_t first, uint64_t step)
{
    return _mm256_set_epi64x(0, (long long)(first + step), 0, (long long)first);
}

KERNEL vec vec_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

KERNEL vec vec_xor3(vec a, vec b, vec c)
{
    return vec_xor(vec_xor(a, b), c);
}

KERNEL vec vec_add(vec a, vec b)
{
    return _mm256_add_epi64(a, b);
}

KERNEL vec vec_shift_left(vec a, int bits)
{
    return _mm256_slli_epi64(a, bits);
}

KERNEL vec vec_shift_left_by(vec a, vec bits)
{
    return _mm256_sllv_epi64(a, bits);
}

KERNEL vec vec_shift_right_by(vec a, vec bits)
{
    return _mm256_srlv_epi64(a, bits);
}

KERNEL vec vec_interleave_low(vec a, vec b)
{
    return _mm256_unpacklo_epi64(a, b);
}

KERNEL vec vec_interleave_high(vec a, vec b)
{
    return _mm256_unpackhi_epi64(a, b);
}

KERNEL vec vec_round(vec a, vec key, bool encrypt)
{
    return encrypt ? _mm256_aesenc_epi128(a, key) : _mm256_aesdec_epi128(a, key);
}

KERNEL vec vec_last_round(vec a, vec key, bool encrypt)
{
    return encrypt ? _mm256_aesenclast_epi128(a, key) : _mm256_aesdeclast_epi128(a, key);
}

#include "crypto/cipher/xts-vaes-kernel.h"

static bool supports(const struct cipher_spec *spec)
{
    return cipher_spec_is_plain_aes_xts(spec) && cpu_has_vaes_avx2();
}

static int create(struct cipher **out, const struct cipher_spec *spec, const struct secret *key,
                  uint32_t sector_bytes, struct error *err)
{
    (void)spec;
    return xts_vaes_create(out, &xts_vaes_avx2_ops, key, sector_bytes, err);
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

const struct cipher_ops xts_vaes_avx2_ops = {
    .name = "vaes-avx2",
    .supports = supports,
    .create = create,
    .encrypt = encrypt,
    .decrypt = decrypt,
    .destroy = xts_vaes_destroy,
};

#endif
