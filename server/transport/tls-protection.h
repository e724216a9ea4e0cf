/* Record protection of TLS after the handshake: what is sent becomes records, and what was received
 * stops being some.
 *
 * Two do it.  For TLS 1.3 with AES-GCM, where crypto/gcm/gcm.h has something faster than GnuTLS,
 * this file does it itself, on the keys that GnuTLS has negotiated (RFC 8446, 5 and 4.6.3); for all
 * else GnuTLS's record layer does.  Errors are those of GnuTLS in both cases.
 *
 * Part of the TLS transport: it works on what tls-stream has received, and puts into `out`. */
#ifndef NBDCRYPT_TLS_PROTECTION_H
#define NBDCRYPT_TLS_PROTECTION_H

#include <sys/types.h>

#include "server/transport/tls-transport.h"

/* After the handshake, before the first record.  We change our keys after so many records
 * (TLS 1.3). `between_records`: GnuTLS has not received a part of one, for then it goes on. */
void tls_protection_start(struct tls_transport *tls, uint32_t records_per_key,
                          bool between_records);
/* "vaes-avx512"; NULL: GnuTLS. */
const char *tls_protection_name(const struct tls_transport *tls);

/* At most length_bytes of what the other end said; 0: it said close_notify.  GNUTLS_E_AGAIN: more
 * has to be received first; GNUTLS_E_INTERRUPTED: there was something, but no data.  All other
 * errors are the end of the session, and what is in `data` must not be used. */
ssize_t tls_protection_recv(struct tls_transport *tls, uint8_t *data, size_t length_bytes);
/* How long a record has to fit into the buffer for receiving; nothing is left to be taken. */
uint32_t tls_protection_wants_bytes(struct tls_transport *tls);
/* Puts a record of these bytes, at most TLS_RECORD_PLAIN_BYTES, into `out`; how many it took. */
ssize_t tls_protection_send(struct tls_transport *tls, const uint8_t *data, size_t length_bytes);

/* Puts the alert for an error, or close_notify. */
void tls_protection_alert(struct tls_transport *tls, int error);
void tls_protection_bye(struct tls_transport *tls);

#endif
