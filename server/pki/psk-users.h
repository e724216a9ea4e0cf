/* A file of pre-shared keys for TLS, as psktool(1) writes it: lines of USER:HEX. A user that begins
 * with '#' is itself in hexadecimal. */
#ifndef NBDCRYPT_PSK_USERS_H
#define NBDCRYPT_PSK_USERS_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/secret.h"

#define PSK_USERS_BYTES_MAX (1024u * 1024u)
#define PSK_USERS_KEY_BYTES 32u

/* -EINVAL: this can't be the name of a user. */
NODISCARD int psk_users_check_user(const char *user, struct error *err);

enum psk_users_way {
    PSK_USERS_ADD,     /* a new random key; -EEXIST when the user has one */
    PSK_USERS_REPLACE, /* the same, in place of the one that the user may have */
    PSK_USERS_REMOVE,  /* -ENOENT when the user has none */
};

/* Changes the file, which is made if there is none.  -EINVAL: it is of another kind. */
NODISCARD int psk_users_change(const char *path, const char *user, enum psk_users_way way,
                               struct error *err);

struct psk_entry {
    const char *user; /* in the file's bytes, not terminated */
    size_t user_bytes;
    size_t key_bytes;              /* how long its key is */
    size_t start_bytes, end_bytes; /* where the line is, with its end */
};

/* Calls `visit` for each entry, until it returns something else than 0, which is then returned.
 * -EINVAL: a line is none. */
NODISCARD int psk_users_each(const struct secret *file,
                             int (*visit)(void *context, const struct psk_entry *entry,
                                          struct error *err),
                             void *context, struct error *err);

#endif
