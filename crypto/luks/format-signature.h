/* What a device holds, by the marks that formats leave: those that libblkid knows, and images of
 * virtual machines.  libblkid sees a sparse copy in memory of the places where formats have their
 * marks, so that it is the same for every backend; what it parses is not trusted, so it is asked
 * only where it matters: before a damaged header is believed, before one is written, and to say
 * what is there instead. */
#ifndef NBDCRYPT_FORMAT_SIGNATURE_H
#define NBDCRYPT_FORMAT_SIGNATURE_H

#include "crypto/luks/luks-types.h"

/* So much is read from the start, and for FORMAT_SIGNATURE_ANY from the end, too. */
#define FORMAT_SIGNATURE_BYTES (256u * 1024u)

enum format_signature_scope {
    FORMAT_SIGNATURE_ANY,
    FORMAT_SIGNATURE_BESIDE_LUKS, /* leaves out LUKS, and the end, which is data of the volume */
};

struct format_signature {
    char
        text[96]; /* "a file system (ext4)", the end of a sentence; "" when nothing is recognised */
    bool disk_image; /* it is a disk of virtual machines in a format of its own */
    bool qcow2;      /* it is a qcow2 image */
    bool partitions; /* it is a partition table */
    bool blank;      /* all that was looked at is zeros */
};

/* Errors: those of `read`; -ENOMEM.  Not on a serving thread: it reads, and the library parses. */
NODISCARD int format_signature_find(struct format_signature *out, enum format_signature_scope scope,
                                    luks_read_fn *read, void *context, uint64_t size_bytes,
                                    struct error *err);

#endif
