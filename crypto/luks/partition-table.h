/* The partitions of a disk: MBR with logical ones, GPT, and what else libblkid knows.  As in
 * format-signature.h, the library sees a sparse copy in memory, the same for every backend; the
 * table is not trusted, so ranges may lie beyond the end of the disk. */
#ifndef NBDCRYPT_PARTITION_TABLE_H
#define NBDCRYPT_PARTITION_TABLE_H

#include "crypto/luks/luks-types.h"

#define PARTITIONS_MAX 256u /* further ones are left out */

struct partition {
    unsigned number; /* as the kernel counts: from 1, the first logical one is 5 */
    uint64_t start_bytes;
    uint64_t size_bytes;
    bool extended; /* it only holds the logical ones */
};

struct partition_table {
    char type[16]; /* "gpt", "dos" (an MBR), ...; "": there is no table */
    unsigned count;
    struct partition partitions[PARTITIONS_MAX];
};

/* Errors: those of `read`; -ENOMEM.  Not on a serving thread: it reads, and the library parses. */
NODISCARD int partition_table_read(struct partition_table *out, luks_read_fn *read, void *context,
                                   uint64_t size_bytes, struct error *err);

#endif
