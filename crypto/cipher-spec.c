/* Names of ciphers: see cipher-spec.h. */
#include "crypto/cipher-spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SUPPORTED "supported: aes-xts-plain64 with 256 or 512 bits"

int cipher_spec_parse(struct cipher_spec *out, const char *name, unsigned key_bits,
                      struct error *err)
{
    if (strstr(name, "null"))
        return error_set(err, -EINVAL,
                         "cipher '%s' leaves the data unencrypted; null ciphers are always refused",
                         name);
    if (strcmp(name, "aes-xts-plain64") != 0)
        return error_set(err, -EINVAL, "cipher '%s' is not supported (%s)", name, SUPPORTED);
    if (key_bits != 256 && key_bits != 512)
        return error_set(err, -EINVAL, "cipher '%s' does not take a key of %u bits (%s)", name,
                         key_bits, SUPPORTED);
    (void)snprintf(out->name, sizeof(out->name), "%s", name);
    out->key_bits = key_bits;
    return 0;
}
