/* Keyslots of a header in memory: opening, adding, changing, removing.
 *
 * Changes are made in the image of the header alone; luks-change.h stores them.  All of this blocks
 * (key derivation), about two seconds for each passphrase. */
#ifndef NBDCRYPT_LUKS_KEYSLOT_H
#define NBDCRYPT_LUKS_KEYSLOT_H

#include "crypto/luks/luks-pbkdf.h"
#include "crypto/luks/luks-types.h"

#define LUKS_KEYSLOT_ANY (-1)

/* LUKS2: in which order keyslots are tried; IGNORE: only when it is named. */
enum luks_priority {
    LUKS_PRIORITY_DEFAULT, /* normal; a changed key keeps its priority */
    LUKS_PRIORITY_IGNORE,
    LUKS_PRIORITY_NORMAL,
    LUKS_PRIORITY_PREFER,
};

/* "ignore", "normal", "prefer"; -EINVAL. */
NODISCARD int luks_priority_parse(enum luks_priority *out, const char *text, struct error *err);

struct luks_new_key {
    const struct secret *passphrase;
    struct luks_pbkdf pbkdf;
    enum luks_priority priority;
};

/* What can be said without a passphrase: -EINVAL, -ENOTSUP. */
NODISCARD int luks_new_key_check(const struct luks_new_key *new_key,
                                 const struct luks_header *header, struct error *err);

/* The volume key.  *slot: the only one to try, or LUKS_KEYSLOT_ANY; it becomes the one that opened.
 * -EACCES: the passphrase does not fit, no keyslot is in use, or this one holds another key;
 * -ENOENT: this one is not in use. */
NODISCARD int luks_keyslot_open(struct secret **volume_key, int *slot, struct luks_header *header,
                                const struct secret *passphrase, struct error *err);

/* Is it the volume key of this header, by the digest that the header keeps?  -EINVAL: it has
 * another length; -EACCES: it is another one.  Blocks (key derivation). */
NODISCARD int luks_keyslot_check_volume_key(struct luks_header *header,
                                            const struct secret *volume_key, struct error *err);

/* *slot: where it is put, or LUKS_KEYSLOT_ANY; it becomes the one that was taken.
 * -EEXIST: this one is in use; -ENOSPC: none is free. */
NODISCARD int luks_keyslot_add(int *slot, struct luks_header *header,
                               const struct secret *volume_key, const struct luks_new_key *new_key,
                               struct error *err);

/* *slot: the one to change, or LUKS_KEYSLOT_ANY: the one that `passphrase` opens; it becomes the
 * one that holds the new key: the same for LUKS2, whose tokens stay with it, and another one for
 * LUKS1. (Another one for LUKS2 too, to which its tokens move, where luks-own-keyslot.h opens the
 * old one.) A volume with no free keyslot is refused by luks_change_commit(). */
NODISCARD int luks_keyslot_change(int *slot, struct luks_header *header,
                                  const struct secret *passphrase,
                                  const struct luks_new_key *new_key, struct error *err);

/* LUKS_PRIORITY_DEFAULT is normal here.  -ENOENT: it is not in use; -ENOTSUP: LUKS1. */
NODISCARD int luks_keyslot_set_priority(int slot, struct luks_header *header,
                                        enum luks_priority priority, struct error *err);

/* Is there any keyslot that holds the volume key?  Is this one in use? */
bool luks_keyslot_any(const struct luks_header *header);
bool luks_keyslot_is_in_use(int slot, const struct luks_header *header);

/* Wipes it.  -ENOENT: it is not in use; -EPERM: it is the last one that opens the volume, unless
 * `last_too`. */
NODISCARD int luks_keyslot_remove(int slot, struct luks_header *header, bool last_too,
                                  struct error *err);

/* Wipes all of them; *count: how many there were. */
NODISCARD int luks_keyslot_remove_all(unsigned *count, struct luks_header *header,
                                      struct error *err);

#endif
