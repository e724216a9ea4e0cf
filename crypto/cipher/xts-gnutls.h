/* AES-XTS by GnuTLS: the portable implementation, and the oracle for faster ones. */
#ifndef NBDCRYPT_XTS_GNUTLS_H
#define NBDCRYPT_XTS_GNUTLS_H

#include "crypto/cipher/cipher-ops.h"

extern const struct cipher_ops xts_gnutls_ops;

#endif
