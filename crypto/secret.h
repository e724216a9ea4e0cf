/* Secrets: passphrases, volume keys, key schedules.  Locked in memory where the limits allow,
 * left out of core dumps, wiped when freed, compared in constant time. */
#ifndef NBDCRYPT_SECRET_H
#define NBDCRYPT_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/error.h"

struct secret {
    uint8_t *data; /* page aligned, its pages belong to this secret alone */
    size_t length_bytes;
    size_t mapped_bytes;
};

/* Calls `tell` once, on whatever thread it happens, when a secret could not be locked: from then on
 * there are some that may be swapped out.  Before there are threads. */
void secret_tell_unlocked(void (*tell)(int error));

/* Zeroed memory of this length (0 is allowed).  -ENOMEM. */
NODISCARD int secret_create(struct secret **out, size_t length_bytes, struct error *err);
NODISCARD int secret_copy(struct secret **out, const void *data, size_t length_bytes,
                          struct error *err);
/* Gives back what is behind length_bytes; wiped. */
void secret_truncate(struct secret *secret, size_t length_bytes);
/* Wipes and frees; NULL is fine. */
void secret_free(struct secret *secret);
bool secret_equal(const struct secret *a, const struct secret *b);
/* Wipes memory that is not a secret's own; the compiler can't remove it. */
void secret_wipe(void *data, size_t length_bytes);

#endif
