#include "server/tls-session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/x509.h>

#include "server/tls-verify.h"

#define PSK_SHOWN 200u

static int verify_client(gnutls_session_t gnutls);

/* ---- set-up ---- */

static int set_credentials(struct tls_session *session)
{
    struct tls_credentials *credentials = session->credentials;
    gnutls_session_t gnutls = session->gnutls;
    int result = gnutls_priority_set(gnutls, credentials->priority);

    if (result >= 0 && credentials->certificates != NULL)
        result = gnutls_credentials_set(gnutls, GNUTLS_CRD_CERTIFICATE, credentials->certificates);
    if (result >= 0 && credentials->psk != NULL)
        result = gnutls_credentials_set(gnutls, GNUTLS_CRD_PSK, credentials->psk);
    if (credentials->verify_peer) {
        gnutls_certificate_server_set_request(gnutls, GNUTLS_CERT_REQUIRE);
        /* Without the names of our CAs: a client that has a certificate of another one then sends
         * it, and can be told what is wrong with it. */
        gnutls_certificate_send_x509_rdn_sequence(gnutls, 1);
        gnutls_session_set_verify_function(gnutls, verify_client);
    }
    return result;
}

int tls_session_init(struct tls_session *session, struct tls_credentials *credentials,
                     struct error *err)
{
    *session = (struct tls_session){ .credentials = credentials, .alert = -1 };
    int result = gnutls_init(&session->gnutls, GNUTLS_SERVER | GNUTLS_NONBLOCK |
                                                   GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS);
    if (result >= 0) {
        gnutls_session_set_ptr(session->gnutls, session);
        result = set_credentials(session);
    }
    if (result >= 0)
        return 0;
    tls_session_free(session);
    return error_set(err, result == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL,
                     "TLS can't be started: %s", gnutls_strerror(result));
}

void tls_session_free(struct tls_session *session)
{
    struct peer proven = { .identity = session->identity,
                           .dns_names = session->dns_names,
                           .uris = session->uris };

    peer_forget_tls(&proven);
    if (session->gnutls != NULL)
        gnutls_deinit(session->gnutls);
    secret_free(session->record_keys);
    tls_credentials_unref(session->credentials);
    free(session->psk_named);
    *session = (struct tls_session){ 0 };
}

/* ---- why it failed ---- */

/* The first reason is the one that counts. */
static void say(struct tls_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct tls_session *session, const char *format, ...)
{
    va_list args;

    if (session->reason[0] != '\0')
        return;
    va_start(args, format);
    if (vsnprintf(session->reason, sizeof session->reason, format, args) < 0)
        session->reason[0] = '\0';
    va_end(args);
}

static const char *alert_hint(gnutls_alert_description_t alert)
{
    switch (alert) {
    case GNUTLS_A_UNKNOWN_CA:
    case GNUTLS_A_BAD_CERTIFICATE:
    case GNUTLS_A_CERTIFICATE_UNKNOWN:
        return ": it does not trust this server's certificate: give it the right ca-cert.pem, and "
               "check that the certificate names the host it connects to";
    case GNUTLS_A_CERTIFICATE_EXPIRED:
        return ": this server's certificate has expired for it: issue a new one, or set its clock";
    case GNUTLS_A_PROTOCOL_VERSION:
    case GNUTLS_A_HANDSHAKE_FAILURE:
    case GNUTLS_A_INSUFFICIENT_SECURITY:
        return ": there is no version or cipher that both accept";
    default:
        return "";
    }
}

const char *tls_session_explain(struct tls_session *session, int error, int seen)
{
    switch (error) {
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
    case GNUTLS_E_WARNING_ALERT_RECEIVED: {
        gnutls_alert_description_t alert =
            seen != 0 ? (gnutls_alert_description_t)seen : gnutls_alert_get(session->gnutls);
        const char *name = gnutls_alert_get_name(alert);

        say(session, "the client ended it with the alert \"%s\"%s", name != NULL ? name : "unknown",
            alert_hint(alert));
        return session->reason;
    }
    case GNUTLS_E_DECRYPTION_FAILED:
        return "a record was damaged or forged on the way (bad MAC)";
    case GNUTLS_E_RECORD_OVERFLOW:
        return "it sent a record that is longer than TLS allows";
    case GNUTLS_E_REHANDSHAKE:
        return "it wants to renegotiate, which this server does not do";
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
        return "it has no cipher, group or kind of credentials (certificate, pre-shared key) in "
               "common with this server";
    case GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS:
        return "it asks for new keys too often";
    default:
        return gnutls_strerror(error);
    }
}

/* What only the handshake can fail with. */
static void explain_handshake(struct tls_session *session, int error)
{
    switch (error) {
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
    case GNUTLS_E_CERTIFICATE_REQUIRED:
        session->refused = true;
        session->alert = GNUTLS_A_CERTIFICATE_REQUIRED;
        if (gnutls_protocol_get_version(session->gnutls) != GNUTLS_TLS1_3)
            session->alert = GNUTLS_A_HANDSHAKE_FAILURE;
        say(session, "it sent no certificate: give it one that is signed by the CA in ca-cert.pem, "
            "or serve with --tls-no-verify-peer");
        break;
    case GNUTLS_E_PK_SIG_VERIFY_FAILED:
    case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
    case GNUTLS_E_DECRYPTION_FAILED:
    case GNUTLS_E_ERROR_IN_FINISHED_PACKET:
        if (session->psk_named == NULL && error == GNUTLS_E_DECRYPTION_FAILED)
            say(session, "what it sent can't be deciphered: some clients end so when they do not "
                "trust this server's certificate (its ca-cert.pem, the host name)");
        if (session->psk_named == NULL)
            break;
        session->refused = true;
        session->alert = GNUTLS_A_DECRYPT_ERROR;
        say(session, "its key for the PSK identity '%s' is not the one in the file of --tls-psk: give "
            "both the same line", session->psk_named);
        break;
    default:
        break;
    }
    say(session, "%s", tls_session_explain(session, error, 0));
}

/* ---- pre-shared keys ---- */

/* For an identity that nobody knows GnuTLS goes on with a random key, so that a client can't find
 * out which ones there are. */
int tls_session_find_psk(gnutls_session_t gnutls, const gnutls_datum_t *identity,
                         gnutls_datum_t *key)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    size_t key_bytes;
    const uint8_t *found =
        psk_file_find(session->credentials->keys, identity->data, identity->size, &key_bytes);

    free(session->psk_named);
    session->psk_named = strndup((const char *)identity->data,
                                 identity->size < PSK_SHOWN ? identity->size : PSK_SHOWN);
    if (found == NULL) {
        session->refused = true;
        say(session, "there is no PSK identity '%s' in the file of --tls-psk: add it, or give the "
            "client another one", session->psk_named != NULL ? session->psk_named : "?");
        return 1;
    }
    key->data = gnutls_malloc(key_bytes);
    if (key->data == NULL)
        return -1;
    memcpy(key->data, found, key_bytes);
    key->size = (unsigned)key_bytes;
    return 0;
}

/* ---- certificates ---- */

/* A gnutls_certificate_verify_function: 0 accepts. */
static int verify_client(gnutls_session_t gnutls)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);
    struct error why = { .text = "" };

    if (gnutls_auth_client_get_type(gnutls) != GNUTLS_CRD_CERTIFICATE)
        return 0;
    int alert = tls_verify_client(gnutls, &why);
    if (alert < 0)
        return 0;
    session->refused = true;
    session->alert = alert;
    say(session, "%s", why.text);
    return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/* ---- the handshake ---- */

static int fail(struct tls_session *session, int error)
{
    explain_handshake(session, error);
    if (session->alert >= 0)
        gnutls_alert_send(session->gnutls, GNUTLS_AL_FATAL,
                          (gnutls_alert_description_t)session->alert);
    else if (error != GNUTLS_E_FATAL_ALERT_RECEIVED)
        gnutls_alert_send_appropriate(session->gnutls, error);
    return -EPROTO;
}

/* Whom the handshake has proven. */
static int collect(struct tls_session *session)
{
    struct peer proven = { 0 };
    const char *psk = NULL;
    int code = 0;

    switch (gnutls_auth_client_get_type(session->gnutls)) {
    case GNUTLS_CRD_PSK:
        psk = gnutls_psk_server_get_username(session->gnutls);
        proven.identity = psk != NULL ? strdup(psk) : NULL;
        proven.proof = PEER_PSK;
        code = proven.identity != NULL ? 0 : -ENOMEM;
        break;
    case GNUTLS_CRD_CERTIFICATE:
        /* Without verification, what a certificate says proves nothing. */
        if (session->credentials->verify_peer)
            code = tls_verify_identity(session->gnutls, &proven);
        break;
    default:
        break;
    }
    session->proof = proven.proof;
    session->identity = proven.identity;
    session->dns_names = proven.dns_names;
    session->uris = proven.uris;
    return code;
}

int tls_session_handshake(struct tls_session *session)
{
    int result;

    do
        result = gnutls_handshake(session->gnutls);
    while (result == GNUTLS_E_INTERRUPTED || result == GNUTLS_E_GOT_APPLICATION_DATA ||
           result == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (result == GNUTLS_E_AGAIN)
        return -EAGAIN;
    if (result >= 0 && collect(session) < 0) {
        say(session, "there is no memory for what it proved");
        result = GNUTLS_E_MEMORY_ERROR;
    }
    return result < 0 ? fail(session, result) : 0;
}

void tls_session_prove(struct tls_session *session, struct peer *peer)
{
    peer_forget_tls(peer);
    peer->encrypted = true;
    peer->proof = session->proof;
    peer->identity = session->identity;
    peer->dns_names = session->dns_names;
    peer->uris = session->uris;
    session->identity = NULL;
    session->dns_names = session->uris = NULL;
    peer_describe(peer);
}

void tls_session_describe(struct tls_session *session, const struct peer *peer, const char *by,
                          char *text, size_t text_bytes)
{
    static const char *const proofs[] = {
        [PEER_UNPROVEN] = "client not verified",
        [PEER_CERTIFICATE] = "certificate ",
        [PEER_PSK] = "PSK identity ",
    };
    gnutls_group_t group = gnutls_group_get(session->gnutls);
    const char *group_name = group != GNUTLS_GROUP_INVALID ? gnutls_group_get_name(group) : NULL;

    snprintf(text, text_bytes, "%s, %s%s%s%s, %s, %s%.300s",
             gnutls_protocol_get_name(gnutls_protocol_get_version(session->gnutls)),
             gnutls_cipher_get_name(gnutls_cipher_get(session->gnutls)), by != NULL ? " (" : "",
             by != NULL ? by : "", by != NULL ? ")" : "",
             group_name != NULL ? group_name : "no Diffie-Hellman", proofs[peer->proof],
             peer->identity != NULL ? peer->identity : "");
}
