/* One end of a copy: an image, opened as an export is. */
#ifndef NBDCRYPT_COPY_END_H
#define NBDCRYPT_COPY_END_H

#include "server/export/export.h"

/* As the user wrote it. */
struct copy_end_arguments {
    struct key_source key;
    const char *header; /* a detached one; NULL: it is in the image */
    const char *format; /* "raw", "luks", "qcow2"; NULL: what is found there */
    bool sure_of_passphrase;
    bool zero_holes;
};

/* The rows; `prefix` is "" or "source-", `format_name` the name of the option for its format,
 * `who` what messages call it: "SOURCE".  The second for one whose format is known. */
#define COPY_END_ROWS(prefix, format_name, target, field, who)                                     \
    PARAM_AT(offsetof(target, field.format), format_name, STRING, "FORMAT",                        \
             "what " who " is: raw, luks or qcow2 (default: what is found there)",                 \
             .choices = "raw|luks|qcow2"),                                                         \
        PARAM_AT(offsetof(target, field.sure_of_passphrase), prefix "i-know-the-passphrase", FLAG, \
                 NULL, "decrypt a qcow2 image of QEMU's AES although it looks like noise",         \
                 .never_proposed = true),                                                          \
        COPY_END_KEY_ROWS(prefix, target, field, who)
#define COPY_END_KEY_ROWS(prefix, target, field, who)                                 \
    KEY_SOURCE_ROWS(prefix, target, field.key, "the passphrase of " who),             \
        KEY_SOURCE_VOLUME_KEY_ROWS_OF(prefix, target, field.key),                     \
        PARAM_AT(offsetof(target, field.header), prefix "header", STRING, "FILE",     \
                 "the LUKS header of " who " is in this file"),                       \
        PARAM_AT(offsetof(target, field.zero_holes), prefix "zero-holes", FLAG, NULL, \
                 "holes in the volume of " who " are zeros, as for serve --zero-holes")

/* -EINVAL: options that can't be.  `prefix`: "--", "--source-". */
NODISCARD int copy_end_check(const struct copy_end_arguments *arguments, const char *prefix,
                             struct error *err);

struct copy_end {
    struct export_settings settings; /* the image is settings.image */
    struct export ex;
    bool is_open;
};

/* Threads for what blocks: where extents are looked up, and clusters are inflated.
 * offload_destroy(). */
NODISCARD int copy_end_offload(struct offload **out, struct error *err);

struct copy_end_wish {
    const char *spec;
    const char *option_prefix; /* of its options: "source-"; NULL: they have none */
    bool read_only;
    struct lock_terms terms;
    struct offload *offload;
    struct stage *beside;           /* what keeps it locked already; may be NULL */
    const struct secret *given_key; /* see export_settings; may be NULL */
    bool converting;                /* see export_settings */
    bool contexts;                  /* metadata contexts besides base:allocation may be asked for */
};

/* `out` must stay where it is.  Blocks. copy_end_close() in every case. */
NODISCARD int copy_end_open(struct copy_end *out, const struct copy_end_arguments *arguments,
                            const struct copy_end_wish *wish, struct error *err);
void copy_end_close(struct copy_end *end);

#endif
