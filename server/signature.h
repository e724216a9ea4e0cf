/* What an image already holds, by the marks that formats leave at its start. */
#ifndef NBDCRYPT_SIGNATURE_H
#define NBDCRYPT_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

/* Marks lie within this many bytes from the start. */
#define SIGNATURE_BYTES (72u * 1024u)

/* "a LUKS volume", "an ext2, ext3 or ext4 file system", ...; NULL when nothing is recognised. */
const char *signature_name(const uint8_t *head, size_t length_bytes);

#endif
