#ifndef NBDCRYPT_KTLS_ABILITY_H
#define NBDCRYPT_KTLS_ABILITY_H

/* What the kernel of this machine does for a TCP socket. */
enum ktls_ability {
    KTLS_ABSENT,      /* nothing: its module "tls" is not loaded, and we can't load it */
    KTLS_KEYS_FIXED,  /* AES-GCM, with the keys it was given at first */
    KTLS_KEYS_CHANGE, /* it takes new ones under TLS 1.3: Linux 6.14 and later */
};

#endif
