/* A new LUKS volume, for format and for whoever else makes one.
 *
 *     set the options -> look at the image -> choose sizes -> passphrase -> header in memory
 *         -> make or enlarge the file -> write
 *
 * Nothing is changed before the header is ready. */
#ifndef NBDCRYPT_NEW_VOLUME_H
#define NBDCRYPT_NEW_VOLUME_H

#include "crypto/luks/luks-format.h"
#include "server/base/params.h"
#include "server/cli/format-target.h"
#include "server/keys/key-source.h"

/* As the user wrote them. */
struct new_volume_arguments {
    struct key_source key;
    struct key_source volume_key; /* its file; none: random */
    const char *type;
    const char *cipher;
    unsigned key_bits;     /* 0: the cipher's default */
    unsigned sector_bytes; /* 0: chosen */
    uint64_t usable_bytes; /* 0: not given */
    const char *pbkdf;
    const char *hash;
    unsigned pbkdf_iterations;
    unsigned pbkdf_memory_kib;
    const char *label;
    const char *subsystem;
    const char *uuid;
    const char *header;
    struct lock_terms terms;
    bool discard;
    bool force;
};

/* Of a cipher and a key derivation; `target` has a struct new_volume_arguments as its member
 * `field`. */
#define NEW_VOLUME_ROWS(target, field)                                                           \
    PARAM_AT(offsetof(target, field.cipher), "cipher", STRING, "CIPHER",                         \
             "aes, serpent, twofish or camellia, with xts or cbc and an IV: "                    \
             "serpent-cbc-essiv:sha256, ... (default: aes-xts-plain64)",                         \
             .choices = CIPHER_SPEC_CHOICES),                                                    \
        PARAM_AT(offsetof(target, field.key_bits), "key-bits", UINT, "N",                        \
                 "xts: 512 or 256, two keys of half that size; cbc: 256, 192 or 128 (default: "  \
                 "the first)",                                                                   \
                 .min = 128, .max = 512),                                                        \
        PARAM_AT(offsetof(target, field.sector_bytes), "sector-size", UINT, "BYTES",             \
                 "512, 1024, 2048 or 4096 (default: 4096 when the usable size is a multiple of " \
                 "it, else 512)",                                                                \
                 .min = 512, .max = 4096)

#define NEW_VOLUME_PBKDF_ROWS(target, field)                                                      \
    PARAM_AT(offsetof(target, field.pbkdf), "pbkdf", STRING, "KDF",                               \
             "argon2id, argon2i or pbkdf2 (default: argon2id, of luks1 pbkdf2)",                  \
             .choices = "argon2id|argon2i|pbkdf2"),                                               \
        PARAM_AT(offsetof(target, field.hash), "hash", STRING, "HASH",                            \
                 "of pbkdf2, and of a luks1 header: sha256, sha512, ... (default: sha256)",       \
                 .choices = "sha256|sha512"),                                                     \
        PARAM_AT(offsetof(target, field.pbkdf_iterations), "pbkdf-iterations", UINT, "N",         \
                 "fixed cost (default: what takes 2 seconds here)", .min = 1, .max = UINT32_MAX), \
        PARAM_AT(offsetof(target, field.pbkdf_memory_kib), "pbkdf-memory-kib", UINT, "KIB",       \
                 "memory of Argon2 at most (default: 1048576)", .min = 1, .max = UINT32_MAX),     \
        PARAM_AT(offsetof(target, field.label), "label", STRING, "TEXT",                          \
                 "a name kept in the header (luks2)"),                                            \
        PARAM_AT(offsetof(target, field.subsystem), "subsystem", STRING, "TEXT",                  \
                 "a second name kept in the header (luks2)"),                                     \
        PARAM_AT(offsetof(target, field.uuid), "uuid", STRING, "UUID",                            \
                 "the UUID (default: random)")

struct new_volume {
    struct new_volume_arguments arguments;
    struct luks_format_options options; /* new_volume_set_options() */
    const char *force_option;           /* what arguments.force is called */
    struct format_target image;
    struct format_target header; /* spec is NULL without --header */
};

/* What can be said about the arguments without looking at anything: -EINVAL. */
NODISCARD int new_volume_set_options(struct new_volume *volume, struct error *err);

/* The steps behind it, in this order; each blocks.  new_volume_close() in every case. */
NODISCARD int new_volume_inspect(struct new_volume *volume, const char *spec, struct error *err);
/* How large the image will be, and its sectors. */
NODISCARD int new_volume_choose_sizes(struct new_volume *volume, struct error *err);
/* Reads the keys, and writes it.  What was made is removed again when that fails.  A volume key in
 * options.volume_key stays the caller's. */
NODISCARD int new_volume_make(struct new_volume *volume, struct luks_segment *segment,
                              struct error *err);
void new_volume_close(struct new_volume *volume);

#endif
