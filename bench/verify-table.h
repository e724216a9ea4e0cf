/* What each block of an area must hold, as far as it is known: one 64-bit entry per block, shared
 * by all threads without a lock.
 *
 * An entry is also the block's reservation.  A write takes its blocks alone and reads take
 * them together, so that while a read is under way there is exactly one right answer.
 *
 * The table is memory, or a file that a later process opens: that one knows what must have
 * survived a crash of the server.  The blocks of writes that were under way then may hold either
 * what was there before or what was being written. */
#ifndef NBDCRYPT_VERIFY_TABLE_H
#define NBDCRYPT_VERIFY_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/error.h"

#define VERIFY_BLOCKS_MAX (1ull << 30) /* 8 GiB of entries */

enum verify_content {
    VERIFY_UNKNOWN, /* never written, or trimmed */
    VERIFY_CELLS,   /* cells of the write `number` */
    VERIFY_ZEROS,
};

/* What a block is taken for. */
enum verify_use { VERIFY_READ, VERIFY_WRITE, VERIFY_ZERO, VERIFY_TRIM };

struct verify_expectation {
    enum verify_content content;
    uint64_t number; /* of VERIFY_CELLS */
    /* Unless it is VERIFY_READ: what was under way when the run ended, and may have arrived. */
    enum verify_use pending;
};

/* Fixed for the life of a table; what its file begins with. */
struct verify_area {
    uint64_t seed;
    uint64_t offset_bytes, length_bytes;
    uint64_t block_bytes; /* the length is a multiple of it */
};

struct verify_table {
    struct verify_area area;
    _Atomic uint64_t *entries;
    void *mapping;
    uint64_t mapping_bytes;
};

/* A table that knows nothing; in `path` (made, or emptied) when that is not NULL, else in memory.
 * -errno with a sentence: too many blocks, or the file can't be made. */
NODISCARD int verify_table_create(struct verify_table *table, const struct verify_area *area,
                                  const char *path, struct error *err);
/* The table that an earlier run left in `path`; it is not changed. */
NODISCARD int verify_table_open(struct verify_table *table, const char *path, struct error *err);
void verify_table_close(struct verify_table *table);

/* Takes every block of a range, which must be in the area.  False: somebody else has one of
 * them in a way that excludes this one; nothing is taken then. */
bool verify_table_take(struct verify_table *table, uint64_t offset_bytes, uint64_t length_bytes,
                       enum verify_use use);

/* Ends what verify_table_take() began, once it has worked; `number` is that of a write. */
void verify_table_end(struct verify_table *table, uint64_t offset_bytes, uint64_t length_bytes,
                      enum verify_use use, uint64_t number);

/* Of the block that holds this byte; steady while a read of it is under way. */
struct verify_expectation verify_table_expect(const struct verify_table *table,
                                              uint64_t offset_bytes);

#endif
