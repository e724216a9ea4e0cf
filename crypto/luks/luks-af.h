/* The anti-forensic splitter of LUKS: a key blown up to many stripes, all of which it takes to get
 * it back, so that erasing some is enough (LUKS1 On-Disk Format Specification, 2.4).  Stripes are
 * as long as the key. */
#ifndef NBDCRYPT_LUKS_AF_H
#define NBDCRYPT_LUKS_AF_H

#include "crypto/secret.h"

/* `hash` is libgcrypt's number; `stripes` has key->length_bytes * count bytes.  -ENOMEM; split:
 * -EIO without random numbers. */
NODISCARD int luks_af_merge(struct secret *key, const uint8_t *stripes, size_t count, int hash,
                            struct error *err);
NODISCARD int luks_af_split(uint8_t *stripes, const struct secret *key, size_t count, int hash,
                            struct error *err);

#endif
