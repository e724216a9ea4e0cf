/* How a command is cut: what every piece promises to the layers below (struct limits, phase_bytes),
 * for each kind of command, block, beginning and length. */
#include "server/connection/piece.h"

#include "tests/support/check.h"

#define PIECES_MAX 1024u

static const uint32_t phases[] = { 1, 512, 4096, 65536 };
static const uint64_t offsets_bytes[] = { 0,      1,       511,      512,          4095,
                                          4096,   65535,   65536,    65537,        262143,
                                          262144, 1000003, 1u << 30, INT64_MAX / 2 };
static const uint32_t lengths_bytes[] = {
    1,      2,      511,    512,    513,    4095,   4096,   4097,    65535,   65536,   65537,
    131071, 131072, 131073, 196608, 262143, 262144, 262145, 1048576, 1048577, 33554432
};

/* One way to cut: each piece is checked, then the whole. */
struct cut {
    struct limits limits;
    struct command command;
    struct piece pieces[PIECES_MAX];
    unsigned count;
};

static void cut_up(struct cut *cut)
{
    cut->count = 0;
    do {
        struct piece piece = piece_next(&cut->limits, &cut->command);

        EXPECT(cut->count < PIECES_MAX);
        cut->pieces[cut->count++] = piece;
        cut->command.issued_bytes += piece.length_bytes;
    } while (cut->command.issued_bytes < cut->command.request.length_bytes);
}

/* Calls `check` for every way to cut a command of this kind. */
static void for_each(enum request_op op, bool zero_needs_data, void (*check)(const struct cut *cut))
{
    for (size_t p = 0; p < sizeof phases / sizeof phases[0]; p++)
        for (size_t o = 0; o < sizeof offsets_bytes / sizeof offsets_bytes[0]; o++)
            for (size_t l = 0; l < sizeof lengths_bytes / sizeof lengths_bytes[0]; l++) {
                static struct cut cut;

                cut.limits =
                    (struct limits){ .phase_bytes = phases[p], .zero_needs_data = zero_needs_data };
                cut.command = (struct command){ .op = op };
                cut.command.request.offset_bytes = offsets_bytes[o];
                cut.command.request.length_bytes = lengths_bytes[l];
                cut_up(&cut);
                check(&cut);
            }
}

/* ---- what holds for all ---- */

static void is_the_whole_range(const struct cut *cut)
{
    uint64_t at_bytes = cut->command.request.offset_bytes;

    for (unsigned i = 0; i < cut->count; i++) {
        EXPECT(cut->pieces[i].length_bytes > 0);
        EXPECT(cut->pieces[i].offset_bytes == at_bytes);
        at_bytes += cut->pieces[i].length_bytes;
    }
    EXPECT(at_bytes == cut->command.request.offset_bytes + cut->command.request.length_bytes);
}

static void whole_range(void)
{
    for (unsigned op = 0; op < REQUEST_OP_COUNT; op++) {
        for_each((enum request_op)op, false, is_the_whole_range);
        for_each((enum request_op)op, true, is_the_whole_range);
    }
}

/* ---- data ---- */

static uint32_t widened_bytes(const struct cut *cut, const struct piece *piece)
{
    uint32_t phase = cut->limits.phase_bytes;

    return (piece->data_at + (uint32_t)piece->length_bytes + phase - 1) / phase * phase;
}

static bool must_be_widened(const struct cut *cut, const struct piece *piece)
{
    return piece->data_at != 0 ||
           (piece->offset_bytes + piece->length_bytes) % cut->limits.phase_bytes != 0;
}

static void lies_at_its_phase(const struct cut *cut)
{
    for (unsigned i = 0; i < cut->count; i++) {
        const struct piece *piece = &cut->pieces[i];

        EXPECT(piece->data_at == piece->offset_bytes % cut->limits.phase_bytes);
        EXPECT(piece->buffer_bytes >= widened_bytes(cut, piece));
        EXPECT(piece->buffer_bytes <= BUFFER_BYTES_MAX);
        /* What is widened would be read and written twice. */
        if (i + 1 < cut->count)
            EXPECT((piece->offset_bytes + piece->length_bytes) % cut->limits.phase_bytes == 0);
    }
}

static void data_at_its_phase(void)
{
    for_each(REQUEST_READ, false, lies_at_its_phase);
    for_each(REQUEST_WRITE, false, lies_at_its_phase);
    for_each(REQUEST_ZERO, true, lies_at_its_phase);
}

static void has_scratch_when_widened(const struct cut *cut)
{
    for (unsigned i = 0; i < cut->count; i++) {
        const struct piece *piece = &cut->pieces[i];
        uint32_t scratch_bytes = piece->buffer_bytes - widened_bytes(cut, piece);

        EXPECT(scratch_bytes == 2 * cut->limits.phase_bytes ||
               (scratch_bytes == 0 && !must_be_widened(cut, piece)));
    }
}

static void room_for_two_blocks(void)
{
    for_each(REQUEST_WRITE, false, has_scratch_when_widened);
    for_each(REQUEST_ZERO, true, has_scratch_when_widened);
}

static void is_one_if_it_fits(const struct cut *cut)
{
    uint32_t skip_bytes = (uint32_t)(cut->command.request.offset_bytes % cut->limits.phase_bytes);

    if (skip_bytes + cut->command.request.length_bytes <= BUFFER_BYTES_MAX)
        EXPECT(cut->count == 1);
    else
        EXPECT(cut->count > 1);
}

static void reads_are_not_cut_in_vain(void)
{
    for_each(REQUEST_READ, false, is_one_if_it_fits);
}

/* ---- zeros without data ---- */

static void has_data_for_parts_of_blocks(const struct cut *cut)
{
    uint32_t phase = cut->limits.phase_bytes;

    EXPECT(cut->count <= 3);
    for (unsigned i = 0; i < cut->count; i++) {
        const struct piece *piece = &cut->pieces[i];

        if (piece->buffer_bytes == 0) {
            EXPECT(piece->offset_bytes % phase == 0 && piece->length_bytes % phase == 0);
            continue;
        }
        EXPECT(piece->length_bytes < phase);
        EXPECT(piece->data_at + piece->length_bytes <= phase);
        EXPECT(piece->buffer_bytes == 3 * phase);
    }
}

static void zeros_of_whole_blocks(void)
{
    for_each(REQUEST_ZERO, false, has_data_for_parts_of_blocks);
}

/* ---- the others ---- */

static void is_one_without_buffer(const struct cut *cut)
{
    EXPECT(cut->count == 1 && cut->pieces[0].buffer_bytes == 0);
}

static void is_one_with_a_list(const struct cut *cut)
{
    EXPECT(cut->count == 1 && cut->pieces[0].buffer_bytes == PIECE_EXTENTS_BYTES);
    EXPECT(cut->pieces[0].data_at == 0);
}

static void others_are_one(void)
{
    for_each(REQUEST_FLUSH, false, is_one_without_buffer);
    for_each(REQUEST_TRIM, false, is_one_without_buffer);
    for_each(REQUEST_CACHE, false, is_one_without_buffer);
    for_each(REQUEST_EXTENTS, false, is_one_with_a_list);
}

static const struct check checks[] = {
    { "the pieces of a command are its range, in order", whole_range },
    { "data lies at its phase, and all pieces but the last end on a block", data_at_its_phase },
    { "a write that is widened has room for two blocks", room_for_two_blocks },
    { "a read that fits into a buffer is one piece", reads_are_not_cut_in_vain },
    { "zeros have data for parts of blocks only", zeros_of_whole_blocks },
    { "TRIM, CACHE, FLUSH and BLOCK_STATUS are one piece", others_are_one },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
