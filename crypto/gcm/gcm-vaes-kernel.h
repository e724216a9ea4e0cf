/* AES-GCM on vector registers, written once for both widths.
 *
 * A file that includes this one has defined `vec`, a vector register, and what is listed at the end
 * of this comment; it gets kernel_make_powers() and kernel_crypt().
 *
 * The method is that of NIST SP 800-38D, 7.1 and 7.2.  Encryption is AES in counter mode (6.5),
 * which has no chain.  The hash (6.4) has one: Y = (Y ^ X) * H for each block X, in GF(2^128).  It
 * is cut by powers of H: for a batch of n blocks Y = (Y ^ X1) * H^n ^ X2 * H^(n-1) ^ ... ^ Xn * H,
 * whose products are independent and are reduced once, together.
 *
 * The field.  SP 800-38D has the coefficient of x^0 in the first bit; with the bytes of a block
 * reversed, bit i of a number is the coefficient of x^(127-i).  The carry-less product of two such
 * numbers has x^(254-k) in bit k where x^(255-k) would be in order, so it is x times too large:
 * that is why the table has the powers of H divided by x.  Reduction modulo x^128 + x^7 + x^2 + x +
 * 1 goes from the lower end: 64 bits L there are worth L * 2^128 + L * (2^63 + 2^62 + 2^57) * 2^64,
 * as x^128 is 1 + x + x^2 + x^7.  Two such steps free the lower half.
 *
 * The layout.  Eight vectors of counters are in flight, so that the AES units do not wait for the
 * round before, and between their rounds the hash takes in eight vectors: when decrypting those of
 * the same batch, when encrypting those of the batch before, whose ciphertext is known.
 *
 * No branch and no address depends on keys or data.
 *
 * What must be there:
 *
 *   KERNEL                begins an inline function
 *   VEC_BLOCKS            blocks in a vector: 4u or 2u
 *   VEC_REGISTER(v)       v as an operand that asm reads and writes
 *   vec_load, vec_store   any address
 *   vec_load_block        the same 16 bytes in each block
 *   vec_zero
 *   vec_from_block        a block as the first of a vector, the others 0
 *   vec_fold              the xor of all blocks
 *   vec_counter_steps     0, 1, 2 ... in the lowest 32 bits of each block
 *   vec_xor, vec_xor3     of two, of three
 *   vec_add_32            of 32-bit numbers
 *   vec_reverse           the bytes of each block
 *   vec_swap              the halves of each block
 *   vec_multiply          carry-less, of halves of blocks: a constant says which, as for PCLMULQDQ
 *   vec_round, vec_last_round   of AES */

#ifndef NBDCRYPT_GCM_VAES_KERNEL_H
#define NBDCRYPT_GCM_VAES_KERNEL_H

#include <string.h>

#include "crypto/gcm/gcm-vaes.h"
#include "crypto/secret.h"

#define BATCH_VECS 8u
#define BATCH_BYTES (BATCH_VECS * sizeof(vec))
#define BATCH_BLOCKS (BATCH_VECS * VEC_BLOCKS)

/* A struct of single vectors stays in registers where an array might not. */
struct batch {
    vec v0, v1, v2, v3, v4, v5, v6, v7;
};

/* A sum of products that is not reduced: bits 0 to 127, 64 to 191, and 128 to 255. */
struct products {
    vec low, middle, high;
};

/* The state of one text. */
struct progress {
    vec counters; /* of the next vector, bytes reversed */
    vec hash;     /* Y in the first block, bytes reversed; the others are 0 */
};

/* ---- the hash ---- */

/* 2^63 + 2^62 + 2^57 */
static const uint64_t reduction[2] = { 0xc200000000000000, 0xc200000000000000 };

KERNEL void add_product(struct products *sum, vec a, vec power)
{
    sum->low = vec_xor(sum->low, vec_multiply(a, power, 0x00));
    sum->middle = vec_xor3(sum->middle, vec_multiply(a, power, 0x01), vec_multiply(a, power, 0x10));
    sum->high = vec_xor(sum->high, vec_multiply(a, power, 0x11));
}

KERNEL vec reduce(const struct products *sum)
{
    const vec by = vec_load_block(reduction);
    const vec middle = vec_xor3(sum->middle, vec_swap(sum->low), vec_multiply(sum->low, by, 0x00));

    return vec_xor3(sum->high, vec_swap(middle), vec_multiply(middle, by, 0x00));
}

/* `blocks` is how many blocks from this vector on are hashed together. */
KERNEL vec power_for(const struct gcm *gcm, size_t blocks)
{
    return vec_load(gcm->powers[GCM_BATCH_BLOCKS_MAX - blocks]);
}

KERNEL struct products no_products(void)
{
    return (struct products){ vec_zero(), vec_zero(), vec_zero() };
}

/* Of the sums in the blocks of a vector the sum is Y. */
KERNEL vec finish_hash(const struct products *sum)
{
    return vec_fold(reduce(sum));
}

KERNEL void hash_block(const struct gcm *gcm, struct progress *at, const uint8_t *block)
{
    struct products sum = no_products();

    add_product(&sum, vec_xor(at->hash, vec_reverse(vec_from_block(block))), power_for(gcm, 1));
    at->hash = finish_hash(&sum);
}

/* ---- the counters ---- */

KERNEL vec take_counters(struct progress *at, vec step)
{
    const vec counters = vec_reverse(at->counters);

    at->counters = vec_add_32(at->counters, step);
    return counters;
}

KERNEL vec crypt_vec(const struct gcm *gcm, vec state)
{
    state = vec_xor(state, vec_load_block(gcm->schedule.round_keys[0]));
    for (unsigned i = 1; i < gcm->rounds; i++)
        state = vec_round(state, vec_load_block(gcm->schedule.round_keys[i]));
    return vec_last_round(state, vec_load_block(gcm->schedule.round_keys[gcm->rounds]));
}

/* ---- batches ---- */

#define ALL_OF_BATCH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)

KERNEL void batch_round(struct batch *s, const uint8_t *round_key)
{
    const vec key = vec_load_block(round_key);

#define ROUND(i) s->v##i = vec_round(s->v##i, key);
    ALL_OF_BATCH(ROUND)
#undef ROUND
    /* Nothing moves from one round to another: compilers would gather the rounds. */
    __asm__ volatile(""
                     : VEC_REGISTER(s->v0), VEC_REGISTER(s->v1), VEC_REGISTER(s->v2),
                       VEC_REGISTER(s->v3), VEC_REGISTER(s->v4), VEC_REGISTER(s->v5),
                       VEC_REGISTER(s->v6), VEC_REGISTER(s->v7)::"memory");
}

KERNEL void hash_vec(const struct gcm *gcm, struct products *sum, const struct progress *at,
                     const uint8_t *hashed, unsigned i)
{
    vec blocks = vec_reverse(vec_load(hashed + i * sizeof(vec)));

    if (i == 0)
        blocks = vec_xor(blocks, at->hash);
    add_product(sum, blocks, power_for(gcm, BATCH_BLOCKS - i * VEC_BLOCKS));
}

KERNEL void hash_batch(const struct gcm *gcm, struct progress *at, const uint8_t *hashed)
{
    struct products sum = no_products();

    for (unsigned i = 0; i < BATCH_VECS; i++)
        hash_vec(gcm, &sum, at, hashed, i);
    at->hash = finish_hash(&sum);
}

/* `hashed` is a batch of ciphertext to take into the hash on the way, or NULL. */
KERNEL void crypt_batch(const struct gcm *gcm, struct progress *at, const uint8_t *in, uint8_t *out,
                        const uint8_t *hashed, vec step)
{
    const uint8_t(*keys)[AES_BLOCK_BYTES] = gcm->schedule.round_keys;
    const vec first = vec_load_block(keys[0]), last = vec_load_block(keys[gcm->rounds]);
    struct products sum = no_products();
    struct batch s;

#define START(i) s.v##i = vec_xor(take_counters(at, step), first);
    ALL_OF_BATCH(START)
#undef START
#define ROUND_AND_HASH(i)           \
    batch_round(&s, keys[1 + (i)]); \
    if (hashed != NULL)             \
        hash_vec(gcm, &sum, at, hashed, i);
    ALL_OF_BATCH(ROUND_AND_HASH)
#undef ROUND_AND_HASH
    batch_round(&s, keys[9]);
    for (unsigned i = 10; i < gcm->rounds; i++)
        batch_round(&s, keys[i]);
    if (hashed != NULL)
        at->hash = finish_hash(&sum);
        /* The last round ends with an xor of its key: with that of key and text it is that with the
         * text too. */
#define END(i)                       \
    vec_store(out + i * sizeof(vec), \
              vec_last_round(s.v##i, vec_xor(last, vec_load(in + i * sizeof(vec)))));
    ALL_OF_BATCH(END)
#undef END
}

/* ---- the rest, less than a batch ---- */

/* Vector by vector; the last one is filled up with zeros, which are not part of what is hashed as
 * their powers are zeros, or are hashed as the padding of the last block. */
KERNEL void crypt_rest(const struct gcm *gcm, struct progress *at, const struct gcm_text *text,
                       size_t done, vec step, bool encrypt)
{
    size_t left = text->length_bytes - done, extra = text->trailer >= 0;
    struct products sum = no_products();
    vec hash = at->hash;

    if (left + extra == 0)
        return;
    for (;;) {
        const vec stream = crypt_vec(gcm, take_counters(at, step));
        const size_t data = left < sizeof(vec) ? left : sizeof(vec);
        const size_t with_extra = data + (data == left && data < sizeof(vec) ? extra : 0);
        uint8_t plain[sizeof(vec)] = { 0 }, result[sizeof(vec)];
        const size_t blocks = (left + extra + AES_BLOCK_BYTES - 1) / AES_BLOCK_BYTES;

        memcpy(plain, text->in + done, data);
        if (with_extra > data)
            plain[data] = (uint8_t)text->trailer;
        vec_store(result, vec_xor(stream, vec_load(plain)));
        memcpy(text->out + done, result, with_extra);
        if (encrypt)
            memset(result + with_extra, 0, sizeof result - with_extra);
        add_product(&sum, vec_xor(hash, vec_reverse(vec_load(encrypt ? result : plain))),
                    power_for(gcm, blocks));
        hash = vec_zero();
        done += data;
        left -= data;
        extra -= with_extra - data;
        if (left + extra == 0)
            break;
    }
    at->hash = finish_hash(&sum);
}

/* ---- a text ---- */

static inline void store_be64(uint8_t *to, uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        to[i] = (uint8_t)number;
}

/* It is short: block by block. */
KERNEL void hash_aad(const struct gcm *gcm, struct progress *at, const struct gcm_text *text)
{
    for (size_t done = 0; done < text->aad_bytes; done += AES_BLOCK_BYTES) {
        const size_t left = text->aad_bytes - done;
        uint8_t block[AES_BLOCK_BYTES] = { 0 };

        memcpy(block, text->aad + done, left < sizeof block ? left : sizeof block);
        hash_block(gcm, at, block);
    }
}

KERNEL void finish_tag(const struct gcm *gcm, struct progress *at, const struct gcm_text *text,
                       vec first_counter_stream, uint8_t *tag)
{
    uint8_t block[sizeof(vec)];

    store_be64(block, 8 * (uint64_t)text->aad_bytes);
    store_be64(block + 8, 8 * (uint64_t)(text->length_bytes + (text->trailer >= 0)));
    hash_block(gcm, at, block);
    vec_store(block, vec_xor(vec_reverse(at->hash), first_counter_stream));
    memcpy(tag, block, GCM_TAG_BYTES);
}

KERNEL void kernel_crypt(const struct gcm *gcm, const struct gcm_text *text, uint8_t *tag,
                         bool encrypt)
{
    uint8_t block[AES_BLOCK_BYTES] = { 0 };
    const uint32_t step_32[4] = { VEC_BLOCKS, 0, 0, 0 }, one_32[4] = { 1, 0, 0, 0 };
    const vec step = vec_load_block(step_32);
    const uint8_t *hashed = NULL;
    struct progress at;
    size_t done = 0;

    memcpy(block, text->nonce, GCM_NONCE_BYTES);
    block[15] = 1;
    const vec first_counter_stream = crypt_vec(gcm, vec_load_block(block));
    at.counters = vec_add_32(vec_reverse(vec_load_block(block)),
                             vec_add_32(vec_load_block(one_32), vec_counter_steps()));
    at.hash = vec_zero();
    hash_aad(gcm, &at, text);
    for (; text->length_bytes - done >= BATCH_BYTES; done += BATCH_BYTES) {
        crypt_batch(gcm, &at, text->in + done, text->out + done, encrypt ? hashed : text->in + done,
                    step);
        hashed = text->out + done;
    }
    if (encrypt && hashed != NULL)
        hash_batch(gcm, &at, hashed);
    crypt_rest(gcm, &at, text, done, step, encrypt);
    finish_tag(gcm, &at, text, first_counter_stream, tag);
}

/* ---- the key ---- */

/* Divides by x: what leaves at the end for x^0 is x^-1, which is x^127 + x^6 + x + 1. */
static inline void divide_by_x(uint64_t half[2])
{
    const uint64_t mask = 0 - (half[1] >> 63);

    half[1] = (half[1] << 1 | half[0] >> 63) ^ (mask & 0xc200000000000000);
    half[0] = half[0] << 1 ^ (mask & 1);
}

KERNEL void kernel_make_powers(struct gcm *gcm)
{
    static const uint8_t zeros[AES_BLOCK_BYTES];
    uint8_t wide[sizeof(vec)];
    uint64_t half[2];

    vec_store(wide, vec_reverse(crypt_vec(gcm, vec_load_block(zeros))));
    memcpy(half, wide, sizeof half);
    divide_by_x(half);
    const vec power_1 = vec_load_block(half);
    vec power = power_1;

    for (size_t i = GCM_BATCH_BLOCKS_MAX; i-- > 0;) {
        struct products sum = no_products();

        vec_store(wide, power);
        memcpy(gcm->powers[i], wide, AES_BLOCK_BYTES);
        add_product(&sum, power, power_1);
        power = reduce(&sum);
    }
    secret_wipe(half, sizeof half);
    secret_wipe(wide, sizeof(wide));
}

#endif
