/* Names of ciphers as LUKS and dm-crypt write them: "aes-xts-plain64". */
#ifndef NBDCRYPT_CIPHER_SPEC_H
#define NBDCRYPT_CIPHER_SPEC_H

#include "server/error.h"

struct cipher_spec {
    char name[80];     /* the whole: "aes-xts-plain64" */
    unsigned key_bits; /* of the volume key: 256 or 512 for XTS (two AES keys) */
};

/* Accepts what cipher_create() can do: aes-xts-plain64 with 256 and 512 bits.  -EINVAL names the
 * cipher and lists what is supported; null ciphers are refused with a sentence of their own. */
NODISCARD int cipher_spec_parse(struct cipher_spec *out, const char *name, unsigned key_bits,
                                struct error *err);

#endif
