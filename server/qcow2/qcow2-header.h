/* The header of an image: docs/interop/qcow2.txt of QEMU for versions 2 and 3; version 1 ("qcow")
 * is described nowhere but in QEMU's block/qcow.c.  A pure function: storage is not trusted, and
 * whatever is here has been checked against the length of the file. */
#ifndef NBDCRYPT_QCOW2_HEADER_H
#define NBDCRYPT_QCOW2_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/error.h"

#define QCOW2_HEAD_BYTES_MAX 65536u            /* what has to lie in front of the file */
#define QCOW2_L1_BYTES_MAX (32u * 1024 * 1024) /* as in QEMU */
#define QCOW2_SNAPSHOTS_MAX 65536u
#define QCOW2_BACKING_BYTES_MAX 1024u

enum qcow2_crypt {
    QCOW2_CRYPT_NONE,
    QCOW2_CRYPT_AES,  /* 128 bits, CBC; the passphrase is the key */
    QCOW2_CRYPT_LUKS, /* a LUKS1 header inside of the image */
};

struct qcow2_header {
    unsigned version; /* 1, 2, 3 */
    unsigned cluster_bits;
    unsigned l2_bits;    /* an L2 table has 2^l2_bits entries */
    uint64_t size_bytes; /* of the disk; at most INT64_MAX */
    enum qcow2_crypt crypt;
    uint64_t l1_offset_bytes;
    uint32_t l1_entries;
    uint64_t snapshots_offset_bytes;
    uint32_t snapshots;
    bool extended_l2;                       /* 16 bytes each, with 32 subclusters */
    bool zstd;                              /* what compresses; otherwise deflate */
    bool dirty, corrupt;                    /* what QEMU has marked; a reader of data may go on */
    uint64_t luks_offset_bytes, luks_bytes; /* of the LUKS header, with its keyslots */
    char backing[QCOW2_BACKING_BYTES_MAX];  /* the name of the backing file; "": none */
    char backing_format[16];                /* "raw", "qcow2"; "": not said */
};

/* Does a file begin like that? */
bool qcow2_header_is_there(const uint8_t *bytes, size_t length_bytes);

/* `bytes` is the start of the file: the smaller of its length and QCOW2_HEAD_BYTES_MAX.  -EINVAL:
 * it is damaged or not such an image; -ENOTSUP: it has what nobody here reads. */
NODISCARD int qcow2_header_parse(struct qcow2_header *out, const uint8_t *bytes,
                                 size_t length_bytes, uint64_t file_bytes, struct error *err);

/* Of an L1 table, the header's or a snapshot's: does it lie in the file? */
NODISCARD int qcow2_header_check_l1(const struct qcow2_header *header, uint64_t offset_bytes,
                                    uint64_t entries, uint64_t file_bytes, struct error *err);

/* The bytes that one entry of L1 stands for; at least 1, saturated at 2^63. */
uint64_t qcow2_header_l1_covers(const struct qcow2_header *header);

#endif
