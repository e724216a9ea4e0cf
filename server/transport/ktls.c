#include "server/transport/ktls.h"

#include <errno.h>
#include <linux/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/tls/tls-record-types.h"
#include "server/tls/tls-session.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define RECORD_BYTES_MAX 16384u

/* ---- the keys ---- */

int ktls_start_sending(struct ktls *ktls, gnutls_session_t gnutls, int fd, const struct peer *peer)
{
    int result = ktls_keys_attach(fd);

    *ktls = (struct ktls){ .fd = fd, .peer = peer };
    return result < 0 ? result : ktls_keys_give(fd, gnutls, TLS_TX);
}

int ktls_start_receiving(struct ktls *ktls, gnutls_session_t gnutls)
{
    return ktls_keys_give(ktls->fd, gnutls, TLS_RX);
}

void ktls_follow_keys(struct ktls *ktls, struct tls_session *session, const struct tls *tls)
{
    ktls->tls13 = gnutls_protocol_get_version(session->gnutls) == GNUTLS_TLS1_3;
    ktls->records_per_key = ktls->records_left = tls->records_per_key;
    if (tls->kernel != KTLS_KEYS_CHANGE || !tls_record_keys_take_over(session, NULL))
        return;
    ktls->secrets = session->record_keys;
    ktls->keys = (struct tls_record_key_pair *)(void *)ktls->secrets->data;
    session->record_keys = NULL;
}

void ktls_free(struct ktls *ktls)
{
    if (ktls == NULL)
        return;
    secret_free(ktls->secrets);
    free(ktls);
}

/* ---- what is no data ---- */

/* A message whose bytes become one record of this type. */
static void prepare_record(struct ktls_record *record, uint8_t type, const uint8_t *bytes,
                           size_t count)
{
    *record = (struct ktls_record){ .iov = { record->bytes, count } };
    memcpy(record->bytes, bytes, count);
    record->message = (struct msghdr){ .msg_iov = &record->iov,
                                       .msg_iovlen = 1,
                                       .msg_control = record->control,
                                       .msg_controllen = sizeof record->control };
    struct cmsghdr *header = CMSG_FIRSTHDR(&record->message);
    header->cmsg_level = SOL_TLS;
    header->cmsg_type = TLS_SET_RECORD_TYPE;
    header->cmsg_len = CMSG_LEN(1);
    *CMSG_DATA(header) = type;
}

static void send_alert(struct ktls *ktls, uint8_t level, uint8_t description)
{
    struct ktls_record record;

    prepare_record(&record, TLS_RECORD_ALERT, (uint8_t[]){ level, description }, 2);
    /* A last word: when the socket is full, nobody waits for a client that does not read. */
    ssize_t ignored = sendmsg(ktls->fd, &record.message, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)ignored;
}

/* The session is over, and the client is told where that is possible. */
static int break_off(struct ktls *ktls, const char *why, int alert)
{
    ktls->broken = true;
    log_write_of(LOG_NOTICE, ktls->peer->text, "TLS: %s; dropped", why);
    if (alert >= 0)
        send_alert(ktls, TLS_ALERT_FATAL, (uint8_t)alert);
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
    snprintf(text, sizeof text, "the client ended it with the alert \"%s\"",
             name != NULL ? name : "unknown");
    return break_off(ktls, text, -1);
}

/* The bytes of a short record, which may lie in several pieces. */
static void take_start(const struct msghdr *message, size_t count,
                       uint8_t start[TLS_KEY_UPDATE_BYTES])
{
    size_t taken = 0;

    count = count < TLS_KEY_UPDATE_BYTES ? count : TLS_KEY_UPDATE_BYTES;
    memset(start, 0, TLS_KEY_UPDATE_BYTES);
    for (size_t i = 0; i < message->msg_iovlen; i++)
        for (size_t j = 0; j < message->msg_iov[i].iov_len && taken < count; j++)
            start[taken++] = ((const uint8_t *)message->msg_iov[i].iov_base)[j];
}

/* RFC 8446, 4.6.3.  The kernel opens nothing behind it until it has the next keys. */
static int key_update_received(struct ktls *ktls, const uint8_t *message, size_t count, int alert)
{
    static const uint8_t expected[4] = { TLS_KEY_UPDATE, 0, 0, 1 };

    if (!ktls->tls13 || count != TLS_KEY_UPDATE_BYTES ||
        memcmp(message, expected, sizeof expected) != 0 || message[4] > TLS_UPDATE_REQUESTED)
        return break_off(ktls, "it sent something that is not TLS, or not what was due", alert);
    alert = alert < 0 ? alert : GNUTLS_A_INTERNAL_ERROR;
    if (tls_update_rate_exceeded(&ktls->updates))
        return break_off(ktls, "it asks for new keys too often", alert);
    if (ktls->keys == NULL || ktls_keys_change(ktls->fd, &ktls->keys->receiving, TLS_RX) < 0)
        return break_off(ktls,
                         "the client has changed its keys, which kernel TLS can't follow: serve "
                         "with --ktls off, or on Linux 6.14 or later",
                         alert);
    tally_add(TALLY_TLS_KEY_UPDATES_BY_PEER);
    ktls->update_due |= message[4] == TLS_UPDATE_REQUESTED;
    return -EAGAIN;
}

static int control_received(struct ktls *ktls, const struct msghdr *message, int type, size_t count,
                            bool may_answer)
{
    uint8_t start[TLS_KEY_UPDATE_BYTES];
    int alert = may_answer ? GNUTLS_A_UNEXPECTED_MESSAGE : -1;

    take_start(message, count, start);
    if (type == TLS_RECORD_ALERT && count >= 2)
        return alert_received(ktls, start);
    if (type == TLS_RECORD_HANDSHAKE && count > 0 && start[0] == TLS_KEY_UPDATE)
        return key_update_received(ktls, start, count, alert);
    if (type == TLS_RECORD_HANDSHAKE)
        return break_off(ktls, "it wants to renegotiate, which this server does not do", alert);
    return break_off(ktls, "it sent something that is not TLS, or not what was due", alert);
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
    if (type == TLS_RECORD_DATA || (type < 0 && result > 0))
        return result > 0 ? result : -EAGAIN;
    if (type >= 0)
        return control_received(ktls, message, type, (size_t)result, may_answer);
    ktls->broken = true;
    if (!ktls->aborted)
        log_write_of(
            LOG_NOTICE, ktls->peer->text,
            "TLS: the connection ended without close_notify: the client vanished, or somebody "
            "on the way cut it");
    return -ECONNRESET;
}

void ktls_say_goodbye(struct ktls *ktls)
{
    if (ktls->broken || ktls->aborted || ktls->said_goodbye)
        return;
    ktls->said_goodbye = true;
    send_alert(ktls, TLS_ALERT_WARNING, GNUTLS_A_CLOSE_NOTIFY);
}

/* ---- sending ---- */

struct msghdr *ktls_before_send(struct ktls *ktls)
{
    static const uint8_t update[] = { TLS_KEY_UPDATE, 0, 0, 1, TLS_UPDATE_NOT_REQUESTED };

    if (ktls->broken || !(ktls->update_due || (ktls->tls13 && ktls->records_left == 0)))
        return NULL;
    if (ktls->keys == NULL) {
        ktls_say_goodbye(ktls);
        (void)shutdown(ktls->fd, SHUT_RDWR); /* what is sent now fails */
        break_off(ktls,
                  "its keys have served for as many records as AES-GCM allows, and this kernel "
                  "can't change them: serve with --ktls off, or on Linux 6.14 or later",
                  -1);
        return NULL;
    }
    prepare_record(&ktls->update, TLS_RECORD_HANDSHAKE, update, sizeof update);
    return &ktls->update.message;
}

int ktls_update_sent(struct ktls *ktls, int result)
{
    if (result < 0)
        return result;
    ktls->update_due = false;
    ktls->records_left = ktls->records_per_key;
    if (result != TLS_KEY_UPDATE_BYTES ||
        ktls_keys_change(ktls->fd, &ktls->keys->sending, TLS_TX) < 0)
        return break_off(ktls, "the kernel did not take new keys for sending", -1);
    tally_add(TALLY_TLS_KEY_UPDATES_BY_US);
    return 0;
}

/* Each call of sendmsg(2) ends with the end of a record. */
void ktls_sent(struct ktls *ktls, uint32_t count)
{
    uint32_t records = count / RECORD_BYTES_MAX + (count % RECORD_BYTES_MAX != 0);

    ktls->records_left -= records < ktls->records_left ? records : ktls->records_left;
}
