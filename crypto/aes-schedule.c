/* AES key schedules: FIPS 197, 5.2 (key expansion) and 5.3.5 (equivalent inverse cipher).
 *
 * AESKEYGENASSIST does the S-box and the round constant, so no table is looked up.  Its round
 * constant is part of the instruction; here it is always 0, and the constant is added with an xor,
 * so that the rounds can be a loop. */
#include "crypto/aes-schedule.h"

#include <assert.h>

unsigned aes_rounds(size_t key_bytes)
{
    assert(key_bytes == 16 || key_bytes == 32);
    return key_bytes == 16 ? 10 : 14;
}

#if defined(__x86_64__)

#include <immintrin.h>

#define AES_NI static inline __attribute__((always_inline, target("aes,sse2")))

AES_NI __m128i load(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

AES_NI void store(uint8_t *to, __m128i block)
{
    _mm_storeu_si128((__m128i *)(void *)to, block);
}

/* SubWord(RotWord(w3)) of `last` in all four words. */
AES_NI __m128i rotated_and_substituted(__m128i last)
{
    return _mm_shuffle_epi32(_mm_aeskeygenassist_si128(last, 0), 0xff);
}

/* SubWord(w3) of `last` in all four words. */
AES_NI __m128i substituted(__m128i last)
{
    return _mm_shuffle_epi32(_mm_aeskeygenassist_si128(last, 0), 0xaa);
}

/* Each word of the next key is the xor of all words up to it, and of what comes in from the key
 * before. */
AES_NI __m128i next_key(__m128i key, __m128i incoming)
{
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, incoming);
}

AES_NI __m128i with_constant(__m128i words, int round_constant)
{
    return _mm_xor_si128(words, _mm_set1_epi32(round_constant));
}

__attribute__((target("aes,sse2"))) static void expand_128(struct aes_schedule *out,
                                                           const uint8_t *key_bytes)
{
    static const uint8_t round_constants[10] = { 1, 2, 4, 8, 16, 32, 64, 128, 0x1b, 0x36 };
    __m128i key = load(key_bytes);

    store(out->round_keys[0], key);
    for (unsigned i = 0; i < 10; i++) {
        key = next_key(key, with_constant(rotated_and_substituted(key), round_constants[i]));
        store(out->round_keys[i + 1], key);
    }
}

__attribute__((target("aes,sse2"))) static void expand_256(struct aes_schedule *out,
                                                           const uint8_t *key_bytes)
{
    __m128i even = load(key_bytes), odd = load(key_bytes + AES_BLOCK_BYTES);

    store(out->round_keys[0], even);
    store(out->round_keys[1], odd);
    for (unsigned i = 0; i < 7; i++) {
        even = next_key(even, with_constant(rotated_and_substituted(odd), 1 << i));
        store(out->round_keys[2 * i + 2], even);
        if (i == 6)
            break;
        odd = next_key(odd, substituted(even));
        store(out->round_keys[2 * i + 3], odd);
    }
}

void aes_schedule_encrypt(struct aes_schedule *out, const uint8_t *key, size_t key_bytes)
{
    if (aes_rounds(key_bytes) == 10)
        expand_128(out, key);
    else
        expand_256(out, key);
}

__attribute__((target("aes,sse2"))) void
aes_schedule_decrypt(struct aes_schedule *out, const struct aes_schedule *encrypt, unsigned rounds)
{
    store(out->round_keys[0], load(encrypt->round_keys[rounds]));
    for (unsigned i = 1; i < rounds; i++)
        store(out->round_keys[i], _mm_aesimc_si128(load(encrypt->round_keys[rounds - i])));
    store(out->round_keys[rounds], load(encrypt->round_keys[0]));
}

#endif
