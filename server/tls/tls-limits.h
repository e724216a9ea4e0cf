/* What the other end of a handshake may have us calculate.
 *
 * Its signature is checked with a key that it brings along, before anybody knows whether that is
 * trusted, and GnuTLS takes keys of any size: RSA of 131,072 bits with an exponent as long takes
 * minutes. So messages are looked into before GnuTLS sees them. What is let through takes
 * milliseconds. */
#ifndef NBDCRYPT_TLS_LIMITS_H
#define NBDCRYPT_TLS_LIMITS_H

#include <gnutls/abstract.h>

#include "server/base/error.h"

#define TLS_LIMITS_KEY_BITS 8192u    /* of RSA, DSA and Diffie-Hellman */
#define TLS_LIMITS_EXPONENT_BITS 64u /* the public one of RSA; 65537 has 17 */
/* That it may send: GnuTLS gathers messages of up to 16 MiB. */
#define TLS_LIMITS_HANDSHAKE_BYTES 65536u
/* Of names: reading them costs more than in proportion. */
#define TLS_LIMITS_CERTIFICATE_BYTES 16384u

#define TLS_LIMITS_TEXT_BYTES 160u

/* What is wrong with a key's size, to be put behind "its key": NULL: nothing.  `text` is room for
 * it. */
const char *tls_limits_check_key(gnutls_pubkey_t key, char text[TLS_LIMITS_TEXT_BYTES]);

/* A message of a handshake, before GnuTLS sees it.  0: it may; else an error of GnuTLS, with which
 * the handshake ends: GNUTLS_E_CERTIFICATE_ERROR when the other end brings more than is allowed,
 * with the alert for it and the reason, and other errors with neither.  How much it sends is
 * counted by those who receive it. */
NODISCARD int tls_limits_check_message(gnutls_session_t gnutls, unsigned type,
                                       const gnutls_datum_t *message, int *alert,
                                       char text[TLS_LIMITS_TEXT_BYTES]);

#endif
