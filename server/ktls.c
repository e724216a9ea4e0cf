#include "server/ktls.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "server/log.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* RFC 8446, 5.1, 6 and 4. */
enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, RECORD_DATA = 23 };
enum { ALERT_WARNING = 1, ALERT_FATAL = 2 };
enum { MESSAGE_KEY_UPDATE = 24 };

/* ---- the keys ---- */

union crypto_info {
    struct tls_crypto_info head;
    struct tls12_crypto_info_aes_gcm_128 aes_128;
    struct tls12_crypto_info_aes_gcm_256 aes_256;
};

/* The state of one direction, as GnuTLS has it: all of it belongs to GnuTLS. */
struct direction {
    gnutls_datum_t iv, key;
    unsigned char sequence[8];
};

/* RFC 5288, 3 and RFC 8446, 5.3: a nonce is 4 bytes of salt and 8 more.  In TLS 1.3 these are fixed and
 * mixed with the number of the record; in 1.2 they are sent along, and GnuTLS takes that number. */
static bool fill_nonce(const struct direction *from, bool tls13, unsigned char *salt, unsigned char *iv)
{
    if (from->iv.size < (tls13 ? 12u : 4u))
        return false;
    memcpy(salt, from->iv.data, 4);
    memcpy(iv, tls13 ? from->iv.data + 4 : from->sequence, 8);
    return true;
}

/* The bytes of `info` that are used; 0: the kernel is not asked to do this cipher. */
static socklen_t fill_info(union crypto_info *info, gnutls_session_t gnutls,
                           const struct direction *from)
{
    gnutls_protocol_t version = gnutls_protocol_get_version(gnutls);
    gnutls_cipher_algorithm_t cipher = gnutls_cipher_get(gnutls);
    bool tls13 = version == GNUTLS_TLS1_3;

    if (!tls13 && version != GNUTLS_TLS1_2)
        return 0;
    info->head.version = tls13 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
    if (cipher == GNUTLS_CIPHER_AES_128_GCM && from->key.size == sizeof info->aes_128.key) {
        info->head.cipher_type = TLS_CIPHER_AES_GCM_128;
        memcpy(info->aes_128.key, from->key.data, sizeof info->aes_128.key);
        memcpy(info->aes_128.rec_seq, from->sequence, sizeof info->aes_128.rec_seq);
        if (fill_nonce(from, tls13, info->aes_128.salt, info->aes_128.iv))
            return sizeof info->aes_128;
    }
    if (cipher == GNUTLS_CIPHER_AES_256_GCM && from->key.size == sizeof info->aes_256.key) {
        info->head.cipher_type = TLS_CIPHER_AES_GCM_256;
        memcpy(info->aes_256.key, from->key.data, sizeof info->aes_256.key);
        memcpy(info->aes_256.rec_seq, from->sequence, sizeof info->aes_256.rec_seq);
        if (fill_nonce(from, tls13, info->aes_256.salt, info->aes_256.iv))
            return sizeof info->aes_256;
    }
    return 0;
}

/* `option` is TLS_TX or TLS_RX. */
static int give_keys(int fd, gnutls_session_t gnutls, int option)
{
    union crypto_info info = { .head = { 0 } };
    struct direction from;
    int code = 0;

    if (gnutls_record_get_state(gnutls, option == TLS_RX, NULL, &from.iv, &from.key,
                                from.sequence) < 0)
        return -EOPNOTSUPP;
    socklen_t info_bytes = fill_info(&info, gnutls, &from);
    if (info_bytes == 0)
        code = -EOPNOTSUPP;
    else if (setsockopt(fd, SOL_TLS, option, &info, info_bytes) < 0)
        code = -errno;
    secret_wipe(&info, sizeof info);
    return code;
}

/* A socket that is not connected can't have it, but the kernel says so only when it knows it. */
bool ktls_is_there(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    bool is_there = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") == 0 || errno == ENOTCONN;
    close(fd);
    return is_there;
}

int ktls_start_sending(struct ktls *ktls, gnutls_session_t gnutls, int fd, const struct peer *peer)
{
    *ktls = (struct ktls){ .fd = fd, .peer = peer };
    /* Without keys the socket stays what it was. */
    if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") < 0)
        return -errno;
    return give_keys(fd, gnutls, TLS_TX);
}

int ktls_start_receiving(struct ktls *ktls, gnutls_session_t gnutls)
{
    return give_keys(ktls->fd, gnutls, TLS_RX);
}

/* ---- what is no data ---- */

static void send_alert(struct ktls *ktls, uint8_t level, uint8_t description)
{
    uint8_t alert[2] = { level, description };
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(1)] = { 0 };
    struct iovec iov = { alert, sizeof alert };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = sizeof control };
    struct cmsghdr *type = CMSG_FIRSTHDR(&message);

    type->cmsg_level = SOL_TLS;
    type->cmsg_type = TLS_SET_RECORD_TYPE;
    type->cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(type) = RECORD_ALERT;
    /* A last word: when the socket is full, nobody waits for a client that does not read. */
    ssize_t ignored = sendmsg(ktls->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
}

/* The session is over, and the client is told where that is possible. */
static int break_off(struct ktls *ktls, const char *why, int alert)
{
    ktls->broken = true;
    log_info("%s: TLS: %s; dropped", ktls->peer->text, why);
    if (alert >= 0)
        send_alert(ktls, ALERT_FATAL, (uint8_t)alert);
    return -ECONNRESET;
}

static int alert_received(struct ktls *ktls, const uint8_t *alert)
{
    char text[160];
    const char *name = gnutls_alert_get_name(alert[1]);

    if (alert[1] == GNUTLS_A_CLOSE_NOTIFY) {
        ktls->ended = true;
        return 0;
    }
    /* RFC 5246, 7.2.2 and RFC 8446, 6.1: those that may be ignored. */
    if (alert[1] == GNUTLS_A_USER_CANCELED || alert[1] == GNUTLS_A_NO_RENEGOTIATION)
        return -EAGAIN;
    snprintf(text, sizeof text, "the client ended it with the alert \"%s\"", name ? name : "unknown");
    return break_off(ktls, text, -1);
}

/* The bytes of a short record, which may lie in several pieces. */
static void take_start(const struct msghdr *message, size_t count, uint8_t start[2])
{
    size_t taken = 0;

    start[0] = start[1] = 0;
    for (size_t i = 0; i < message->msg_iovlen; i++)
        for (size_t j = 0; j < message->msg_iov[i].iov_len && taken < count && taken < 2; j++)
            start[taken++] = ((const uint8_t *)message->msg_iov[i].iov_base)[j];
}

static int control_received(struct ktls *ktls, const struct msghdr *message, int type, size_t count,
                            bool may_answer)
{
    uint8_t start[2];

    take_start(message, count, start);
    if (type == RECORD_ALERT && count >= 2)
        return alert_received(ktls, start);
    if (type == RECORD_HANDSHAKE && count > 0 && start[0] == MESSAGE_KEY_UPDATE)
        return break_off(ktls, "the client has changed its keys, which kernel TLS can't follow: serve "
                         "with --ktls off", may_answer ? GNUTLS_A_INTERNAL_ERROR : -1);
    if (type == RECORD_HANDSHAKE)
        return break_off(ktls, "it wants to renegotiate, which this server does not do",
                         may_answer ? GNUTLS_A_UNEXPECTED_MESSAGE : -1);
    return break_off(ktls, "it sent something that is not TLS, or not what was due",
                     may_answer ? GNUTLS_A_UNEXPECTED_MESSAGE : -1);
}

/* ---- receiving ---- */

void ktls_prepare(struct ktls *ktls, struct msghdr *message)
{
    message->msg_control = ktls->control;
    message->msg_controllen = sizeof ktls->control;
}

static int record_type(const struct msghdr *message)
{
    const struct cmsghdr *found = CMSG_FIRSTHDR(message);

    if (found == NULL || found->cmsg_level != SOL_TLS || found->cmsg_type != TLS_GET_RECORD_TYPE)
        return -1;
    return *CMSG_DATA(found);
}

static int receive_failed(struct ktls *ktls, int error, bool may_answer)
{
    switch (error) {
    case -EBADMSG:
        return break_off(ktls, "a record was damaged or forged on the way (bad MAC)",
                         may_answer ? GNUTLS_A_BAD_RECORD_MAC : -1);
    case -EMSGSIZE:
        return break_off(ktls, "it sent a record that is longer than TLS allows",
                         may_answer ? GNUTLS_A_RECORD_OVERFLOW : -1);
    case -EINVAL:
    case -EIO:
        return break_off(ktls, "it sent something that is not TLS, or not what was due",
                         may_answer ? GNUTLS_A_UNEXPECTED_MESSAGE : -1);
    default:
        ktls->broken = true;
        return error;
    }
}

int ktls_received(struct ktls *ktls, const struct msghdr *message, int result, bool may_answer)
{
    int type = record_type(message);

    if (ktls->ended)
        return 0;
    if (ktls->broken)
        return -ECONNRESET;
    if (result < 0)
        return receive_failed(ktls, result, may_answer);
    /* A record without data has a type; the end of the stream has none. */
    if (type == RECORD_DATA || (type < 0 && result > 0))
        return result > 0 ? result : -EAGAIN;
    if (type >= 0)
        return control_received(ktls, message, type, (size_t)result, may_answer);
    ktls->broken = true;
    if (!ktls->aborted)
        log_info("%s: TLS: the connection ended without close_notify: the client vanished, or somebody "
                 "on the way cut it", ktls->peer->text);
    return -ECONNRESET;
}

void ktls_say_goodbye(struct ktls *ktls)
{
    if (ktls->broken || ktls->aborted || ktls->said_goodbye)
        return;
    ktls->said_goodbye = true;
    send_alert(ktls, ALERT_WARNING, GNUTLS_A_CLOSE_NOTIFY);
}
