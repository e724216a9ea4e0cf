/* The target of a conversion: a new volume, one that is there, one that is unfinished, or a plain
 * disk. */
#ifndef NBDCRYPT_CONVERT_TARGET_H
#define NBDCRYPT_CONVERT_TARGET_H

#include "crypto/luks/luks-conversion.h"
#include "server/cli/new-volume.h"
#include "server/copy/copy-end.h"
#include "server/copy/copy-worker.h"

/* So much of the start is written last, where what is found there says what the disk is. */
#define CONVERT_HEAD_BYTES (1024u * 1024u)

struct convert_target {
    struct copy_end end;
    bool is_new;     /* made by this run, or formatted */
    bool is_blank;   /* it reads as zeros where nothing was written */
    bool has_record; /* its header says how far the conversion is: `conversion` */
    bool goes_on;    /* it was begun by another run */
    struct luks_conversion conversion;
    struct format_target raw;
};

struct convert_target_wish {
    const char *spec;
    const struct copy_end *source;
    struct copy_end_arguments *arguments;
    struct new_volume *volume; /* with its options; set for a new one */
    bool existing;             /* a volume that is there */
    bool overwrite;
    struct lock_terms terms;
    struct offload *offload;
};

/* Opens it, or makes it, and lets its header say that it is not whole, if it can.  Blocks.
 * convert_target_close() in every case. */
NODISCARD int convert_target_open(struct convert_target *out,
                                  const struct convert_target_wish *wish, struct error *err);
void convert_target_close(struct convert_target *target);

/* What becomes of zeros in it. */
enum copy_zeros convert_target_zeros(const struct convert_target *target);
/* Its first part reads as zeros from then on, durably, so that it does not look like a whole disk;
 * blocks. */
NODISCARD int convert_target_clear_head(struct convert_target *target, struct error *err);

#endif
