#include "server/client/tls-client-credentials.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/tls/psk-file.h"
#include "server/tls/tls-certificates.h"
#include "server/tls/tls-priority.h"
#include "server/tls/tls-session.h"

#define LOGIN_BYTES 256u

/* ---- certificates ---- */

static int load_own(struct tls_client_credentials *credentials, const char *directory,
                    struct error *err)
{
    const struct tls_certificates_owner *owner = &tls_certificates_of_client;
    bool certificate = tls_certificates_has(directory, owner->certificate);
    bool key = tls_certificates_has(directory, owner->key);

    if (!certificate && !key)
        return 0;
    if (!certificate || !key)
        return error_set(err, -ENOENT, "%s/%s is there, but %s is not: a client has both or none",
                         directory, key ? owner->key : owner->certificate,
                         key ? owner->certificate : owner->key);
    credentials->own_certificate = true;
    return tls_certificates_load_pair(credentials->certificates, directory, owner, err);
}

static int load_certificates(struct tls_client_credentials *credentials,
                             const struct tls_client_settings *settings, struct error *err)
{
    const char *directory = settings->certificates;

    if (settings->host == NULL || settings->host[0] == '\0')
        return error_set(err, -EINVAL,
                         "there is no host name that the server's certificate could be "
                         "compared with: use a pre-shared key");
    if (gnutls_certificate_allocate_credentials(&credentials->certificates) < 0)
        return error_no_memory(err, "for certificates");
    int result = tls_certificates_load_trust(credentials->certificates, directory, err);
    if (result == 0)
        result =
            tls_certificates_load_crl(credentials->certificates, directory,
                                      &tls_certificates_of_client, &credentials->revocation, err);
    if (result == 0)
        result = load_own(credentials, directory, err);
    return result;
}

/* ---- pre-shared keys ---- */

static int find_user(struct tls_client_credentials *credentials, const char *given,
                     struct error *err)
{
    char login[LOGIN_BYTES];
    const char *name = given != NULL ? given : getenv("LOGNAME");

    if (name == NULL && getlogin_r(login, sizeof login) == 0)
        name = login;
    if (name == NULL)
        return error_set(err, -EINVAL,
                         "whose pre-shared key it is is not known: there is neither a user "
                         "in the URI nor LOGNAME nor a login");
    credentials->user = strdup(name);
    return credentials->user != NULL ? 0 : error_no_memory(err, "for TLS");
}

static int set_key(struct tls_client_credentials *credentials, const struct psk_file *file,
                   const char *path, struct error *err)
{
    size_t length = strlen(credentials->user), key_bytes = 0;
    const uint8_t *found = psk_file_find(file, credentials->user, length, &key_bytes);

    if (found == NULL)
        return error_set(err, -EINVAL,
                         "%s: there is no key of the user '%s' in it: add a line, or put "
                         "another user into the URI",
                         path, credentials->user);
    const gnutls_datum_t user = { (unsigned char *)credentials->user, (unsigned)length };
    const gnutls_datum_t key = { (unsigned char *)(uintptr_t)found, (unsigned)key_bytes };
    int result = gnutls_psk_allocate_client_credentials(&credentials->psk);
    if (result >= 0)
        result =
            gnutls_psk_set_client_credentials2(credentials->psk, &user, &key, GNUTLS_PSK_KEY_RAW);
    return result >= 0 ? 0 : tls_session_no_start(result, err);
}

static int load_psk(struct tls_client_credentials *credentials,
                    const struct tls_client_settings *settings, struct error *err)
{
    struct psk_file *file = NULL;
    int result = find_user(credentials, settings->user, err);

    if (result == 0)
        result = psk_file_read(&file, settings->psk_file, err);
    if (result == 0)
        result = set_key(credentials, file, settings->psk_file, err);
    psk_file_free(file);
    return result;
}

/* ---- all of it ---- */

int tls_client_credentials_read(struct tls_client_credentials *credentials,
                                const struct tls_client_settings *settings, struct error *err)
{
    if ((settings->certificates != NULL) == (settings->psk_file != NULL))
        return error_set(err, -EINVAL,
                         "TLS with a server needs either a folder of certificates or a "
                         "file of pre-shared keys: write ?tls-certificates=FOLDER or "
                         "?tls-psk-file=FILE behind its URI");
    return settings->psk_file != NULL ? load_psk(credentials, settings, err)
                                      : load_certificates(credentials, settings, err);
}

void tls_client_credentials_free(struct tls_client_credentials *credentials)
{
    if (credentials->certificates != NULL)
        gnutls_certificate_free_credentials(credentials->certificates);
    tls_revocation_free(credentials->revocation);
    if (credentials->psk != NULL)
        gnutls_psk_free_client_credentials(credentials->psk);
    free(credentials->user);
    *credentials = (struct tls_client_credentials){ 0 };
}

/* RFC 6066, 3: the name that is asked for is never an address. */
static bool is_address(const char *host)
{
    uint8_t address[16];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

int tls_client_credentials_use(struct tls_client_credentials *credentials, gnutls_session_t gnutls,
                               const char *host)
{
    bool psk = credentials->psk != NULL;
    int result = gnutls_priority_set_direct(
        gnutls, tls_priority(psk ? TLS_PRIORITY_CLIENT_PSK : TLS_PRIORITY_CLIENT_CERTIFICATES),
        NULL);

    if (result >= 0 && psk)
        return gnutls_credentials_set(gnutls, GNUTLS_CRD_PSK, credentials->psk);
    if (result >= 0)
        result = gnutls_credentials_set(gnutls, GNUTLS_CRD_CERTIFICATE, credentials->certificates);
    if (result >= 0 && !is_address(host))
        result = gnutls_server_name_set(gnutls, GNUTLS_NAME_DNS, host, strlen(host));
    return result;
}
