/* What the other end of a handshake may have us calculate.
 *
 * Its signature is checked with a key that it brings along, before anybody knows whether that is
 * trusted, and GnuTLS takes keys of any size: RSA of 131,072 bits with an exponent as long takes
 * minutes. So messages are looked into before GnuTLS sees them. What is let through takes
 * milliseconds. */
#ifndef NBDCRYPT_TLS_LIMITS_H
#define NBDCRYPT_TLS_LIMITS_H

#include <gnutls/abstract.h>

#define TLS_LIMITS_KEY_BITS 8192u    /* of RSA, DSA and Diffie-Hellman */
#define TLS_LIMITS_EXPONENT_BITS 64u /* the public one of RSA; 65537 has 17 */
/* That it may send: GnuTLS gathers messages of up to 16 MiB. */
#define TLS_LIMITS_HANDSHAKE_BYTES 65536u
/* Of names: reading them costs more than in proportion. */
#define TLS_LIMITS_CERTIFICATE_BYTES 16384u

struct tls_session;

/* For a session that has not begun: its handshake ends with GNUTLS_E_CERTIFICATE_ERROR, and the
 * session's reason says why, when the other end brings more than is allowed.  How much it sends is
 * counted by those who receive it. */
void tls_limits_set(struct tls_session *session);

/* What is wrong with a key's size, to be put behind "its key": NULL: nothing.  `text` is room for
 * it. */
#define TLS_LIMITS_TEXT_BYTES 120u
const char *tls_limits_check_key(gnutls_pubkey_t key, char text[TLS_LIMITS_TEXT_BYTES]);

#endif
