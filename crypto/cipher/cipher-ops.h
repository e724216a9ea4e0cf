/* An implementation of ciphers, and what it makes.  Whoever uses one needs cipher.h alone. */
#ifndef NBDCRYPT_CIPHER_OPS_H
#define NBDCRYPT_CIPHER_OPS_H

#include "crypto/cipher/cipher-spec.h"
#include "crypto/secret.h"

struct cipher;

/* What an implementation provides.  encrypt and decrypt can't fail after `create`.  The IV `plain`
 * is no different from plain64 for them: a run that they get does not cross the place where it
 * begins anew. */
struct cipher_ops {
    const char *name; /* "gnutls" */
    /* And this machine can run it. */
    bool (*supports)(const struct cipher_spec *spec);
    int (*create)(struct cipher **out, const struct cipher_spec *spec, const struct secret *key,
                  uint32_t sector_bytes, struct error *err);
    void (*encrypt)(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes);
    void (*decrypt)(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes);
    void (*destroy)(struct cipher *cipher);
};

/* First member of every implementation's own struct. */
struct cipher {
    const struct cipher_ops *ops;
    uint32_t sector_bytes;
    bool iv_wraps; /* set by cipher_create(): the IV is `plain` */
};

#endif
