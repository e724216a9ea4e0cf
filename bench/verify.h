/* Proof that what was written is what is read: writes carry cells (verify-cell.h), reads are
 * compared with what must be there (verify-table.h).
 *
 * Found are writes that were answered and lost, torn, or put somewhere else, older data that
 * came back, and flipped bits, whichever connection wrote and whichever reads. */
#ifndef NBDCRYPT_VERIFY_H
#define NBDCRYPT_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/verify-cell.h"
#include "bench/verify-table.h"
#include "server/base/error.h"

#define VERIFY_SENTENCES_MAX 10u /* faults beyond these are only counted */

struct verify {
    struct verify_table table;
    bool has_table;        /* else cells are compared with themselves and each other only */
    _Atomic uint64_t seed; /* of the cells; 0 without a table: the first cell tells */
    _Atomic uint64_t last_number;
    _Atomic uint64_t cells_checked, cells_faulty;
};

/* ---- what a run writes, and reads back ---- */

/* `path`: of a state file, or NULL. */
NODISCARD int verify_begin(struct verify *verify, const struct verify_area *area, const char *path,
                           struct error *err);

/* ---- what an earlier run has written ---- */

/* With its state file.  The area is verify->table.area. */
NODISCARD int verify_resume(struct verify *verify, const char *path, struct error *err);
/* With nothing: every cell must be there, be whole, lie where it says, be of one seed (`seed`,
 * unless that is 0), and be no older than a write that its neighbour says it was part of. */
void verify_begin_blind(struct verify *verify, uint64_t seed);

void verify_end(struct verify *verify);

/* ---- requests; any thread ---- */

/* Fills the payload of a write, whose blocks have been taken, and gives its number. */
uint64_t verify_fill(struct verify *verify, uint8_t *data, uint64_t offset_bytes,
                     uint32_t length_bytes);

/* Whether any block of this range has a known content. */
bool verify_knows(const struct verify *verify, uint64_t offset_bytes, uint32_t length_bytes);

/* Compares what was read; says what is wrong on standard error and counts it. */
void verify_check(struct verify *verify, const uint8_t *data, uint64_t offset_bytes,
                  uint32_t length_bytes);

/* One cell, as verify_check() sees it: 0, or -EIO with the sentence. */
NODISCARD int verify_check_cell(struct verify *verify, const uint8_t cell[CELL_BYTES],
                                uint64_t offset_bytes, struct error *err);

#endif
