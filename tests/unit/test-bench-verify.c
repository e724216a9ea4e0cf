/* What --verify finds: each way to lose, move, mix or damage what was written. */
#include "bench/verify.h"

#include <errno.h>
#include <unistd.h>

#include "server/base/log.h"
#include "tests/support/check.h"

#define BLOCK 2048u /* 4 cells */
#define AREA_OFFSET 65536u
#define AREA_BYTES (16 * BLOCK)
#define SEED 77u

static struct verify verify;
static uint8_t disk[AREA_BYTES];

static void begin(const char *state_path)
{
    struct verify_area area = {
        .seed = SEED,
        .offset_bytes = AREA_OFFSET,
        .length_bytes = AREA_BYTES,
        .block_bytes = BLOCK,
    };
    struct error err;

    memset(disk, 0x5a, sizeof disk);
    EXPECT(verify_begin(&verify, &area, state_path, &err) == 0);
}

/* A write that works, of blocks [first, end). */
static void write_blocks(unsigned first, unsigned end)
{
    uint32_t length = (end - first) * BLOCK;
    uint64_t offset = AREA_OFFSET + first * BLOCK;

    EXPECT(verify_table_take(&verify.table, offset, length, VERIFY_WRITE));
    uint64_t number = verify_fill(&verify, disk + first * BLOCK, offset, length);
    verify_table_end(&verify.table, offset, length, VERIFY_WRITE, number);
}

/* How many of the cells of all blocks are wrong. */
static uint64_t wrong_cells(void)
{
    uint64_t before = verify.cells_faulty;

    verify_check(&verify, disk, AREA_OFFSET, AREA_BYTES);
    return verify.cells_faulty - before;
}

static void expect_sentence(unsigned cell, const char *part)
{
    struct error err;
    uint64_t offset = AREA_OFFSET + cell * CELL_BYTES;

    EXPECT(verify_check_cell(&verify, disk + cell * CELL_BYTES, offset, &err) == -EIO);
    if (strstr(err.text, part) == NULL)
        EXPECT_TEXT(err.text, part);
}

/* ---- cells ---- */

static void every_bit_counts(void)
{
    struct cell_label label = { 1, 2, 3, 4, 5 }, got;
    uint8_t cell[CELL_BYTES];

    cell_encode(cell, &label);
    EXPECT(cell_decode(cell, &got) == CELL_GOOD);
    EXPECT(memcmp(&got, &label, sizeof got) == 0);
    for (unsigned bit = 0; bit < 8 * CELL_BYTES; bit++) {
        cell[bit / 8] ^= (uint8_t)(1u << bit % 8);
        EXPECT(cell_decode(cell, &got) != CELL_GOOD);
        cell[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    EXPECT(cell_decode(cell, &got) == CELL_GOOD);
}

/* A cell of which the end is of another write, wherever the border is. */
static void torn_inside_a_cell(void)
{
    struct cell_label older = { SEED, 4096, 8, 4096, 512 }, newer = { SEED, 4096, 9, 4096, 512 };
    uint8_t before[CELL_BYTES], after[CELL_BYTES], mixed[CELL_BYTES];
    struct cell_label got;

    cell_encode(before, &older);
    cell_encode(after, &newer);
    for (unsigned border = 1; border < CELL_BYTES; border++) {
        memcpy(mixed, after, border);
        memcpy(mixed + border, before + border, CELL_BYTES - border);
        if (memcmp(mixed, after, CELL_BYTES) != 0 && memcmp(mixed, before, CELL_BYTES) != 0)
            EXPECT(cell_decode(mixed, &got) == CELL_DAMAGED);
    }
}

static void cells_differ(void)
{
    struct cell_label label = { SEED, 0, 1, 0, 4096 };
    uint8_t first[CELL_BYTES], second[CELL_BYTES];
    unsigned same = 0;

    cell_encode(first, &label);
    label.number = 2;
    cell_encode(second, &label);
    for (unsigned i = 48; i < CELL_BYTES; i++)
        same += first[i] == second[i];
    EXPECT(same < 100);
    memset(first, 0, sizeof first);
    EXPECT(cell_is_zero(first) && !cell_is_zero(second));
    first[CELL_BYTES - 1] = 1;
    EXPECT(!cell_is_zero(first));
}

/* ---- against the table ---- */

static void good_data_passes(void)
{
    begin(NULL);
    EXPECT(wrong_cells() == 0); /* nothing was written, so anything may be there */
    EXPECT(verify.cells_checked == 0);
    write_blocks(0, 4);
    write_blocks(2, 3);
    write_blocks(15, 16);
    EXPECT(wrong_cells() == 0);
    EXPECT(verify.cells_checked == 5 * BLOCK / CELL_BYTES);
    verify_end(&verify);
}

static void a_lost_write_is_found(void)
{
    uint8_t old[BLOCK];

    begin(NULL);
    write_blocks(3, 4);
    memcpy(old, disk + 3 * BLOCK, BLOCK);
    write_blocks(3, 4);
    EXPECT(wrong_cells() == 0);
    memcpy(disk + 3 * BLOCK, old, BLOCK);
    EXPECT(wrong_cells() == 4);
    expect_sentence(12, "write 1 is there, and write 2 was made later: it was lost");
    memset(disk + 3 * BLOCK, 0x5a, BLOCK); /* what was there before the run */
    EXPECT(wrong_cells() == 4);
    expect_sentence(12, "was not written by nbdcrypt-bench");
    verify_end(&verify);
}

static void a_torn_write_is_found(void)
{
    uint8_t old[BLOCK];

    begin(NULL);
    write_blocks(0, 2);
    memcpy(old, disk + BLOCK, BLOCK);
    write_blocks(0, 2);
    memcpy(disk + BLOCK + CELL_BYTES, old + CELL_BYTES, CELL_BYTES);
    EXPECT(wrong_cells() == 1);
    expect_sentence(5, "write 1 is there, and write 2 was made later");
    verify_end(&verify);
}

static void a_misplaced_block_is_found(void)
{
    begin(NULL);
    write_blocks(0, 1);
    write_blocks(7, 8);
    memcpy(disk, disk + 7 * BLOCK, BLOCK);
    EXPECT(wrong_cells() == 4);
    expect_sentence(0, "belongs to offset 79872: it was misplaced");
    verify_end(&verify);
}

static void a_flipped_bit_is_found(void)
{
    begin(NULL);
    write_blocks(0, 16);
    disk[5 * BLOCK + 700] ^= 4;
    EXPECT(wrong_cells() == 1);
    expect_sentence(21, "the checksum does not fit");
    verify_end(&verify);
}

static void data_of_another_run_is_found(void)
{
    begin(NULL);
    write_blocks(1, 2);
    atomic_store(&verify.seed, SEED + 1);
    EXPECT(wrong_cells() == 4);
    expect_sentence(4, "of another run, with the seed 77 instead of 78");
    verify_end(&verify);
}

static void zeros_and_trims(void)
{
    begin(NULL);
    write_blocks(0, 2);
    EXPECT(verify_table_take(&verify.table, AREA_OFFSET, BLOCK, VERIFY_ZERO));
    memset(disk, 0, BLOCK);
    verify_table_end(&verify.table, AREA_OFFSET, BLOCK, VERIFY_ZERO, 0);
    EXPECT(wrong_cells() == 0);
    disk[BLOCK - 1] = 1;
    EXPECT(wrong_cells() == 1);
    expect_sentence(3, "zeros were written there");
    EXPECT(verify_table_take(&verify.table, AREA_OFFSET, BLOCK, VERIFY_TRIM));
    verify_table_end(&verify.table, AREA_OFFSET, BLOCK, VERIFY_TRIM, 0);
    EXPECT(wrong_cells() == 0);
    EXPECT(!verify_knows(&verify, AREA_OFFSET, BLOCK));
    EXPECT(verify_knows(&verify, AREA_OFFSET, 2 * BLOCK));
    verify_end(&verify);
}

/* ---- reservations ---- */

static void reservations(void)
{
    struct verify_table *table = &verify.table;

    begin(NULL);
    EXPECT(verify_table_take(table, AREA_OFFSET, 4 * BLOCK, VERIFY_READ));
    EXPECT(verify_table_take(table, AREA_OFFSET, BLOCK, VERIFY_READ));
    EXPECT(!verify_table_take(table, AREA_OFFSET, BLOCK, VERIFY_WRITE));
    EXPECT(!verify_table_take(table, AREA_OFFSET + 3 * BLOCK, 2 * BLOCK, VERIFY_WRITE));
    /* Nothing of the one that failed is left. */
    EXPECT(verify_table_take(table, AREA_OFFSET + 4 * BLOCK, BLOCK, VERIFY_WRITE));
    EXPECT(!verify_table_take(table, AREA_OFFSET + 2 * BLOCK, 3 * BLOCK, VERIFY_READ));
    verify_table_end(table, AREA_OFFSET, BLOCK, VERIFY_READ, 0);
    verify_table_end(table, AREA_OFFSET, 4 * BLOCK, VERIFY_READ, 0);
    EXPECT(verify_table_take(table, AREA_OFFSET, 4 * BLOCK, VERIFY_WRITE));
    verify_end(&verify);
}

/* ---- a state file ---- */

/* A command that was under way when the server died: it may have arrived, whole or in part. */
static void die_during(unsigned block, enum verify_use use)
{
    uint64_t offset = AREA_OFFSET + block * BLOCK;

    EXPECT(verify_table_take(&verify.table, offset, BLOCK, use));
    if (use == VERIFY_WRITE)
        (void)verify_fill(&verify, disk + block * BLOCK, offset, BLOCK / 2);
    else
        memset(disk + block * BLOCK, use == VERIFY_ZERO ? 0 : 0xaa, BLOCK / 2);
}

static void a_state_file_tells_a_later_run(void)
{
    char path[] = "/tmp/test-bench-verify.XXXXXX";
    uint8_t old[BLOCK];
    struct error err;
    int fd = mkstemp(path);

    EXPECT(fd >= 0);
    close(fd);
    begin(path);
    write_blocks(0, 8);
    memcpy(old, disk + 6 * BLOCK, BLOCK);
    write_blocks(6, 7);
    die_during(7, VERIFY_WRITE);
    die_during(0, VERIFY_ZERO);
    die_during(1, VERIFY_TRIM);
    verify_end(&verify);

    EXPECT(verify_resume(&verify, path, &err) == 0);
    EXPECT(verify.table.area.offset_bytes == AREA_OFFSET);
    EXPECT(wrong_cells() == 0);
    EXPECT(verify.cells_checked == 7 * BLOCK / CELL_BYTES); /* what was trimmed is unknown */
    memcpy(disk + 6 * BLOCK, old, BLOCK);
    EXPECT(wrong_cells() == 4);
    memset(disk + 7 * BLOCK, 0, CELL_BYTES); /* neither the old data nor the new */
    EXPECT(wrong_cells() == 5);
    verify_end(&verify);

    EXPECT(truncate(path, 5000) == 0);
    EXPECT(verify_resume(&verify, path, &err) == -EINVAL);
    unlink(path);
}

/* ---- without a table ---- */

static void begin_blind(uint64_t seed)
{
    begin(NULL);
    write_blocks(0, 16);
    verify_end(&verify);
    verify_begin_blind(&verify, seed);
}

static void blind_checks(void)
{
    uint8_t block[BLOCK];

    begin_blind(0);
    EXPECT(wrong_cells() == 0);
    EXPECT(verify.seed == SEED);
    disk[100] ^= 1;
    EXPECT(wrong_cells() == 1);

    begin_blind(0);
    memcpy(block, disk + BLOCK, BLOCK);
    memcpy(disk + 2 * BLOCK, block, BLOCK);
    EXPECT(wrong_cells() == 4);

    begin_blind(SEED + 1);
    EXPECT(wrong_cells() == AREA_BYTES / CELL_BYTES);

    begin_blind(SEED);
    memset(disk + BLOCK, 0, BLOCK);
    EXPECT(wrong_cells() == 4);
}

/* Two writes of the same blocks, of which the second one arrived in part. */
static void blind_finds_torn_writes(void)
{
    uint8_t old[3 * BLOCK];

    for (unsigned cell = 0; cell < 12; cell++) {
        begin(NULL);
        write_blocks(0, 16);
        memcpy(old, disk + 2 * BLOCK, sizeof old);
        write_blocks(2, 5);
        verify_end(&verify);
        verify_begin_blind(&verify, SEED);
        EXPECT(wrong_cells() == 0);
        memcpy(disk + 2 * BLOCK + cell * CELL_BYTES, old + cell * CELL_BYTES, CELL_BYTES);
        EXPECT(wrong_cells() > 0);
    }
}

static const struct check checks[] = {
    { "a flipped bit anywhere in a cell is found", every_bit_counts },
    { "a cell that is of two writes is found", torn_inside_a_cell },
    { "cells of two writes have little in common", cells_differ },
    { "what was written is found to be good, and what was not is not looked at", good_data_passes },
    { "older data instead of newer is a lost write", a_lost_write_is_found },
    { "one older cell among newer ones is a torn write", a_torn_write_is_found },
    { "a block in the place of another is misplaced", a_misplaced_block_is_found },
    { "a flipped bit on the disk is found", a_flipped_bit_is_found },
    { "data of another run is found", data_of_another_run_is_found },
    { "zeros must be zero, and trimmed blocks may be anything", zeros_and_trims },
    { "reads share blocks, a write has them alone, and nothing is taken by halves", reservations },
    { "a state file tells a later run what must be there", a_state_file_tells_a_later_run },
    { "without a table damage, misplacement and another seed are found", blind_checks },
    { "without a table a torn write is found by its neighbours", blind_finds_torn_writes },
};

int main(int argc, char **argv)
{
    log_set_level((enum log_level)(LOG_ERROR - 1)); /* the sentences are asked for one by one */
    return CHECKS_RUN(checks, argc, argv);
}
