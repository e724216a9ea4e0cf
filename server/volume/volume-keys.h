/* Changes of the keys of a volume, for `nbdcrypt key` and for a server that is told to make one. */
#ifndef NBDCRYPT_VOLUME_KEYS_H
#define NBDCRYPT_VOLUME_KEYS_H

#include "crypto/luks/luks-demands.h"
#include "crypto/luks/luks-keyslot.h"
#include "server/base/params.h"
#include "server/block/layer.h"
#include "server/keys/key-source.h"

#define VOLUME_KEYS_SLOT_MAX 31u
#define VOLUME_KEYS_SLOT_NOT_GIVEN UINT32_MAX

/* As the user wrote it: the slots are VOLUME_KEYS_SLOT_NOT_GIVEN where he did not, and the rest 0.
 */
struct volume_keys_options {
    unsigned slot;        /* which one is meant, or opens the volume */
    unsigned new_slot;    /* where a new key goes */
    const char *priority; /* of a new key */
    struct luks_pbkdf pbkdf;
    bool force; /* the last key may go */
};

/* Their rows; `target` has a struct volume_keys_options as its member `field`. */
#define VOLUME_KEYS_SLOT_ROW(target, field, help) \
    PARAM_AT(offsetof(target, field.slot), "slot", UINT, "N", help, .max = VOLUME_KEYS_SLOT_MAX)
#define VOLUME_KEYS_NEW_SLOT_ROW(target, field)                         \
    PARAM_AT(offsetof(target, field.new_slot), "new-slot", UINT, "N",   \
             "put the new key there (default: the first that is free)", \
             .max = VOLUME_KEYS_SLOT_MAX)
#define VOLUME_KEYS_PRIORITY_ROW(target, field, help)                                \
    PARAM_AT(offsetof(target, field.priority), "priority", STRING, "PRIORITY", help, \
             .choices = "prefer|normal|ignore")
#define VOLUME_KEYS_PBKDF_ROWS(target, field)                                                     \
    PARAM_AT(offsetof(target, field.pbkdf.name), "pbkdf", STRING, "KDF",                          \
             "argon2id, argon2i or pbkdf2 (default: argon2id, of luks1 pbkdf2)",                  \
             .choices = "argon2id|argon2i|pbkdf2"),                                               \
        PARAM_AT(offsetof(target, field.pbkdf.iterations), "pbkdf-iterations", UINT, "N",         \
                 "fixed cost (default: what takes 2 seconds here)", .min = 1, .max = UINT32_MAX), \
        PARAM_AT(offsetof(target, field.pbkdf.memory_kib), "pbkdf-memory-kib", UINT, "KIB",       \
                 "memory of Argon2 at most (default: 1048576)", .min = 1, .max = UINT32_MAX),     \
        PARAM_AT(offsetof(target, field.pbkdf.parallel), "pbkdf-parallel", UINT, "N",             \
                 "threads of Argon2 (default: 4, or the CPUs if less)", .min = 1, .max = 4)
#define VOLUME_KEYS_FORCE_ROW(target, field)                     \
    PARAM_AT(offsetof(target, field.force), "force", FLAG, NULL, \
             "remove the last key too, after which the data is lost", .never_proposed = true)

/* One change. */
struct volume_keys {
    const char *image;
    const char *header; /* NULL: it is in the image */
    struct luks_demands demands;
    struct lock_terms terms;
    struct key_source key;     /* opens the volume, or is the one that goes */
    struct key_source new_key; /* of add and change */
    struct volume_keys_options options;

    /* Asked when all is ready, before the first write; false: nothing is changed.  NULL: nobody
     * asks. */
    bool (*may_write)(void *context);
    void *context;

    int changed_slot; /* out: of the new key, or of the one that was removed */
    int known_slot;   /* out, of add: what the new key opened before, or LUKS_KEYSLOT_ANY */
};

/* LUKS_KEYSLOT_ANY where none was given. */
int volume_keys_slot(unsigned slot);

/* -EINVAL: no priority is called so. */
NODISCARD int volume_keys_check(const struct volume_keys_options *options, struct error *err);

/* Each looks at the header, reads the passphrases, locks the header, reads it again, changes it in
 * memory, tries the new key on that, and writes (crypto/luks/luks-change.h): a person may take long
 * to type.  A server may serve the data meanwhile.  Blocks.  -ECANCELED: by `may_write`. */
NODISCARD int volume_keys_add(struct volume_keys *keys, struct error *err);
NODISCARD int volume_keys_change(struct volume_keys *keys, struct error *err);
/* Without a key but with options.slot it is the key in that keyslot. */
NODISCARD int volume_keys_remove(struct volume_keys *keys, struct error *err);
/* Of options.slot, to options.priority; no key is needed. */
NODISCARD int volume_keys_set_priority(struct volume_keys *keys, struct error *err);

#endif
