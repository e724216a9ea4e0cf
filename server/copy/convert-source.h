/* To know the source of a conversion again: whether it is the same disk, with the same data, as far
 * as can be told without reading all of it. */
#ifndef NBDCRYPT_CONVERT_SOURCE_H
#define NBDCRYPT_CONVERT_SOURCE_H

#include "server/copy/copy-end.h"

/* What a file says of itself; all zeros of other storage. */
struct convert_stamp {
    uint64_t inode, size_bytes;
    int64_t seconds, nanoseconds; /* when it was written last */
};

struct convert_stamp convert_source_stamp(const char *spec);
bool convert_stamps_equal(const struct convert_stamp *a, const struct convert_stamp *b);

/* Its stamp, its size, and what is in some places of it. */
struct convert_sample {
    uint8_t *data; /* NULL: there is none */
    size_t length_bytes;
};

/* Blocks.  convert_sample_free() in every case. */
NODISCARD int convert_source_sample(struct convert_sample *out, const struct copy_end *source,
                                    struct error *err);
void convert_sample_free(struct convert_sample *sample);

#endif
