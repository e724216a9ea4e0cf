#include "bench/verify-cell.h"

#include <endian.h>
#include <string.h>

#include "bench/random.h"

#define WORDS (CELL_BYTES / 8)
#define WORD_CHECKSUM (WORDS - 1)
#define WORD_FILLING 6
#define MAGIC 0x314c4c454344424eu /* "NBDCELL1" */
#define LANES 4

static uint64_t load_word(const uint8_t *in, unsigned index)
{
    uint64_t word;

    memcpy(&word, in + 8 * index, sizeof word);
    return le64toh(word);
}

static void store_word(uint8_t *out, unsigned index, uint64_t word)
{
    word = htole64(word);
    memcpy(out + 8 * index, &word, sizeof word);
}

/* A step is a bijection of the lane for any word, and of the word for any lane: what differs in
 * one word only, such as a flipped bit, is always found; anything else but for one in 2^64. */
static uint64_t lane_step(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * 0x9fb21c651e98df25u;
    return lane ^ (lane >> 32);
}

/* Four lanes side by side keep the multiplier busy.  The checksum's own place counts as 0. */
static uint64_t checksum_of(const uint8_t *cell)
{
    uint64_t lanes[LANES] = { 1, 2, 3, 4 };
    uint64_t sum = 0;

    for (unsigned i = 0; i + LANES < WORDS; i += LANES) {
        for (unsigned lane = 0; lane < LANES; lane++)
            lanes[lane] = lane_step(lanes[lane], load_word(cell, i + lane));
    }
    for (unsigned lane = 0; lane < LANES - 1; lane++)
        lanes[lane] = lane_step(lanes[lane], load_word(cell, WORDS - LANES + lane));
    for (unsigned lane = 0; lane < LANES; lane++)
        sum = lane_step(sum, lanes[lane]);
    return sum;
}

void cell_encode(uint8_t out[CELL_BYTES], const struct cell_label *label)
{
    uint64_t filling =
        random_mix(label->seed ^ random_mix(label->offset_bytes ^ random_mix(label->number)));

    store_word(out, 0, MAGIC);
    store_word(out, 1, label->seed);
    store_word(out, 2, label->offset_bytes);
    store_word(out, 3, label->number);
    store_word(out, 4, label->write_offset_bytes);
    store_word(out, 5, label->write_length_bytes);
    for (unsigned i = WORD_FILLING; i < WORD_CHECKSUM; i++)
        store_word(out, i, filling + i * 0xd1342543de82ef95u);
    store_word(out, WORD_CHECKSUM, checksum_of(out));
}

enum cell_state cell_decode(const uint8_t in[CELL_BYTES], struct cell_label *label)
{
    if (load_word(in, 0) != MAGIC)
        return CELL_ALIEN;
    *label = (struct cell_label){
        .seed = load_word(in, 1),
        .offset_bytes = load_word(in, 2),
        .number = load_word(in, 3),
        .write_offset_bytes = load_word(in, 4),
        .write_length_bytes = load_word(in, 5),
    };
    return load_word(in, WORD_CHECKSUM) == checksum_of(in) ? CELL_GOOD : CELL_DAMAGED;
}

bool cell_is_zero(const uint8_t in[CELL_BYTES])
{
    uint64_t any = 0;

    for (unsigned i = 0; i < WORDS; i++)
        any |= load_word(in, i);
    return any == 0;
}
