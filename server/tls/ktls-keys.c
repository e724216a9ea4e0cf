#include "server/tls/ktls-keys.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/secret.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

union crypto_info {
    struct tls_crypto_info head;
    struct tls12_crypto_info_aes_gcm_128 aes_128;
    struct tls12_crypto_info_aes_gcm_256 aes_256;
};

/* The keys of AES-GCM in one direction. */
struct traffic_keys {
    bool tls13;
    const uint8_t *key, *iv, *sequence; /* the last one 8 bytes, of the next record */
    size_t key_bytes, iv_bytes;
};

/* RFC 5288, 3 and RFC 8446, 5.3: a nonce is 4 bytes of salt and 8 more.  In TLS 1.3 these are fixed
 * and mixed with the number of the record; in 1.2 they are sent along, and GnuTLS takes that
 * number. */
static void fill_nonce(const struct traffic_keys *from, unsigned char *salt, unsigned char *iv)
{
    memcpy(salt, from->iv, 4);
    memcpy(iv, from->tls13 ? from->iv + 4 : from->sequence, 8);
}

/* The bytes of `info` that are used. */
static socklen_t fill_info(union crypto_info *info, const struct traffic_keys *from)
{
    info->head.version = from->tls13 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
    if (from->key_bytes == sizeof info->aes_128.key) {
        info->head.cipher_type = TLS_CIPHER_AES_GCM_128;
        memcpy(info->aes_128.key, from->key, sizeof info->aes_128.key);
        memcpy(info->aes_128.rec_seq, from->sequence, sizeof info->aes_128.rec_seq);
        fill_nonce(from, info->aes_128.salt, info->aes_128.iv);
        return sizeof info->aes_128;
    }
    info->head.cipher_type = TLS_CIPHER_AES_GCM_256;
    memcpy(info->aes_256.key, from->key, sizeof info->aes_256.key);
    memcpy(info->aes_256.rec_seq, from->sequence, sizeof info->aes_256.rec_seq);
    fill_nonce(from, info->aes_256.salt, info->aes_256.iv);
    return sizeof info->aes_256;
}

static int set_keys(int fd, const struct traffic_keys *keys, int option)
{
    union crypto_info info = { .head = { 0 } };
    int result = 0;

    if ((keys->key_bytes != 16 && keys->key_bytes != 32) ||
        keys->iv_bytes < (keys->tls13 ? 12u : 4u))
        return -EOPNOTSUPP;
    if (setsockopt(fd, SOL_TLS, option, &info, fill_info(&info, keys)) < 0)
        result = -errno;
    secret_wipe(&info, sizeof info);
    return result;
}

int ktls_keys_attach(int fd)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") < 0 ? -errno : 0;
}

int ktls_keys_give(int fd, gnutls_session_t gnutls, int option)
{
    gnutls_protocol_t version = gnutls_protocol_get_version(gnutls);
    gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(gnutls);
    gnutls_datum_t iv, key; /* they are GnuTLS's */
    uint8_t sequence[8];

    if ((version != GNUTLS_TLS1_3 && version != GNUTLS_TLS1_2) ||
        (cipher != GNUTLS_CIPHER_AES_128_GCM && cipher != GNUTLS_CIPHER_AES_256_GCM) ||
        gnutls_record_get_state(gnutls, option == TLS_RX, NULL, &iv, &key, sequence) < 0)
        return -EOPNOTSUPP;
    return set_keys(fd,
                    &(struct traffic_keys){ .tls13 = version == GNUTLS_TLS1_3,
                                            .key = key.data,
                                            .key_bytes = key.size,
                                            .iv = iv.data,
                                            .iv_bytes = iv.size,
                                            .sequence = sequence },
                    option);
}

int ktls_keys_change(int fd, struct tls_record_keys *keys, int option)
{
    static const uint8_t first[8];
    uint8_t key[TLS_KEY_BYTES_MAX];
    int result = -ENOMEM;

    if (tls_record_keys_next(keys, key))
        result = set_keys(fd,
                          &(struct traffic_keys){ .tls13 = true,
                                                  .key = key,
                                                  .iv = keys->iv,
                                                  .key_bytes = keys->key_bytes,
                                                  .sequence = first,
                                                  .iv_bytes = sizeof keys->iv },
                          option);
    secret_wipe(key, sizeof key);
    return result;
}

/* ---- what there is ---- */

/* Two keys, one after the other, on a socket that never sends. */
static enum ktls_ability try_keys(int fd)
{
    static const uint8_t zeros[16];
    const struct traffic_keys keys = { true, zeros, zeros, zeros, 16, 12 };

    if (ktls_keys_attach(fd) < 0 || set_keys(fd, &keys, TLS_TX) < 0)
        return KTLS_ABSENT;
    return set_keys(fd, &keys, TLS_TX) == 0 ? KTLS_KEYS_CHANGE : KTLS_KEYS_FIXED;
}

enum ktls_ability ktls_keys_ability(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t address_bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum ktls_ability ability = KTLS_ABSENT;

    /* The connection waits in the queue of the listener: nobody has to accept it. */
    if (listener >= 0 && fd >= 0 &&
        bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
        listen(listener, 1) == 0 &&
        getsockname(listener, (struct sockaddr *)&address, &address_bytes) == 0 &&
        connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        ability = try_keys(fd);
    if (fd >= 0)
        close(fd);
    if (listener >= 0)
        close(listener);
    return ability;
}
