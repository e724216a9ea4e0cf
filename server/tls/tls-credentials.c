#include "server/tls/tls-credentials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/tls/tls-certificates.h"
#include "server/tls/tls-priority.h"

/* Whoever replaces a file by removing it first must not let in for a moment those who are
 * revoked. */
static int refuse_lost_revocation(const char *directory, struct error *err)
{
    return error_set(err, -ENOENT,
                     "%s/ca-crl.pem was there before and is gone: put back the list of "
                     "revoked certificates; an empty list of the CA, or a restart, lets go of it",
                     directory);
}

static int load_certificates(struct tls_credentials *credentials,
                             const struct tls_settings *settings,
                             const struct tls_credentials *before, struct error *err)
{
    const char *directory = settings->certificates;

    if (gnutls_certificate_allocate_credentials(&credentials->certificates) < 0)
        return error_no_memory(err, "for certificates");
    int result = tls_certificates_load_pair(credentials->certificates, directory,
                                            &tls_certificates_of_server, err);
    if (result < 0 || settings->no_verify_peer)
        return result;
    if (!tls_certificates_has(directory, "ca-cert.pem"))
        return error_set(err, -ENOENT,
                         "%s/ca-cert.pem is not there, so clients can't be told "
                         "apart: put the CA of their certificates there, or say "
                         "--tls-no-verify-peer to serve whoever comes",
                         directory);
    credentials->verify_peer = true;
    result = tls_certificates_load_trust(credentials->certificates, directory, err);
    if (result == 0)
        result =
            tls_certificates_load_crl(credentials->certificates, directory,
                                      &tls_certificates_of_server, &credentials->revocation, err);
    if (result == 0 && before != NULL && before->revocation != NULL &&
        credentials->revocation == NULL)
        return refuse_lost_revocation(directory, err);
    return result;
}

/* ---- all of it ---- */

static int load_psk(struct tls_credentials *credentials, const char *path,
                    tls_find_psk_fn *find_psk, struct error *err)
{
    if (gnutls_psk_allocate_server_credentials(&credentials->psk) < 0)
        return error_no_memory(err, "for pre-shared keys");
    gnutls_psk_set_server_credentials_function2(credentials->psk, find_psk);
    int result = psk_file_read(&credentials->keys, path, err);
    if (result == 0 && psk_file_is_empty(credentials->keys))
        log_warning(
            "%s: there is no key in it, so nobody gets in by one: nbdcrypt tls psk makes one",
            path);
    return result;
}

/* How strong certificates have to be is part of the priority string (set as a flag of verification
 * as well, the two would add up to a level far above both). */
static int add_profile(struct tls_credentials *credentials, const char *priority)
{
    static const char profile[] = ":%PROFILE_MEDIUM";
    size_t length_bytes = strlen(priority);
    char *text;

    if (strstr(priority, "%PROFILE_") != NULL)
        return 0;
    text = malloc(length_bytes + sizeof profile);
    if (text == NULL)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(text, priority, length_bytes);
    memcpy(text + length_bytes, profile, sizeof profile);
    gnutls_priority_deinit(credentials->priority);
    credentials->priority = NULL;
    int result = gnutls_priority_init(&credentials->priority, text, NULL);
    free(text);
    return result;
}

static int load_priority(struct tls_credentials *credentials, const char *priority,
                         struct error *err)
{
    const char *at = priority;
    int result =
        gnutls_priority_init(&credentials->priority,
                             priority != NULL ? priority : tls_priority(TLS_PRIORITY_SERVER), &at);

    if (result >= 0 && priority != NULL)
        result = add_profile(credentials, priority);
    if (result >= 0)
        return 0;
    if (priority == NULL)
        return error_set(err, -ENOTSUP, "GnuTLS does not have what TLS is to be done with: %s",
                         gnutls_strerror(result));
    return error_set(err, -EINVAL, "--tls-priority %s: GnuTLS does not understand it%s%.40s%s",
                     priority, at != priority ? " from '" : "", at != priority ? at : "",
                     at != priority ? "' on" : "");
}

int tls_credentials_create(struct tls_credentials **out, const struct tls_settings *settings,
                           tls_find_psk_fn *find_psk, const struct tls_credentials *before,
                           struct error *err)
{
    struct tls_credentials *credentials = calloc(1, sizeof *credentials);

    if (credentials == NULL)
        return error_no_memory(err, "for TLS");
    atomic_init(&credentials->references, 1);
    int result = load_priority(credentials, settings->priority, err);
    if (result == 0 && settings->certificates != NULL)
        result = load_certificates(credentials, settings, before, err);
    if (result == 0 && settings->psk != NULL)
        result = load_psk(credentials, settings->psk, find_psk, err);
    if (result < 0) {
        tls_credentials_unref(credentials);
        return result;
    }
    *out = credentials;
    return 0;
}

void tls_credentials_unref(struct tls_credentials *credentials)
{
    if (credentials == NULL || atomic_fetch_sub(&credentials->references, 1) > 1)
        return;
    if (credentials->certificates != NULL)
        gnutls_certificate_free_credentials(credentials->certificates);
    tls_revocation_free(credentials->revocation);
    if (credentials->psk != NULL)
        gnutls_psk_free_server_credentials(credentials->psk);
    if (credentials->priority != NULL)
        gnutls_priority_deinit(credentials->priority);
    psk_file_free(credentials->keys);
    free(credentials);
}
