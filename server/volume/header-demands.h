/* The options that say what is demanded of a LUKS header, for every table that has them. */
#ifndef NBDCRYPT_HEADER_DEMANDS_H
#define NBDCRYPT_HEADER_DEMANDS_H

#include "crypto/luks/luks-demands.h"
#include "server/base/params.h"

/* As the user wrote them. */
struct header_demands {
    const char *uuid;
    const char *digest;
    struct param_list ciphers;
    unsigned key_bits_min;
    unsigned iterations_max;
    unsigned memory_kib_max;
};

/* The rows; `target` has a struct header_demands as its member `field`, and `...` are further
 * members of each row. */
#define HEADER_DEMAND_ROWS(target, field, ...)                                                    \
    PARAM_AT(offsetof(target, field.uuid), "expect-uuid", STRING, "UUID",                         \
             "refuse a LUKS header with another UUID", __VA_ARGS__),                              \
        PARAM_AT(                                                                                 \
            offsetof(target, field.digest), "header-digest", STRING, "DIGEST",                    \
            "refuse a header with another volume key or layout: the digest that nbdcrypt info "   \
            "prints",                                                                             \
            __VA_ARGS__),                                                                         \
        PARAM_AT(                                                                                 \
            offsetof(target, field.ciphers), "cipher", LIST, "NAME",                              \
            "refuse a header with another cipher, such as aes-xts-plain64 (repeatable: any of "   \
            "them)",                                                                              \
            .choices = CIPHER_SPEC_CHOICES, __VA_ARGS__),                                         \
        PARAM_AT(offsetof(target, field.key_bits_min), "min-key-bits", UINT, "N",                 \
                 "refuse a header with a shorter volume key", .min = 1, .max = 512, __VA_ARGS__), \
        PARAM_AT(                                                                                 \
            offsetof(target, field.iterations_max), "max-pbkdf-iterations", UINT, "N",            \
            "refuse a header with a keyslot of more iterations (PBKDF2) or passes (Argon2), or "  \
            "with a digest of the volume key of more iterations",                                 \
            .min = 1, .max = UINT32_MAX, __VA_ARGS__),                                            \
        PARAM_AT(offsetof(target, field.memory_kib_max), "max-pbkdf-memory-kib", UINT, "KIB",     \
                 "refuse a header with a keyslot that takes more memory (Argon2)", .min = 1,      \
                 .max = UINT32_MAX, __VA_ARGS__)

/* The first of them that was given, without dashes; NULL: none was. */
const char *header_demands_given(const struct header_demands *arguments);

/* -EINVAL: a UUID or digest that can't be one.  The message names the option. */
NODISCARD int header_demands_check(const struct header_demands *arguments, struct error *err);

/* What they mean; it points into `arguments`. */
struct luks_demands header_demands_meaning(const struct header_demands *arguments);

/* What is not given in `own` is taken from `common`.  Lists stay the property of whom they came
 * from. */
struct luks_demands header_demands_merged(const struct header_demands *own,
                                          const struct header_demands *common);

#endif
