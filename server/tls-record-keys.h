/* The keys that protect the records of TLS 1.3 in one direction: RFC 8446, 5.3, 7.1 to 7.3 and 4.6.3.
 *
 * They begin as a traffic secret that GnuTLS tells at the end of its handshake (what it would write to a
 * key log), so that they can be followed when they are changed. */
#ifndef NBDCRYPT_TLS_RECORD_KEYS_H
#define NBDCRYPT_TLS_RECORD_KEYS_H

#include <gnutls/gnutls.h>

#include "crypto/gcm.h"
#include "crypto/secret.h"

#define TLS_SECRET_BYTES_MAX 48u /* of SHA-384 */

struct tls_record_keys {
    struct gcm gcm;
    uint8_t secret[TLS_SECRET_BYTES_MAX];
    uint8_t secret_bytes, key_bytes;
    uint8_t iv[GCM_NONCE_BYTES];
    gnutls_mac_algorithm_t hash;
    uint64_t sequence; /* of the next record */
};

/* Both directions, in locked memory. */
struct tls_record_key_pair {
    struct tls_record_keys sending, receiving;
};

struct tls_session;

/* Before the handshake: the secrets of this session will be kept, in session->record_keys, if this
 * machine can do anything with them. */
void tls_record_keys_watch(struct tls_session *session);

/* After the handshake: whether `record_keys` can be used in place of those in GnuTLS.  False: it is not
 * TLS 1.3 with AES-GCM, or something does not fit together; then GnuTLS goes on. */
NODISCARD bool tls_record_keys_take_over(struct tls_session *session);

/* RFC 8446, 7.3: from `secret`, `hash` and `key_bytes`.  False: GnuTLS could not calculate. */
NODISCARD bool tls_record_keys_make(struct tls_record_keys *keys, const struct gcm_ops *ops);
/* RFC 8446, 7.2: the next generation; records count from 0 again.  False as above. */
NODISCARD bool tls_record_keys_update(struct tls_record_keys *keys, const struct gcm_ops *ops);

/* RFC 8446, 5.3: the nonce of the next record, which is counted with that. */
void tls_record_keys_nonce(struct tls_record_keys *keys, uint8_t nonce[GCM_NONCE_BYTES]);

#endif
