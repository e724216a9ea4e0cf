/* Passphrases in the keyrings of the kernel (keyrings(7)). */
#ifndef NBDCRYPT_KEY_KEYRING_H
#define NBDCRYPT_KEY_KEYRING_H

#include "crypto/secret.h"

/* The payload of the key of type "user" with this description, looked for in the keyrings of
 * thread, process and session.  The caller frees *out.  -errno with a sentence. */
NODISCARD int key_keyring_read(struct secret **out, const char *description, struct error *err);

#endif
