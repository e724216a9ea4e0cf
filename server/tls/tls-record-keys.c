#include "server/tls/tls-record-keys.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/crypto.h>

#include "server/tls/tls-session.h"

#define UPDATES_PER_SECOND_MAX 8u

static struct tls_record_key_pair *pair_of(const struct tls_session *session)
{
    return (struct tls_record_key_pair *)(void *)session->record_keys->data;
}

/* ---- what GnuTLS tells ---- */

/* A gnutls_keylog_func. */
static int keep_secret(gnutls_session_t gnutls, const char *label, const gnutls_datum_t *secret)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    bool of_client = strcmp(label, "CLIENT_TRAFFIC_SECRET_0") == 0;
    bool sending = of_client == session->end->client;
    struct error err;

    if (session->keylog_before != NULL)
        session->keylog_before(gnutls, label, secret);
    if ((!of_client && strcmp(label, "SERVER_TRAFFIC_SECRET_0") != 0) ||
        secret->size > TLS_SECRET_BYTES_MAX)
        return 0;
    if (session->record_keys == NULL &&
        secret_create(&session->record_keys, sizeof(struct tls_record_key_pair), &err) < 0)
        return 0;
    struct tls_record_keys *keys =
        sending ? &pair_of(session)->sending : &pair_of(session)->receiving;
    memcpy(keys->secret, secret->data, secret->size);
    keys->secret_bytes = (uint8_t)secret->size;
    return 0;
}

void tls_record_keys_watch(struct tls_session *session)
{
    session->keylog_before = gnutls_session_get_keylog_function(session->gnutls);
    gnutls_session_set_keylog_function(session->gnutls, keep_secret);
}

/* ---- calculating with secrets ---- */

/* RFC 8446, 7.1: HKDF-Expand-Label(Secret, Label, "", Length). */
static bool expand_label(const struct tls_record_keys *keys, const char *label, uint8_t *out,
                         size_t out_bytes)
{
    const gnutls_datum_t secret = { (unsigned char *)(uintptr_t)keys->secret, keys->secret_bytes };
    size_t label_bytes = strlen(label);
    uint8_t text[32] = {
        0, (uint8_t)out_bytes, (uint8_t)(6 + label_bytes), 't', 'l', 's', '1', '3', ' '
    };
    const gnutls_datum_t info = { text, (unsigned)(9 + label_bytes + 1) };

    memcpy(text + 9, label, label_bytes); /* and the length of the context, 0 */
    return gnutls_hkdf_expand(keys->hash, &secret, &info, out, out_bytes) >= 0;
}

/* Of the secret that is there: the key and, in `keys`, the rest. */
static bool derive(struct tls_record_keys *keys, uint8_t key[TLS_KEY_BYTES_MAX])
{
    keys->sequence = 0;
    return expand_label(keys, "key", key, keys->key_bytes) &&
           expand_label(keys, "iv", keys->iv, sizeof keys->iv);
}

static bool next_secret(struct tls_record_keys *keys)
{
    uint8_t next[TLS_SECRET_BYTES_MAX];
    bool made = expand_label(keys, "traffic upd", next, keys->secret_bytes);

    if (made)
        memcpy(keys->secret, next, keys->secret_bytes);
    secret_wipe(next, sizeof next);
    return made;
}

bool tls_record_keys_make(struct tls_record_keys *keys, const struct gcm_ops *ops)
{
    uint8_t key[TLS_KEY_BYTES_MAX];
    bool made = derive(keys, key);

    if (made && ops != NULL)
        gcm_init(&keys->gcm, ops, key, keys->key_bytes);
    secret_wipe(key, sizeof key);
    return made;
}

bool tls_record_keys_update(struct tls_record_keys *keys, const struct gcm_ops *ops)
{
    return next_secret(keys) && tls_record_keys_make(keys, ops);
}

bool tls_record_keys_next(struct tls_record_keys *keys, uint8_t key[TLS_KEY_BYTES_MAX])
{
    return next_secret(keys) && derive(keys, key);
}

void tls_record_keys_nonce(struct tls_record_keys *keys, uint8_t nonce[GCM_NONCE_BYTES])
{
    uint64_t sequence = keys->sequence++;

    memcpy(nonce, keys->iv, GCM_NONCE_BYTES);
    for (unsigned i = 0; i < 8; i++)
        nonce[GCM_NONCE_BYTES - 1 - i] ^= (uint8_t)(sequence >> 8 * i);
}

/* ---- taking over ---- */

/* GnuTLS must have come to the same keys, and what it has counted is where we go on. */
static bool agrees(struct tls_record_keys *keys, gnutls_session_t gnutls, bool receiving)
{
    gnutls_datum_t mac, iv, key;
    uint8_t sequence[8], ours[TLS_KEY_BYTES_MAX];

    if (gnutls_record_get_state(gnutls, receiving, &mac, &iv, &key, sequence) < 0 ||
        key.size != keys->key_bytes || iv.size != sizeof keys->iv)
        return false;
    bool same = expand_label(keys, "key", ours, keys->key_bytes) &&
                gnutls_memcmp(ours, key.data, keys->key_bytes) == 0 &&
                gnutls_memcmp(keys->iv, iv.data, sizeof keys->iv) == 0;
    secret_wipe(ours, sizeof ours);
    for (unsigned i = 0; i < 8; i++)
        keys->sequence = keys->sequence << 8 | sequence[i];
    return same;
}

static bool take_over(struct tls_record_keys *keys, gnutls_session_t gnutls, bool receiving,
                      const struct gcm_ops *ops)
{
    gnutls_digest_algorithm_t hash = gnutls_prf_hash_get(gnutls);

    if (keys->secret_bytes == 0 || keys->secret_bytes != gnutls_hash_get_len(hash))
        return false;
    keys->hash = (gnutls_mac_algorithm_t)hash; /* their numbers are the same */
    keys->key_bytes = gnutls_cipher_get(gnutls) == GNUTLS_CIPHER_AES_128_GCM ? 16 : 32;
    return tls_record_keys_make(keys, ops) && agrees(keys, gnutls, receiving);
}

bool tls_record_keys_take_over(struct tls_session *session, const struct gcm_ops *ops)
{
    gnutls_session_t gnutls = session->gnutls;
    gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(gnutls);

    return session->record_keys != NULL && gnutls_protocol_get_version(gnutls) == GNUTLS_TLS1_3 &&
           (cipher == GNUTLS_CIPHER_AES_128_GCM || cipher == GNUTLS_CIPHER_AES_256_GCM) &&
           gnutls_record_check_pending(gnutls) == 0 &&
           take_over(&pair_of(session)->sending, gnutls, false, ops) &&
           take_over(&pair_of(session)->receiving, gnutls, true, ops);
}

/* ---- new keys ---- */

unsigned tls_records_per_key(void)
{
    const char *wanted = getenv("NBDCRYPT_TLS_RECORDS_PER_KEY");
    unsigned long count = wanted != NULL ? strtoul(wanted, NULL, 10) : 0;

    return count > 0 && count < TLS_RECORDS_PER_KEY ? (unsigned)count : TLS_RECORDS_PER_KEY;
}

bool tls_update_rate_exceeded(struct tls_update_rate *rate)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (rate->second != now.tv_sec) {
        rate->second = now.tv_sec;
        rate->updates = 0;
    }
    return ++rate->updates > UPDATES_PER_SECOND_MAX;
}
