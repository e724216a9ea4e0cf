/* The keys that protect the records of TLS 1.3 in one direction: RFC 8446, 5.3, 7.1 to 7.3
 * and 4.6.3.
 *
 * They begin as a traffic secret that GnuTLS tells at the end of its handshake (what it would write
 * to a key log), so that they can be followed when they are changed. */
#ifndef NBDCRYPT_TLS_RECORD_KEYS_H
#define NBDCRYPT_TLS_RECORD_KEYS_H

#include <gnutls/gnutls.h>

#include "crypto/gcm/gcm.h"
#include "crypto/secret.h"

#define TLS_SECRET_BYTES_MAX 48u /* of SHA-384 */
#define TLS_KEY_BYTES_MAX 32u
#define TLS_RECORDS_PER_KEY (1u << 24) /* RFC 8446, 5.5: at most 2^24.5 */

/* After how many records we change our keys: TLS_RECORDS_PER_KEY, or fewer with
 * NBDCRYPT_TLS_RECORDS_PER_KEY, for tests. */
unsigned tls_records_per_key(void);

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

/* Before the handshake: the secrets of this session will be kept, in session->record_keys. */
void tls_record_keys_watch(struct tls_session *session);

/* After the handshake: whether `record_keys` can be used in place of those in GnuTLS.  False: it is
 * not TLS 1.3 with AES-GCM, or something does not fit together; then GnuTLS goes on.  `ops` NULL:
 * somebody else does the cipher, here and in what follows. */
NODISCARD bool tls_record_keys_take_over(struct tls_session *session, const struct gcm_ops *ops);

/* RFC 8446, 7.3: from `secret`, `hash` and `key_bytes`.  False: GnuTLS could not calculate. */
NODISCARD bool tls_record_keys_make(struct tls_record_keys *keys, const struct gcm_ops *ops);
/* RFC 8446, 7.2: the next generation; records count from 0 again.  False as above. */
NODISCARD bool tls_record_keys_update(struct tls_record_keys *keys, const struct gcm_ops *ops);
/* The same for somebody else's cipher: the key, of key_bytes, is the caller's to wipe. */
NODISCARD bool tls_record_keys_next(struct tls_record_keys *keys, uint8_t key[TLS_KEY_BYTES_MAX]);

/* RFC 8446, 5.3: the nonce of the next record, which is counted with that. */
void tls_record_keys_nonce(struct tls_record_keys *keys, uint8_t nonce[GCM_NONCE_BYTES]);

/* RFC 8446, 4.6.3: a whole handshake message, TLS_KEY_UPDATE_BYTES. */
#define TLS_KEY_UPDATE_BYTES 5u
enum { TLS_KEY_UPDATE = 24, TLS_UPDATE_NOT_REQUESTED = 0, TLS_UPDATE_REQUESTED = 1 };

/* RFC 8446, 4.6.1, of a server: a ticket for another session.  Without its first four bytes, the
 * fewest that it can have, and the most that are taken: nearly all that fit into its fields. */
enum { TLS_NEW_SESSION_TICKET = 4 };
#define TLS_TICKET_BYTES_MIN 14u
#define TLS_TICKET_BYTES_MAX 131072u

/* How often the other end changes its keys, which costs it less than us.  Zeroed: not yet. */
struct tls_update_rate {
    unsigned updates; /* within `second` */
    int64_t second;
};

/* Counts one more: whether that is too many. */
bool tls_update_rate_exceeded(struct tls_update_rate *rate);

#endif
