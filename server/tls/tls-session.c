#include "server/tls/tls-session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "server/base/tally.h"
#include "server/tls/tls-limits.h"

/* A gnutls_handshake_hook_func: 0 goes on. */
static int look(gnutls_session_t gnutls, unsigned type, unsigned when, unsigned incoming,
                const gnutls_datum_t *message)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    char text[TLS_LIMITS_TEXT_BYTES];
    int alert = -1;

    (void)when;
    if (type == GNUTLS_HANDSHAKE_KEY_UPDATE)
        tally_add(incoming ? TALLY_TLS_KEY_UPDATES_BY_PEER : TALLY_TLS_KEY_UPDATES_BY_US);
    if (!incoming)
        return 0;
    int result = tls_limits_check_message(gnutls, type, message, &alert, text);
    if (text[0] != '\0') {
        tls_session_say(session, "%s", text);
        session->alert = alert;
    }
    return result;
}

static void guard(struct tls_session *session)
{
    gnutls_session_set_ptr(session->gnutls, session);
    /* Under TLS 1.2; it means nothing under 1.3. */
    gnutls_handshake_set_max_packet_length(session->gnutls, TLS_LIMITS_HANDSHAKE_BYTES);
    gnutls_handshake_set_hook_function(session->gnutls, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_PRE,
                                       look);
}

void tls_session_adopt(struct tls_session *session, const struct tls_end *end,
                       gnutls_session_t gnutls)
{
    *session = (struct tls_session){ .end = end, .alert = -1, .gnutls = gnutls, .adopted = true };
    gnutls_credentials_clear(gnutls);
    guard(session);
}

int tls_session_init(struct tls_session *session, const struct tls_end *end, unsigned flags,
                     struct error *err)
{
    *session = (struct tls_session){ .end = end, .alert = -1 };
    int result = gnutls_init(&session->gnutls,
                             flags | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);

    if (result < 0)
        return tls_session_no_start(result, err);
    guard(session);
    return 0;
}

int tls_session_no_start(int error, struct error *err)
{
    return error_set(err, error == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL,
                     "TLS can't be started: %s", gnutls_strerror(error));
}

void tls_session_clear(struct tls_session *session)
{
    if (session->gnutls != NULL && !session->adopted)
        gnutls_deinit(session->gnutls);
    secret_free(session->record_keys);
    *session = (struct tls_session){ .end = session->end };
}

void tls_session_free(struct tls_session *session)
{
    if (session != NULL)
        session->end->free(session);
}

/* ---- why it failed ---- */

void tls_session_say(struct tls_session *session, const char *format, ...)
{
    va_list args;

    if (session->reason[0] != '\0')
        return;
    va_start(args, format);
    if (vsnprintf(session->reason, sizeof session->reason, format, args) < 0)
        session->reason[0] = '\0';
    va_end(args);
}

const char *tls_session_explain(struct tls_session *session, int error, int seen)
{
    switch (error) {
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
    case GNUTLS_E_WARNING_ALERT_RECEIVED: {
        gnutls_alert_description_t alert =
            seen != 0 ? (gnutls_alert_description_t)seen : gnutls_alert_get(session->gnutls);
        const char *name = gnutls_alert_get_name(alert);

        tls_session_say(session, "the %s ended it with the alert \"%s\"%s", session->end->other,
                        name != NULL ? name : "unknown", session->end->alert_hint(session, alert));
        return session->reason;
    }
    case GNUTLS_E_DECRYPTION_FAILED:
        return "a record was damaged or forged on the way (bad MAC)";
    case GNUTLS_E_RECORD_OVERFLOW:
        return "it sent a record that is longer than TLS allows";
    case GNUTLS_E_HANDSHAKE_TOO_LARGE:
        return "it sent a message of the handshake that is longer than it may be";
    case GNUTLS_E_REHANDSHAKE:
        return "it wants to renegotiate, which is not done here";
    case GNUTLS_E_PREMATURE_TERMINATION:
        return "it closed the connection in the middle of the handshake";
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
        return "it speaks a version of TLS that is too old, or none at all: TLS 1.2 is the least";
    case GNUTLS_E_UNEXPECTED_PACKET:
    case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
    case GNUTLS_E_UNEXPECTED_HANDSHAKE_PACKET:
        return "it sent something that is not TLS, or not what was due";
    case GNUTLS_E_NO_CIPHER_SUITES:
    case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
    case GNUTLS_E_NO_COMMON_KEY_SHARE:
        return "there is no cipher, group or kind of credentials (certificate, pre-shared key) "
               "that "
               "both have";
    case GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS:
        return "it asks for new keys too often";
    default:
        return gnutls_strerror(error);
    }
}

void tls_session_send_alert(struct tls_session *session, int error)
{
    if (session->alert >= 0)
        gnutls_alert_send(session->gnutls, GNUTLS_AL_FATAL,
                          (gnutls_alert_description_t)session->alert);
    else if (error != GNUTLS_E_FATAL_ALERT_RECEIVED)
        gnutls_alert_send_appropriate(session->gnutls, error);
}

/* ---- for the log ---- */

void tls_session_describe(struct tls_session *session, const char *by, char *text,
                          size_t text_bytes)
{
    gnutls_group_t group = gnutls_group_get(session->gnutls);
    const char *group_name = group != GNUTLS_GROUP_INVALID ? gnutls_group_get_name(group) : NULL;

    snprintf(text, text_bytes, "%s, %s%s%s%s, %s",
             gnutls_protocol_get_name(gnutls_protocol_get_version(session->gnutls)),
             gnutls_cipher_get_name(gnutls_cipher_get(session->gnutls)), by != NULL ? " (" : "",
             by != NULL ? by : "", by != NULL ? ")" : "",
             group_name != NULL ? group_name : "no Diffie-Hellman");
}
