/* Pre-shared keys: the lines `identity:hex` that psktool writes. */
#ifndef NBDCRYPT_PSK_FILE_H
#define NBDCRYPT_PSK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/secret.h"

#define PSK_KEY_BYTES_MIN 16u
#define PSK_KEY_BYTES_MAX 256u

struct psk_file;

/* Reads it into locked memory.  -EINVAL with the number of the line, never with what is in it: a
 * line without colon, a key that is not hexadecimal or shorter than PSK_KEY_BYTES_MIN, an identity
 * that psk_identity_fault() refuses or one that is there twice.  No line at all is fine: nobody has
 * a key. */
NODISCARD int psk_file_read(struct psk_file **out, const char *path, struct error *err);
void psk_file_free(struct psk_file *file);
bool psk_file_is_empty(const struct psk_file *file);

/* The key of an identity, NULL when there is none; it stays the file's. */
const uint8_t *psk_file_find(const struct psk_file *file, const void *identity,
                             size_t identity_bytes, size_t *key_bytes);

#endif
