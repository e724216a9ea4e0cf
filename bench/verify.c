#include "bench/verify.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "server/base/log.h"

/* ---- begin and end ---- */

int verify_begin(struct verify *verify, const struct verify_area *area, const char *path,
                 struct error *err)
{
    *verify = (struct verify){ .has_table = true, .seed = area->seed };
    return verify_table_create(&verify->table, area, path, err);
}

int verify_resume(struct verify *verify, const char *path, struct error *err)
{
    *verify = (struct verify){ .has_table = true };
    int result = verify_table_open(&verify->table, path, err);

    if (result == 0)
        atomic_init(&verify->seed, verify->table.area.seed);
    return result;
}

void verify_begin_blind(struct verify *verify, uint64_t seed)
{
    *verify = (struct verify){ .seed = seed };
}

void verify_end(struct verify *verify)
{
    if (verify->has_table)
        verify_table_close(&verify->table);
}

/* ---- writing ---- */

uint64_t verify_fill(struct verify *verify, uint8_t *data, uint64_t offset_bytes,
                     uint32_t length_bytes)
{
    struct cell_label label = {
        .seed = atomic_load_explicit(&verify->seed, memory_order_relaxed),
        .number = 1 + atomic_fetch_add_explicit(&verify->last_number, 1, memory_order_relaxed),
        .write_offset_bytes = offset_bytes,
        .write_length_bytes = length_bytes,
    };

    assert(length_bytes % CELL_BYTES == 0);
    for (uint32_t at = 0; at < length_bytes; at += CELL_BYTES) {
        label.offset_bytes = offset_bytes + at;
        cell_encode(data + at, &label);
    }
    return label.number;
}

bool verify_knows(const struct verify *verify, uint64_t offset_bytes, uint32_t length_bytes)
{
    if (!verify->has_table)
        return true;
    for (uint64_t at = offset_bytes; at < offset_bytes + length_bytes;
         at += verify->table.area.block_bytes) {
        if (verify_table_expect(&verify->table, at).content != VERIFY_UNKNOWN)
            return true;
    }
    return false;
}

/* ---- what one cell must be ---- */

/* The seed of the first cell that is seen is that of all, when none was given. */
static uint64_t seed_to_expect(struct verify *verify, uint64_t seen)
{
    uint64_t seed = 0;

    if (atomic_compare_exchange_strong_explicit(&verify->seed, &seed, seen, memory_order_relaxed,
                                                memory_order_relaxed))
        return seen;
    return seed;
}

/* Whole, in its place, of this run. */
static int check_label(struct verify *verify, const uint8_t *cell, uint64_t offset_bytes,
                       struct cell_label *label, struct error *err)
{
    enum cell_state state = cell_decode(cell, label);

    if (state == CELL_ALIEN)
        return error_set(err, -EIO,
                         "what is there was not written by nbdcrypt-bench, or was "
                         "overwritten by something else");
    if (state == CELL_DAMAGED)
        return error_set(err, -EIO,
                         "the checksum does not fit: it was damaged, or written in "
                         "part only");
    if (label->offset_bytes != offset_bytes)
        return error_set(err, -EIO,
                         "what is there belongs to offset %" PRIu64 ": it was "
                         "misplaced when it was written or read",
                         label->offset_bytes);
    uint64_t seed = seed_to_expect(verify, label->seed);
    if (label->seed != seed)
        return error_set(err, -EIO,
                         "what is there is of another run, with the seed %" PRIu64
                         " instead of %" PRIu64 ": a write was lost",
                         label->seed, seed);
    return 0;
}

static int check_number(const struct verify_expectation *expected, const struct cell_label *label,
                        struct error *err)
{
    if (label->number == expected->number)
        return 0;
    if (label->number < expected->number)
        return error_set(err, -EIO,
                         "write %" PRIu64 " is there, and write %" PRIu64 " was made "
                         "later: it was lost",
                         label->number, expected->number);
    if (expected->pending == VERIFY_WRITE)
        return 0;
    return error_set(err, -EIO,
                     "write %" PRIu64 " is there, but the last one that was answered "
                     "is %" PRIu64,
                     label->number, expected->number);
}

static int check_expected(struct verify *verify, const struct verify_expectation *expected,
                          const uint8_t *cell, uint64_t offset_bytes, struct error *err)
{
    struct cell_label label;
    bool may_be_zero = expected->content == VERIFY_ZEROS || expected->pending == VERIFY_ZERO;
    bool may_be_cells = expected->content == VERIFY_CELLS || expected->pending == VERIFY_WRITE;

    if (may_be_zero && cell_is_zero(cell))
        return 0;
    if (!may_be_cells)
        return error_set(err, -EIO, "zeros were written there, and it is not zero");
    int result = check_label(verify, cell, offset_bytes, &label, err);
    if (result == 0 && expected->content == VERIFY_CELLS)
        result = check_number(expected, &label, err);
    return result;
}

int verify_check_cell(struct verify *verify, const uint8_t cell[CELL_BYTES], uint64_t offset_bytes,
                      struct error *err)
{
    struct verify_expectation expected = { .content = VERIFY_CELLS, .pending = VERIFY_WRITE };

    if (verify->has_table)
        expected = verify_table_expect(&verify->table, offset_bytes);
    if (expected.content == VERIFY_UNKNOWN || expected.pending == VERIFY_TRIM)
        return 0;
    atomic_fetch_add_explicit(&verify->cells_checked, 1, memory_order_relaxed);
    int result = check_expected(verify, &expected, cell, offset_bytes, err);
    if (result != 0)
        error_prefix(err, "offset %" PRIu64 ": ", offset_bytes);
    return result;
}

/* ---- a read ---- */

static void count_fault(struct verify *verify, const struct error *err)
{
    uint64_t before = atomic_fetch_add_explicit(&verify->cells_faulty, 1, memory_order_relaxed);

    if (before < VERIFY_SENTENCES_MAX)
        log_error("%s", err->text);
}

static bool covers(const struct cell_label *write_of, const struct cell_label *cell)
{
    return cell->offset_bytes >= write_of->write_offset_bytes &&
           cell->offset_bytes - write_of->write_offset_bytes < write_of->write_length_bytes;
}

/* Writes of a block follow one another.  So a neighbour that the write of this cell covered has
 * that number or a higher one; otherwise the write arrived in part. */
static void check_neighbours(struct verify *verify, const uint8_t *cells, uint32_t length_bytes)
{
    struct cell_label previous = { 0 }, label = { 0 };
    bool have_previous = false;

    for (uint32_t at = 0; at < length_bytes; at += CELL_BYTES) {
        bool good = cell_decode(cells + at, &label) == CELL_GOOD;

        if (good && have_previous &&
            ((covers(&label, &previous) && previous.number < label.number) ||
             (covers(&previous, &label) && label.number < previous.number))) {
            struct error err;

            (void)error_set(&err, -EIO,
                            "offset %" PRIu64 ": write %" PRIu64 " is there, and write %" PRIu64
                            " beside it, of which one covered both: it was torn",
                            label.offset_bytes, label.number, previous.number);
            count_fault(verify, &err);
        }
        previous = label;
        have_previous = good;
    }
}

void verify_check(struct verify *verify, const uint8_t *data, uint64_t offset_bytes,
                  uint32_t length_bytes)
{
    struct error err;

    assert(length_bytes % CELL_BYTES == 0);
    for (uint32_t at = 0; at < length_bytes; at += CELL_BYTES) {
        if (verify_check_cell(verify, data + at, offset_bytes + at, &err) != 0)
            count_fault(verify, &err);
    }
    if (!verify->has_table)
        check_neighbours(verify, data, length_bytes);
}
