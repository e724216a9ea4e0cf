/* Does what was decrypted look like a disk?  For encryption that does not tell a wrong key. */
#ifndef NBDCRYPT_PLAUSIBLE_DISK_H
#define NBDCRYPT_PLAUSIBLE_DISK_H

#include "server/block/layer.h"

enum plausible {
    PLAUSIBLE_NOT,   /* it is noise, as far as was looked */
    PLAUSIBLE_EMPTY, /* there is no data to look at */
    PLAUSIBLE_DISK,
};

/* Looks for a partition table, a file system or the like, and then for a sector that is no noise,
 * in the first megabytes of data; holes do not count.  `disk` lists READ and EXTENTS.  Blocks.
 * Errors: those of reading. */
NODISCARD int plausible_disk(enum plausible *out, struct stage *disk, struct error *err);

/* The same question for bytes of whole sectors: is there one that is no noise?  Encrypted zeros
 * that nobody wrote, which repeat each 16 bytes under any key, are. */
bool plausible_sectors(const uint8_t *data, size_t length_bytes);

#endif
