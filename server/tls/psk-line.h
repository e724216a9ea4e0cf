/* The lines of a file of pre-shared keys as psktool(1) writes it: IDENTITY:KEY, with the key in
 * hexadecimal.
 *
 * All that reads such a file walks through it with this, and all that takes an identity, to serve
 * it or to write it, asks psk_identity_fault(); which keys it accepts is each reader's own
 * affair. */
#ifndef NBDCRYPT_PSK_LINE_H
#define NBDCRYPT_PSK_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/secret.h"

struct psk_line {
    size_t number;                 /* from 1; 0 before the first */
    size_t start_bytes, end_bytes; /* where it is in the file, with its end */

    /* What is wrong with it, a few words; NULL: nothing, and then it has all that follows. */
    const char *fault;
    size_t identity_bytes; /* from start_bytes on, at least 1 */
    size_t hex_at_bytes;   /* where in the file the digits of the key are */
    size_t hex_bytes;      /* an even number of them, perhaps 0 */
};

/* The line behind the one that is in `line` (zeroed: the first) that is not empty; false: there is
 * none. */
bool psk_line_next(const struct secret *file, struct psk_line *line);

/* GnuTLS takes no longer one, at either end. */
#define PSK_IDENTITY_BYTES_MAX 128u

/* Why this can't be an identity, as a sentence that begins with "it"; NULL: it can. */
const char *psk_identity_fault(const char *identity, size_t length_bytes);

#endif
