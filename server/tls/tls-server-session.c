#include "server/tls/tls-server-session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/x509.h>

#include "server/loop/loop.h"
#include "server/tls/tls-verify.h"

#define PSK_SHOWN 200u

static int verify_client(gnutls_session_t gnutls);

static struct tls_server_session *admission_of(gnutls_session_t gnutls)
{
    struct tls_session *session = gnutls_session_get_ptr(gnutls);

    return container_of(session, struct tls_server_session, session);
}

/* ---- set-up ---- */

static int set_credentials(struct tls_server_session *admission)
{
    struct tls_credentials *credentials = admission->credentials;
    gnutls_session_t gnutls = admission->session.gnutls;
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

static void admission_free(struct tls_session *session)
{
    struct tls_server_session *admission =
        container_of(session, struct tls_server_session, session);
    struct peer proven = { .identity = admission->identity,
                           .dns_names = admission->dns_names,
                           .uris = admission->uris };

    peer_forget_tls(&proven);
    tls_session_clear(session);
    tls_credentials_unref(admission->credentials);
    free(admission->psk_named);
    free(admission);
}

static const char *alert_hint(struct tls_session *session, gnutls_alert_description_t alert)
{
    (void)session;
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

static const struct tls_end server_end = {
    .other = "client",
    .alert_hint = alert_hint,
    .free = admission_free,
};

/* `gnutls` NULL: a session of its own is made. */
static int create(struct tls_server_session **out, gnutls_session_t gnutls,
                  struct tls_credentials *credentials, struct error *err)
{
    if (credentials == NULL) /* between the answer to STARTTLS and here, which may be long */
        return error_set(err, -ESHUTDOWN, "TLS was switched off meanwhile");
    struct tls_server_session *admission = calloc(1, sizeof *admission);
    int code = 0;

    if (admission == NULL) {
        tls_credentials_unref(credentials);
        return error_no_memory(err, "for a connection");
    }
    admission->credentials = credentials;
    if (gnutls != NULL)
        tls_session_adopt(&admission->session, &server_end, gnutls);
    else
        code = tls_session_init(&admission->session, &server_end, GNUTLS_SERVER, err);
    if (code == 0) {
        int result = set_credentials(admission);

        code = result < 0 ? tls_session_no_start(result, err) : 0;
    }
    if (code < 0) {
        admission_free(&admission->session);
        return code;
    }
    *out = admission;
    return 0;
}

int tls_server_session_create(struct tls_server_session **out, struct tls_credentials *credentials,
                              struct error *err)
{
    return create(out, NULL, credentials, err);
}

int tls_server_session_adopt(struct tls_server_session **out, gnutls_session_t gnutls,
                             struct tls_credentials *credentials, struct error *err)
{
    return create(out, gnutls, credentials, err);
}

/* ---- why it failed ---- */

/* What only the handshake can fail with. */
static void explain_handshake(struct tls_server_session *admission, int error)
{
    struct tls_session *session = &admission->session;

    switch (error) {
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
    case GNUTLS_E_CERTIFICATE_REQUIRED:
        admission->refused = true;
        session->alert = GNUTLS_A_CERTIFICATE_REQUIRED;
        if (gnutls_protocol_get_version(session->gnutls) != GNUTLS_TLS1_3)
            session->alert = GNUTLS_A_HANDSHAKE_FAILURE;
        tls_session_say(session, "it sent no certificate: give it one that is signed by the CA in "
                                 "ca-cert.pem, or serve with --tls-no-verify-peer");
        break;
    case GNUTLS_E_CERTIFICATE_ERROR: /* of tls-limits, which has said why */
        admission->refused = true;
        break;
    case GNUTLS_E_PK_SIG_VERIFY_FAILED:
    case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
    case GNUTLS_E_DECRYPTION_FAILED:
    case GNUTLS_E_ERROR_IN_FINISHED_PACKET:
        if (admission->psk_named == NULL && error == GNUTLS_E_DECRYPTION_FAILED)
            tls_session_say(
                session, "what it sent can't be deciphered: some clients end so when "
                         "they do not trust this server's certificate (its ca-cert.pem, the host "
                         "name)");
        if (admission->psk_named == NULL)
            break;
        admission->refused = true;
        session->alert = GNUTLS_A_DECRYPT_ERROR;
        tls_session_say(session,
                        "its key for the PSK identity '%s' is not the one in the file of "
                        "--tls-psk: give both the same line",
                        admission->psk_named);
        break;
    default:
        break;
    }
    tls_session_say(session, "%s", tls_session_explain(session, error, 0));
}

/* ---- pre-shared keys ---- */

/* For an identity that nobody knows GnuTLS goes on with a random key, so that a client can't find
 * out which ones there are. */
int tls_server_session_find_psk(gnutls_session_t gnutls, const gnutls_datum_t *identity,
                                gnutls_datum_t *key)
{
    struct tls_server_session *admission = admission_of(gnutls);
    size_t key_bytes;
    const uint8_t *found =
        psk_file_find(admission->credentials->keys, identity->data, identity->size, &key_bytes);

    free(admission->psk_named);
    admission->psk_named = strndup((const char *)identity->data,
                                   identity->size < PSK_SHOWN ? identity->size : PSK_SHOWN);
    if (found == NULL) {
        admission->refused = true;
        tls_session_say(&admission->session,
                        "there is no PSK identity '%s' in the file of --tls-psk: "
                        "add it, or give the client another one",
                        admission->psk_named != NULL ? admission->psk_named : "?");
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
    struct tls_server_session *admission = admission_of(gnutls);
    struct error why = { .text = "" };

    if (gnutls_auth_client_get_type(gnutls) != GNUTLS_CRD_CERTIFICATE)
        return 0;
    int alert = tls_verify_client(gnutls, admission->credentials->revocation, &why);
    if (alert < 0)
        return 0;
    admission->refused = true;
    admission->session.alert = alert;
    tls_session_say(&admission->session, "%s", why.text);
    return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

/* ---- the handshake ---- */

static int fail(struct tls_server_session *admission, int error)
{
    explain_handshake(admission, error);
    tls_session_send_alert(&admission->session, error);
    return -EPROTO;
}

/* Whom the handshake has proven. */
static int collect(struct tls_server_session *admission)
{
    struct peer proven = { 0 };
    const char *psk = NULL;
    int result = 0;

    switch (gnutls_auth_client_get_type(admission->session.gnutls)) {
    case GNUTLS_CRD_PSK:
        psk = gnutls_psk_server_get_username(admission->session.gnutls);
        proven.identity = psk != NULL ? strdup(psk) : NULL;
        proven.proof = PEER_PSK;
        result = proven.identity != NULL ? 0 : -ENOMEM;
        break;
    case GNUTLS_CRD_CERTIFICATE:
        /* Without verification, what a certificate says proves nothing. */
        if (admission->credentials->verify_peer)
            result = tls_verify_identity(admission->session.gnutls, &proven);
        break;
    default:
        break;
    }
    admission->proof = proven.proof;
    admission->identity = proven.identity;
    admission->dns_names = proven.dns_names;
    admission->uris = proven.uris;
    admission->certificate = proven.certificate;
    return result;
}

int tls_server_session_handshake(struct tls_server_session *admission)
{
    int result;

    do
        result = gnutls_handshake(admission->session.gnutls);
    while (result == GNUTLS_E_INTERRUPTED || result == GNUTLS_E_GOT_APPLICATION_DATA ||
           result == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (result == GNUTLS_E_AGAIN)
        return -EAGAIN;
    if (result >= 0 && collect(admission) < 0) {
        tls_session_say(&admission->session, "there is no memory for what it proved");
        result = GNUTLS_E_MEMORY_ERROR;
    }
    return result < 0 ? fail(admission, result) : 0;
}

void tls_server_session_prove(struct tls_server_session *admission, struct peer *peer)
{
    peer_forget_tls(peer);
    peer->encrypted = true;
    tls_session_describe(&admission->session, NULL, peer->tls, sizeof peer->tls);
    peer->proof = admission->proof;
    peer->identity = admission->identity;
    peer->dns_names = admission->dns_names;
    peer->uris = admission->uris;
    peer->certificate = admission->certificate;
    admission->identity = NULL;
    admission->dns_names = admission->uris = NULL;
    peer_describe(peer);
}

int tls_server_session_conclude(struct tls_server_session *admission, struct peer *peer)
{
    int result = collect(admission);

    if (result == 0)
        tls_server_session_prove(admission, peer);
    return result;
}

void tls_server_session_describe(struct tls_server_session *admission, const struct peer *peer,
                                 const char *by, char *text, size_t text_bytes)
{
    static const char *const proofs[] = {
        [PEER_UNPROVEN] = "client not verified",
        [PEER_CERTIFICATE] = "certificate ",
        [PEER_PSK] = "PSK identity ",
    };
    const char *nobody = peer->proof == PEER_CERTIFICATE ? "without a subject" : "";
    bool named = peer->identity != NULL && peer->identity[0] != '\0';
    char session[TLS_DESCRIPTION_BYTES];

    tls_session_describe(&admission->session, by, session, sizeof session);
    snprintf(text, text_bytes, "%s, %s%.300s", session, proofs[peer->proof],
             named ? peer->identity : nobody);
}
