#include "server/client/tls-client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "crypto/gcm/gcm-choose.h"
#include "server/loop/loop.h"
#include "server/client/tls-client-credentials.h"
#include "server/tls/tls-limits.h"
#include "server/tls/tls-record-keys.h"
#include "server/tls/tls-session.h"
#include "server/tls/tls-verify.h"

#define HINT_BYTES 400u

struct tls_client {
    struct tls_session session;
    struct tls_client_credentials credentials;
    const char *host; /* during the handshake */
    int fd;
    bool verified; /* the server's certificate */
    bool open, lost;
    char hint[HINT_BYTES];

    /* What has gone through the socket. */
    int socket_error;         /* of the last call that failed, positive */
    bool unsent;              /* a part of what was to be sent last */
    bool deaf;                /* the server has closed: nothing reaches it any more */
    uint32_t handshake_bytes; /* received */
    uint32_t record_left_bytes;
    uint8_t header[5], header_bytes; /* of the record that is being received */
    bool receiving;                  /* the last receive brought no data: perhaps half a message */
};

static struct tls_client *client_of(struct tls_session *session)
{
    return container_of(session, struct tls_client, session);
}

/* ---- the socket ---- */

/* RFC 8446, 5.1: a type, two bytes of version, two of length. */
static void count_records(struct tls_client *client, const uint8_t *data, size_t count)
{
    while (count > 0) {
        if (client->record_left_bytes > 0) {
            size_t used = count < client->record_left_bytes ? count : client->record_left_bytes;

            client->record_left_bytes -= (uint32_t)used;
            data += used;
            count -= used;
            continue;
        }
        client->header[client->header_bytes++] = *data++;
        count--;
        if (client->header_bytes == sizeof client->header) {
            client->record_left_bytes = (uint32_t)client->header[3] << 8 | client->header[4];
            client->header_bytes = 0;
        }
    }
}

static ssize_t pull(gnutls_transport_ptr_t context, void *data, size_t length_bytes)
{
    struct tls_client *client = context;
    ssize_t count = recv(client->fd, data, length_bytes, 0);

    if (count < 0) {
        client->socket_error = errno;
        gnutls_transport_set_errno(client->session.gnutls, errno);
        return -1;
    }
    client->handshake_bytes += client->open ? 0 : (uint32_t)count;
    if (client->handshake_bytes > TLS_LIMITS_HANDSHAKE_BYTES) {
        tls_session_say(&client->session, "it sent more than %u bytes in its handshake",
                        TLS_LIMITS_HANDSHAKE_BYTES);
        gnutls_transport_set_errno(client->session.gnutls, EMSGSIZE);
        return -1;
    }
    count_records(client, data, (size_t)count);
    return count;
}

/* A server that has closed may have said why with an alert, which is still to be read: so what it
 * does not hear counts as sent, and receiving shows that it is over. */
static ssize_t push(gnutls_transport_ptr_t context, const giovec_t *iov, int iov_count)
{
    struct tls_client *client = context;
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov,
                              .msg_iovlen = (size_t)iov_count };
    ssize_t count = sendmsg(client->fd, &message, MSG_NOSIGNAL);
    size_t length_bytes = 0;

    for (int i = 0; i < iov_count; i++)
        length_bytes += iov[i].iov_len;
    client->deaf |= count < 0 && (errno == EPIPE || errno == ECONNRESET);
    if (client->deaf)
        count = (ssize_t)length_bytes;
    client->unsent = count < 0 || (size_t)count < length_bytes;
    if (count < 0) {
        client->socket_error = errno;
        gnutls_transport_set_errno(client->session.gnutls, errno);
    }
    return count;
}

/* What GnuTLS waits for; what is no reason to wait is one to look at the deadline. */
static short wanted_events(const struct tls_client *client, int result)
{
    if (result != GNUTLS_E_AGAIN)
        return POLLIN | POLLOUT;
    return gnutls_record_get_direction(client->session.gnutls) == 0 ? POLLIN : POLLOUT;
}

/* ---- why it failed ---- */

/* `session` is under a pre-shared key. */
static const char *psk_hint(struct tls_client *client, gnutls_alert_description_t alert)
{
    switch (alert) {
    case GNUTLS_A_UNKNOWN_PSK_IDENTITY:
    case GNUTLS_A_DECRYPT_ERROR:
    case GNUTLS_A_DECRYPTION_FAILED:
    case GNUTLS_A_BAD_RECORD_MAC:
    case GNUTLS_A_ILLEGAL_PARAMETER:
    case GNUTLS_A_HANDSHAKE_FAILURE:
    case GNUTLS_A_INSUFFICIENT_SECURITY:
    case GNUTLS_A_INTERNAL_ERROR:
    case GNUTLS_A_ACCESS_DENIED:
        snprintf(client->hint, sizeof client->hint,
                 ": it does not know the PSK identity '%s', or has another key for it, or wants "
                 "certificates: give both the same line",
                 client->credentials.user);
        return client->hint;
    default:
        return "";
    }
}

static const char *certificate_hint(struct tls_client *client, gnutls_alert_description_t alert)
{
    switch (alert) {
    case GNUTLS_A_CERTIFICATE_REQUIRED:
        return client->credentials.own_certificate
                   ? ""
                   : ": it wants one of its clients: put client-cert.pem and client-key.pem beside "
                     "ca-cert.pem";
    case GNUTLS_A_DECODE_ERROR: /* of GnuTLS's servers under TLS 1.2 */
        return client->credentials.own_certificate ? ""
                                                   : ": perhaps it wants a certificate of its "
                                                     "clients, client-cert.pem and client-key.pem";
    case GNUTLS_A_UNKNOWN_CA:
    case GNUTLS_A_BAD_CERTIFICATE:
    case GNUTLS_A_CERTIFICATE_UNKNOWN:
    case GNUTLS_A_CERTIFICATE_EXPIRED:
    case GNUTLS_A_CERTIFICATE_REVOKED:
    case GNUTLS_A_UNSUPPORTED_CERTIFICATE:
    case GNUTLS_A_ACCESS_DENIED:
        return client->credentials.own_certificate ? ": it does not accept client-cert.pem: issue "
                                                     "one with an authority that it trusts"
                                                   : ": perhaps it wants a certificate of its "
                                                     "clients, client-cert.pem and client-key.pem";
    case GNUTLS_A_PROTOCOL_VERSION:
    case GNUTLS_A_INSUFFICIENT_SECURITY:
        return ": there is no version or cipher that both accept";
    case GNUTLS_A_HANDSHAKE_FAILURE:
        return client->credentials.own_certificate
                   ? ": there is no version, cipher or kind of credentials that both accept"
                   : ": there is no version or cipher that both accept, or it wants a certificate "
                     "of its "
                     "clients (client-cert.pem, client-key.pem), or a pre-shared key";
    default:
        return "";
    }
}

static const char *alert_hint(struct tls_session *session, gnutls_alert_description_t alert)
{
    struct tls_client *client = client_of(session);

    return client->credentials.psk != NULL ? psk_hint(client, alert)
                                           : certificate_hint(client, alert);
}

/* The sentences that only a client's handshake has. */
static void explain_handshake(struct tls_client *client, int error)
{
    struct tls_session *session = &client->session;

    switch (error) {
    case GNUTLS_E_PREMATURE_TERMINATION:
        tls_session_say(
            session, "it closed the connection in the middle of the handshake%s",
            client->credentials.psk != NULL
                ? ": perhaps it does not know this PSK identity, or has another key for it"
            : client->credentials.own_certificate
                ? ": perhaps it does not accept client-cert.pem"
                : ": perhaps it wants a certificate of its clients (client-cert.pem, "
                  "client-key.pem)");
        break;
    case GNUTLS_E_DECRYPTION_FAILED:
    case GNUTLS_E_ERROR_IN_FINISHED_PACKET:
    case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
        if (client->credentials.psk != NULL)
            tls_session_say(session,
                            "its key for the PSK identity '%s' is another one: give both the "
                            "same line",
                            client->credentials.user);
        break;
    case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
        if (client->credentials.psk != NULL)
            tls_session_say(session,
                            "it wants certificates, or does not know the PSK identity '%s'",
                            client->credentials.user);
        break;
    default:
        break;
    }
}

static int fail(struct tls_client *client, int error, struct error *err)
{
    struct tls_session *session = &client->session;

    client->lost = true;
    if ((error == GNUTLS_E_PULL_ERROR || error == GNUTLS_E_PUSH_ERROR) &&
        session->reason[0] == '\0')
        return error_set(err, client->socket_error > 0 ? -client->socket_error : -ECONNRESET,
                         "the connection to the server is lost: %s",
                         strerror(client->socket_error));
    if (!client->open)
        explain_handshake(client, error);
    else if (error == GNUTLS_E_PREMATURE_TERMINATION)
        tls_session_say(session,
                        "the connection ended without close_notify: the server vanished, or "
                        "somebody on the way cut it");
    tls_session_say(session, "%s", tls_session_explain(session, error, 0));
    if (!client->unsent && error != GNUTLS_E_PREMATURE_TERMINATION)
        tls_session_send_alert(session, error);
    return error_set(err, error == GNUTLS_E_PREMATURE_TERMINATION ? -ECONNRESET : -EPROTO,
                     "TLS with the server failed: %s", session->reason);
}

/* ---- set-up ---- */

/* A gnutls_certificate_verify_function: 0 accepts. */
static int verify_server(gnutls_session_t gnutls)
{
    struct tls_client *client = client_of(gnutls_session_get_ptr(gnutls));
    struct error why = { .text = "" };
    int alert = tls_verify_server(gnutls, client->credentials.revocation, client->host, &why);

    client->verified = alert < 0;
    if (client->verified)
        return 0;
    client->session.alert = alert;
    tls_session_say(&client->session, "%s", why.text);
    return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

static void client_free(struct tls_session *session)
{
    struct tls_client *client = client_of(session);

    tls_session_clear(session);
    tls_client_credentials_free(&client->credentials);
    free(client);
}

static const struct tls_end client_end = {
    .client = true,
    .other = "server",
    .alert_hint = alert_hint,
    .free = client_free,
};

static int start(struct tls_client *client, const struct tls_client_settings *settings,
                 struct error *err)
{
    int code = tls_session_init(&client->session, &client_end,
                                GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT, err);

    if (code == 0)
        code = tls_client_credentials_read(&client->credentials, settings, err);
    if (code < 0)
        return code;
    gnutls_session_t gnutls = client->session.gnutls;
    int result = tls_client_credentials_use(&client->credentials, gnutls, settings->host);
    if (result < 0)
        return tls_session_no_start(result, err);
    if (client->credentials.certificates != NULL)
        gnutls_session_set_verify_function(gnutls, verify_server);
    if (gcm_choose() != NULL)
        tls_record_keys_watch(&client->session);
    gnutls_transport_set_ptr(gnutls, client);
    gnutls_transport_set_pull_function(gnutls, pull);
    gnutls_transport_set_vec_push_function(gnutls, push);
    return 0;
}

/* ---- the handshake ---- */

/* GnuTLS has checked it on the way; nothing goes on if it ever should not. */
static int check_proof(struct tls_client *client, struct error *err)
{
    gnutls_credentials_type_t kind = gnutls_auth_server_get_type(client->session.gnutls);
    bool proven = client->credentials.psk != NULL
                      ? kind == GNUTLS_CRD_PSK
                      : kind == GNUTLS_CRD_CERTIFICATE && client->verified;

    if (proven)
        return 0;
    tls_session_say(&client->session, "it has not proven who it is");
    return fail(client, GNUTLS_E_INSUFFICIENT_CREDENTIALS, err);
}

static int shake_hands(struct tls_client *client, const struct channel *channel, struct error *err)
{
    for (;;) {
        int result = gnutls_handshake(client->session.gnutls);

        if (result >= 0)
            return check_proof(client, err);
        if (gnutls_error_is_fatal(result))
            return fail(client, result, err);
        int code = channel_wait(channel, wanted_events(client, result), err);
        if (code < 0) {
            error_prefix(err, "TLS: ");
            return code;
        }
    }
}

/* ---- the channel ---- */

/* What a call of GnuTLS means for a channel_protection. */
static ssize_t moved(struct tls_client *client, ssize_t result, short *events, struct error *err)
{
    if (result >= 0)
        return result;
    if (gnutls_error_is_fatal((int)result) || result == GNUTLS_E_REHANDSHAKE)
        return fail(client, (int)result, err);
    *events = wanted_events(client, (int)result);
    return -EAGAIN;
}

static ssize_t protected_send(struct channel *channel, const void *data, size_t length_bytes,
                              short *events, struct error *err)
{
    struct tls_client *client = channel->context;

    return moved(client, gnutls_record_send(client->session.gnutls, data, length_bytes), events,
                 err);
}

static ssize_t protected_receive(struct channel *channel, void *data, size_t length_bytes,
                                 short *events, struct error *err)
{
    struct tls_client *client = channel->context;
    ssize_t count = gnutls_record_recv(client->session.gnutls, data, length_bytes);

    client->receiving = count <= 0;
    return moved(client, count, events, err);
}

static const struct channel_protection under_tls = { protected_send, protected_receive };

/* ---- all of it ---- */

int tls_client_handshake(struct tls_client **out, struct channel *channel,
                         const struct tls_client_settings *settings, struct error *err)
{
    struct tls_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return error_no_memory(err, "for TLS");
    client->fd = channel->fd;
    client->host = settings->host;
    int result = start(client, settings, err);
    if (result == 0)
        result = shake_hands(client, channel, err);
    client->host = NULL;
    if (result < 0) {
        client_free(&client->session);
        return result;
    }
    client->open = true;
    tls_client_channel(client, channel);
    *out = client;
    return 0;
}

void tls_client_channel(struct tls_client *client, struct channel *channel)
{
    channel->protection = &under_tls;
    channel->context = client;
}

void tls_client_free(struct tls_client *client)
{
    if (client == NULL)
        return;
    if (!client->lost && !client->unsent)
        gnutls_bye(client->session.gnutls, GNUTLS_SHUT_WR);
    client_free(&client->session);
}

void tls_client_leave(struct tls_client *client)
{
    client_free(&client->session);
}

struct tls_session *tls_client_session(struct tls_client *client)
{
    return client->lost || client->unsent ? NULL : &client->session;
}

bool tls_client_is_between_records(const struct tls_client *client)
{
    return !client->receiving && client->record_left_bytes == 0 && client->header_bytes == 0 &&
           gnutls_record_check_pending(client->session.gnutls) == 0;
}
