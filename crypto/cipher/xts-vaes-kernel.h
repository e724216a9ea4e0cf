/* AES-XTS over runs of sectors on vector registers, written once for both widths.
 *
 * A file that includes this one has defined `vec`, a vector register, and what is listed at the
 * end of this comment; it gets kernel_crypt().
 *
 * The method is that of IEEE Std 1619-2018, 5.3 and 5.4, for whole blocks.  The tweak of a sector's
 * first block is the IV, encrypted with the second key; that of each block after it is the one
 * before, times x, in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1 (5.2).  A block P with the tweak
 * T becomes E(P ^ T) ^ T.
 *
 * The layout.  The AES units set the pace: on Zen 4 they begin one 512-bit or two 256-bit
 * rounds per cycle, so no program is faster than 64 bytes in 10 or 14 cycles.  The aim is to keep
 * them busy in each cycle, and to let everything else pass in their shadow.
 *
 * - A round takes 3 to 5 cycles, so a unit that waits for the round before is idle most of the
 *   time.  Eight vectors are in flight: a batch of 32 or 16 blocks.
 *
 * - Tweaks one after the other would be a chain too, and one that begins anew with each
 *   sector.  So for a chunk of up to 64 KiB all IVs are encrypted first, a vector being the
 *   IVs of four or two sectors.  From the tweak of a unit (512 bytes: a sector, or a part of
 *   a larger one) those of its blocks are computed independently of each other: T * x^k for k up to
 *   31 is two shifts of 64-bit halves, and the reduction of the k bits that leave at the
 *   top.  Lower halves in one register and upper halves in another make that eight (four)
 *   blocks at a time with no lane idle.  Only shifts, additions and xors are used, no
 *   carry-less multiplications, because on Zen 4 those run on the AES units.  From one unit of a
 *   larger sector to the next it is a multiplication by x^32, done in ordinary registers,
 *   which have nothing else to do.  So sectors of all sizes are alike from there on.
 *
 * - The tweaks of the next batch are computed between the rounds of this one, by hand: behind them,
 *   the processor sees them too late.
 *
 * - Round keys and tweaks are read from the state, which is locked memory, where they are used.
 *   Loads are free here, and a compiler with no reason to keep them in registers has none to
 *   spill them to the stack.
 *
 * No branch and no address depends on keys or data.
 *
 * What must be there:
 *
 *   KERNEL                      begins an inline function
 *   VEC_BLOCKS                  blocks in a vector: 4u or 2u
 *   VEC_REGISTER(v)             v as an operand that asm reads and writes
 *   vec_load, vec_store         any address
 *   vec_load_block              the same 16 bytes in each block
 *   vec_set_qwords              the same number in each half of a block
 *   vec_set_ivs(first, step)    block i is first + i * step, as 128 bits
 *   vec_xor, vec_xor3           of two, of three
 *   vec_add                     of 64-bit numbers
 *   vec_shift_left              of 64-bit numbers, by a constant
 *   vec_shift_left_by, vec_shift_right_by
 *                               each by its own count; by 64 it is 0
 *   vec_interleave_low, vec_interleave_high
 *                               of each block the lower (upper) half of a, then that of b
 *   vec_round, vec_last_round   of AES */

#ifndef NBDCRYPT_XTS_VAES_KERNEL_H
#define NBDCRYPT_XTS_VAES_KERNEL_H

#include "crypto/cipher/xts-vaes.h"

#define BATCH_VECS 8u
#define BATCH_BYTES (BATCH_VECS * sizeof(vec))
#define BATCH_PAIRS (BATCH_VECS / 2)
#define BATCHES_PER_UNIT (XTS_UNIT_BYTES / BATCH_BYTES)

/* A struct of single vectors stays in registers where an array might not. */
struct batch {
    vec v0, v1, v2, v3, v4, v5, v6, v7;
};

struct four {
    vec v0, v1, v2, v3;
};

/* ---- step 1: the tweak of each sector ---- */

KERNEL vec encrypt_ivs(const struct aes_schedule *schedule, unsigned rounds, vec ivs)
{
    ivs = vec_xor(ivs, vec_load_block(schedule->round_keys[0]));
    for (unsigned i = 1; i < rounds; i++)
        ivs = vec_round(ivs, vec_load_block(schedule->round_keys[i]), true);
    return vec_last_round(ivs, vec_load_block(schedule->round_keys[rounds]), true);
}

KERNEL void encrypt_ivs_four(const struct aes_schedule *schedule, unsigned rounds, struct four *ivs)
{
    vec key = vec_load_block(schedule->round_keys[0]);

    ivs->v0 = vec_xor(ivs->v0, key);
    ivs->v1 = vec_xor(ivs->v1, key);
    ivs->v2 = vec_xor(ivs->v2, key);
    ivs->v3 = vec_xor(ivs->v3, key);
    for (unsigned i = 1; i < rounds; i++) {
        key = vec_load_block(schedule->round_keys[i]);
        ivs->v0 = vec_round(ivs->v0, key, true);
        ivs->v1 = vec_round(ivs->v1, key, true);
        ivs->v2 = vec_round(ivs->v2, key, true);
        ivs->v3 = vec_round(ivs->v3, key, true);
    }
    key = vec_load_block(schedule->round_keys[rounds]);
    ivs->v0 = vec_last_round(ivs->v0, key, true);
    ivs->v1 = vec_last_round(ivs->v1, key, true);
    ivs->v2 = vec_last_round(ivs->v2, key, true);
    ivs->v3 = vec_last_round(ivs->v3, key, true);
}

/* The number of sectors is rounded up to what is done at once; there is room for that. */
KERNEL void make_sector_tweaks(struct xts_vaes *xts, uint64_t iv_sector, size_t sectors,
                               unsigned units_per_sector)
{
    const uint64_t step = (uint64_t)VEC_BLOCKS * units_per_sector;
    const vec offsets = vec_set_ivs(0, units_per_sector);
    struct xts_tweak *to = xts->sector_tweaks;

    if (sectors <= VEC_BLOCKS) {
        vec ivs = vec_add(offsets, vec_set_ivs(iv_sector, 0));

        vec_store(to, encrypt_ivs(&xts->tweak, xts->rounds, ivs));
        return;
    }
    for (size_t i = 0; i < sectors; i += 4 * VEC_BLOCKS, iv_sector += 4 * step) {
        struct four ivs = {
            vec_add(offsets, vec_set_ivs(iv_sector, 0)),
            vec_add(offsets, vec_set_ivs(iv_sector + step, 0)),
            vec_add(offsets, vec_set_ivs(iv_sector + 2 * step, 0)),
            vec_add(offsets, vec_set_ivs(iv_sector + 3 * step, 0)),
        };

        encrypt_ivs_four(&xts->tweak, xts->rounds, &ivs);
        vec_store(to + i, ivs.v0);
        vec_store(to + i + VEC_BLOCKS, ivs.v1);
        vec_store(to + i + 2 * VEC_BLOCKS, ivs.v2);
        vec_store(to + i + 3 * VEC_BLOCKS, ivs.v3);
    }
}

/* ---- step 2: the batches ---- */

/* For a pair of vectors the powers of x that its blocks have over the first block of their unit, in
 * the order in which interleaving a register of lower and one of upper halves gives the blocks in
 * their own order; and 64 minus that. */
struct powers {
    uint64_t power[2 * VEC_BLOCKS], rest[2 * VEC_BLOCKS];
};

#define POWER(n) (n)
#define REST(n) (64 - (n))
/* clang-format off */
#define ORDER_4(of, n) \
    { of(n), of(n + 4), of(n + 1), of(n + 5), of(n + 2), of(n + 6), of(n + 3), of(n + 7) }
#define ORDER_2(of, n) { of(n), of(n + 2), of(n + 1), of(n + 3) }
#define PAIR_4(n) { ORDER_4(POWER, n), ORDER_4(REST, n) }
#define PAIR_2(n) { ORDER_2(POWER, n), ORDER_2(REST, n) }

/* Of all pairs of a unit. */
_Alignas(64) static const struct powers pairs[BATCHES_PER_UNIT * BATCH_PAIRS] = {
#if VEC_BLOCKS == 4
    PAIR_4(0), PAIR_4(8), PAIR_4(16), PAIR_4(24),
#else
    PAIR_2(0), PAIR_2(4), PAIR_2(8), PAIR_2(12), PAIR_2(16), PAIR_2(20), PAIR_2(24), PAIR_2(28),
#endif
};
/* clang-format on */

/* The tweaks of the blocks of a batch are to be made from that of their unit. */
struct tweak_work {
    const struct xts_tweak *unit;
    const struct powers *pairs; /* of the batch */
    uint8_t *to;
};

/* T * x^k: both halves shifted by k, what leaves the lower one enters the upper one, and the k bits
 * that leave the upper one, times x^7 + x^2 + x + 1, enter the lower one.  (It fits: k < 57.) */
KERNEL void make_pair(const struct tweak_work *work, unsigned i)
{
    const vec left = vec_load(work->pairs[i].power), right = vec_load(work->pairs[i].rest);
    const vec low = vec_set_qwords(work->unit->low), high = vec_set_qwords(work->unit->high);
    const vec carry = vec_shift_right_by(high, right);
    const vec new_high = vec_xor(vec_shift_left_by(high, left), vec_shift_right_by(low, right));
    const vec carry_2 = vec_add(carry, carry), carry_4 = vec_add(carry_2, carry_2);
    vec new_low = vec_xor3(vec_shift_left_by(low, left), carry, carry_2);

    new_low = vec_xor3(new_low, carry_4, vec_shift_left(carry, 7));
    vec_store(work->to + 2 * i * sizeof(vec), vec_interleave_low(new_low, new_high));
    vec_store(work->to + (2 * i + 1) * sizeof(vec), vec_interleave_high(new_low, new_high));
}

KERNEL void load_batch(struct batch *s, const uint8_t *data, const uint8_t *tweaks, vec key)
{
#define LOAD(i) vec_xor3(vec_load(data + i * sizeof(vec)), vec_load(tweaks + i * sizeof(vec)), key)
    s->v0 = LOAD(0);
    s->v1 = LOAD(1);
    s->v2 = LOAD(2);
    s->v3 = LOAD(3);
    s->v4 = LOAD(4);
    s->v5 = LOAD(5);
    s->v6 = LOAD(6);
    s->v7 = LOAD(7);
#undef LOAD
}

KERNEL void batch_round(struct batch *s, const uint8_t *round_key, bool encrypt)
{
    const vec key = vec_load_block(round_key);

    s->v0 = vec_round(s->v0, key, encrypt);
    s->v1 = vec_round(s->v1, key, encrypt);
    s->v2 = vec_round(s->v2, key, encrypt);
    s->v3 = vec_round(s->v3, key, encrypt);
    s->v4 = vec_round(s->v4, key, encrypt);
    s->v5 = vec_round(s->v5, key, encrypt);
    s->v6 = vec_round(s->v6, key, encrypt);
    s->v7 = vec_round(s->v7, key, encrypt);
    /* Nothing moves from one round to another: compilers would gather the rounds. */
    __asm__ volatile(""
                     : VEC_REGISTER(s->v0), VEC_REGISTER(s->v1), VEC_REGISTER(s->v2),
                       VEC_REGISTER(s->v3), VEC_REGISTER(s->v4), VEC_REGISTER(s->v5),
                       VEC_REGISTER(s->v6), VEC_REGISTER(s->v7)::"memory");
}

/* The last round ends with an xor of its key: with that of key and tweak it is the xor with the
 * tweak as well. */
KERNEL void store_batch(const struct batch *s, uint8_t *data, const uint8_t *tweaks, vec key,
                        bool encrypt)
{
#define STORE(i)                      \
    vec_store(data + i * sizeof(vec), \
              vec_last_round(s->v##i, vec_xor(key, vec_load(tweaks + i * sizeof(vec))), encrypt))
    STORE(0);
    STORE(1);
    STORE(2);
    STORE(3);
    STORE(4);
    STORE(5);
    STORE(6);
    STORE(7);
#undef STORE
}

KERNEL void crypt_batch(const struct aes_schedule *schedule, unsigned rounds, uint8_t *data,
                        const uint8_t *tweaks, const struct tweak_work *next, bool encrypt)
{
    const uint8_t(*keys)[AES_BLOCK_BYTES] = schedule->round_keys;
    struct batch s;

    load_batch(&s, data, tweaks, vec_load_block(keys[0]));
    batch_round(&s, keys[1], encrypt);
    make_pair(next, 0);
    batch_round(&s, keys[2], encrypt);
    batch_round(&s, keys[3], encrypt);
    make_pair(next, 1);
    batch_round(&s, keys[4], encrypt);
    batch_round(&s, keys[5], encrypt);
    make_pair(next, 2);
    batch_round(&s, keys[6], encrypt);
    batch_round(&s, keys[7], encrypt);
    make_pair(next, 3);
    batch_round(&s, keys[8], encrypt);
    batch_round(&s, keys[9], encrypt);
    if (rounds == 14) {
        batch_round(&s, keys[10], encrypt);
        batch_round(&s, keys[11], encrypt);
        batch_round(&s, keys[12], encrypt);
        batch_round(&s, keys[13], encrypt);
    }
    store_batch(&s, data, tweaks, vec_load_block(keys[rounds]), encrypt);
}

/* From the tweak of a unit to that of the next, as make_pair() does it. */
static inline struct xts_tweak times_x_32(struct xts_tweak tweak)
{
    const uint64_t carry = tweak.high >> 32;

    return (struct xts_tweak){
        .low = tweak.low << 32 ^ carry ^ carry << 1 ^ carry << 2 ^ carry << 7,
        .high = tweak.high << 32 | tweak.low >> 32,
    };
}

/* Prepares for making tweaks of batch number `batch`. */
KERNEL struct tweak_work step_to_batch(struct xts_vaes *xts, size_t batch, unsigned sector_shift)
{
    const size_t unit = batch / BATCHES_PER_UNIT, sector = unit >> sector_shift;

    if (batch % BATCHES_PER_UNIT == 0) {
        if (unit == sector << sector_shift)
            xts->unit_tweak = xts->sector_tweaks[sector];
        else
            xts->unit_tweak = times_x_32(xts->unit_tweak);
    }
    return (struct tweak_work){
        .unit = &xts->unit_tweak,
        .pairs = &pairs[batch % BATCHES_PER_UNIT * BATCH_PAIRS],
        .to = xts->block_tweaks[batch % 2],
    };
}

KERNEL void crypt_chunk(struct xts_vaes *xts, const struct aes_schedule *schedule, uint8_t *data,
                        size_t units, unsigned sector_shift, bool encrypt)
{
    const size_t batches = units * BATCHES_PER_UNIT;
    struct tweak_work next = step_to_batch(xts, 0, sector_shift);

    for (unsigned i = 0; i < BATCH_PAIRS; i++)
        make_pair(&next, i);
    for (size_t batch = 0; batch < batches; batch++) {
        const uint8_t *tweaks = next.to;

        next = step_to_batch(xts, batch + 1, sector_shift);
        crypt_batch(schedule, xts->rounds, data + batch * BATCH_BYTES, tweaks, &next, encrypt);
    }
}

/* ---- a run of sectors ---- */

KERNEL void kernel_crypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data,
                         size_t length_bytes, bool encrypt)
{
    struct xts_vaes *xts = (struct xts_vaes *)cipher;
    const struct aes_schedule *schedule = encrypt ? &xts->encrypt : &xts->decrypt;
    const unsigned sector_shift = (unsigned)__builtin_ctz(cipher->sector_bytes / XTS_UNIT_BYTES);
    size_t units = length_bytes / XTS_UNIT_BYTES;

    while (units > 0) {
        const size_t chunk = units < XTS_CHUNK_UNITS ? units : XTS_CHUNK_UNITS;

        make_sector_tweaks(xts, iv_sector, chunk >> sector_shift, 1u << sector_shift);
        crypt_chunk(xts, schedule, data, chunk, sector_shift, encrypt);
        iv_sector += chunk;
        data += chunk * XTS_UNIT_BYTES;
        units -= chunk;
    }
}

#endif
