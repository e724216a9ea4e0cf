#include "server/tls/tls-certificates.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <gnutls/x509.h>

#include "crypto/secret.h"
#include "server/base/day-text.h"
#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/keys/private-file.h"
#include "server/tls/tls-limits.h"

#define PEM_BYTES_MAX (4u * 1024u * 1024u)
#define PATH_BYTES 4096u
#define EXPIRY_WARNING_S (30 * 24 * 3600)

const struct tls_certificates_owner tls_certificates_of_server = {
    .certificate = "server-cert.pem",
    .key = "server-key.pem",
    .purpose_oid = GNUTLS_KP_TLS_WWW_SERVER,
    .owners = "servers",
    .others = "clients",
};

const struct tls_certificates_owner tls_certificates_of_client = {
    .certificate = "client-cert.pem",
    .key = "client-key.pem",
    .purpose_oid = GNUTLS_KP_TLS_WWW_CLIENT,
    .owners = "clients",
    .others = "servers",
};

/* ---- files ---- */

struct pem {
    const char *path;
    struct secret *text;
    gnutls_datum_t datum;
};

/* `path` is filled with DIR/NAME.  Certificates are no secret, keys are. */
static int read_pem(struct pem *pem, char path[PATH_BYTES], const char *directory, const char *name,
                    bool secret, struct error *err)
{
    int length = snprintf(path, PATH_BYTES, "%s/%s", directory, name);

    if (length < 0 || (unsigned)length >= PATH_BYTES)
        return error_set(err, -ENAMETOOLONG, "%s/%s: the path is too long", directory, name);
    pem->path = path;
    int result = private_file_read(&pem->text, path, PEM_BYTES_MAX, secret, err);
    if (result == 0)
        pem->datum = (gnutls_datum_t){ pem->text->data, (unsigned)pem->text->length_bytes };
    return result;
}

/* A link to nowhere, or what can't be looked at, is there: reading it tells what is wrong. */
bool tls_certificates_has(const char *directory, const char *name)
{
    char path[PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    struct stat status;

    return length > 0 && (unsigned)length < sizeof path &&
           (lstat(path, &status) == 0 || (errno != ENOENT && errno != ENOTDIR));
}

/* ---- certificates ---- */

struct chain {
    gnutls_x509_crt_t *certificates;
    unsigned count;
};

static void chain_free(struct chain *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        gnutls_x509_crt_deinit(chain->certificates[i]);
    gnutls_free(chain->certificates);
    *chain = (struct chain){ 0 };
}

static int chain_import(struct chain *chain, const struct pem *pem, struct error *err)
{
    int result = gnutls_x509_crt_list_import2(&chain->certificates, &chain->count, &pem->datum,
                                              GNUTLS_X509_FMT_PEM, 0);

    if (result >= 0 && chain->count > 0)
        return 0;
    *chain = (struct chain){ 0 };
    return error_set(err, -EINVAL, "%s: it holds no certificate in PEM form (%s)", pem->path,
                     gnutls_strerror(result));
}

static int check_days(gnutls_x509_crt_t certificate, const char *path, struct error *err)
{
    time_t now = time(NULL), begin = gnutls_x509_crt_get_activation_time(certificate);
    time_t end = gnutls_x509_crt_get_expiration_time(certificate);
    char day[DAY_TEXT_BYTES];
    struct error soon;

    day_text(now > end ? end : begin, day);
    if (now > end)
        return error_set(err, -EINVAL, "%s: the certificate expired on %s: issue a new one", path,
                         day);
    if (now < begin)
        return error_set(err, -EINVAL,
                         "%s: the certificate is valid from %s on only: look at the "
                         "clock of this machine, or issue a new one",
                         path, day);
    if (end - now < EXPIRY_WARNING_S) {
        day_text(end, day);
        error_set(&soon, 0, "%s: the certificate expires on %s: issue a new one", path, day);
        log_write_about(LOG_WARNING, LOG_ABOUT(.id = LOG_ID_TLS_EXPIRING), "%s", soon.text);
        EVENT(.type = "tls.expiring", .reason = soon.text);
    }
    return 0;
}

/* The other end would refuse it, if it is one of ours; if not, it would not end soon. */
static int check_size(gnutls_x509_crt_t certificate, const char *path, struct error *err)
{
    char text[TLS_LIMITS_TEXT_BYTES];
    const char *fault = NULL;
    gnutls_pubkey_t key;

    if (gnutls_pubkey_init(&key) < 0)
        return error_no_memory(err, "for certificates");
    if (gnutls_pubkey_import_x509(key, certificate, 0) >= 0)
        fault = tls_limits_check_key(key, text);
    gnutls_pubkey_deinit(key);
    if (fault == NULL)
        return 0;
    return error_set(err, -EINVAL, "%s: its key %s; make one of ECDSA P-256, or RSA of 4096 bits",
                     path, fault);
}

static int check_strength(gnutls_x509_crt_t certificate, const char *path, struct error *err)
{
    unsigned bits = 0;
    int algorithm = gnutls_x509_crt_get_pk_algorithm(certificate, &bits);
    int signature = gnutls_x509_crt_get_signature_algorithm(certificate);
    gnutls_digest_algorithm_t hash = gnutls_sign_get_hash_algorithm(
        signature < 0 ? GNUTLS_SIGN_UNKNOWN : (gnutls_sign_algorithm_t)signature);

    if (algorithm < 0 || gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)algorithm, bits) <
                             GNUTLS_SEC_PARAM_MEDIUM)
        return error_set(
            err, -EINVAL,
            "%s: its key is too weak (%s of %u bits): make one of ECDSA "
            "P-256, or RSA of 2048 bits or more",
            path, algorithm < 0 ? "unknown" : gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm),
            bits);
    int result = check_size(certificate, path, err);
    if (result < 0)
        return result;
    /* Who signs itself is trusted or not, whatever the signature. */
    if (gnutls_x509_crt_check_issuer(certificate, certificate))
        return 0;
    if (hash == GNUTLS_DIG_MD5 || hash == GNUTLS_DIG_SHA1 || hash == GNUTLS_DIG_MD2)
        return error_set(err, -EINVAL,
                         "%s: it is signed with %s, which can be forged: issue it "
                         "again with SHA-256",
                         path, gnutls_digest_get_name(hash));
    return 0;
}

static int check_chain(const struct chain *chain, const char *path, struct error *err)
{
    for (unsigned i = 0; i < chain->count; i++) {
        int result = check_strength(chain->certificates[i], path, err);

        if (result == 0)
            result = check_days(chain->certificates[i], path, err);
        if (result < 0)
            return result;
    }
    return 0;
}

/* An old CA may stand beside the one that follows it: its clients are refused, the others are
 * not. */
static int check_trusted(const struct chain *chain, const char *path, struct error *err)
{
    for (unsigned i = 0; i < chain->count; i++) {
        struct error old;
        int result = check_strength(chain->certificates[i], path, err);

        if (result < 0)
            return result;
        if (check_days(chain->certificates[i], path, &old) < 0)
            log_warning("%s", old.text);
    }
    return 0;
}

static int check_purpose(gnutls_x509_crt_t certificate, const char *path,
                         const struct tls_certificates_owner *owner, struct error *err)
{
    if (gnutls_x509_crt_check_key_purpose(certificate, owner->purpose_oid, 0))
        return 0;
    return error_set(err, -EINVAL,
                     "%s: this certificate is not for TLS %s (extended key usage): %s "
                     "would refuse it; issue one for that purpose",
                     path, owner->owners, owner->others);
}

static int import_key(gnutls_x509_privkey_t *out, const struct pem *pem, struct error *err)
{
    int result = gnutls_x509_privkey_init(out);

    if (result >= 0)
        result = gnutls_x509_privkey_import2(*out, &pem->datum, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (result == GNUTLS_E_DECRYPTION_FAILED)
        return error_set(err, -EINVAL,
                         "%s: the key is protected by a password, which nobody is "
                         "there to give: store it without one, readable by this user alone",
                         pem->path);
    if (result < 0)
        return error_set(err, -EINVAL, "%s: it holds no private key in PEM form (%s)", pem->path,
                         gnutls_strerror(result));
    return 0;
}

static int set_pair(gnutls_certificate_credentials_t target, const struct chain *chain,
                    gnutls_x509_privkey_t key, const char *certificate_path, const char *key_path,
                    struct error *err)
{
    int result =
        gnutls_certificate_set_x509_key(target, chain->certificates, (int)chain->count, key);

    if (result == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return error_set(err, -EINVAL,
                         "%s is not the key of the certificate in %s: take the pair "
                         "that was made together",
                         key_path, certificate_path);
    if (result < 0)
        return error_set(err, -EINVAL, "%s: GnuTLS does not take this certificate: %s",
                         certificate_path, gnutls_strerror(result));
    return 0;
}

int tls_certificates_load_pair(gnutls_certificate_credentials_t target, const char *directory,
                               const struct tls_certificates_owner *owner, struct error *err)
{
    char certificate_path[PATH_BYTES], key_path[PATH_BYTES];
    struct pem certificate = { 0 }, key_pem = { 0 };
    gnutls_x509_privkey_t key = NULL;
    struct chain chain = { 0 };

    int result =
        read_pem(&certificate, certificate_path, directory, owner->certificate, false, err);
    if (result == 0)
        result = chain_import(&chain, &certificate, err);
    if (result == 0)
        result = check_chain(&chain, certificate_path, err);
    if (result == 0)
        result = check_purpose(chain.certificates[0], certificate_path, owner, err);
    if (result == 0)
        result = read_pem(&key_pem, key_path, directory, owner->key, true, err);
    if (result == 0)
        result = import_key(&key, &key_pem, err);
    if (result == 0)
        result = set_pair(target, &chain, key, certificate_path, key_path, err);
    gnutls_x509_privkey_deinit(key);
    chain_free(&chain);
    secret_free(certificate.text);
    secret_free(key_pem.text);
    return result;
}

int tls_certificates_load_trust(gnutls_certificate_credentials_t target, const char *directory,
                                struct error *err)
{
    char path[PATH_BYTES];
    struct pem pem = { 0 };
    struct chain chain = { 0 };

    int result = read_pem(&pem, path, directory, "ca-cert.pem", false, err);
    if (result == 0)
        result = chain_import(&chain, &pem, err);
    if (result == 0)
        result = check_trusted(&chain, path, err);
    if (result == 0 &&
        gnutls_certificate_set_x509_trust(target, chain.certificates, (int)chain.count) < 0)
        result = error_set(err, -EINVAL, "%s: GnuTLS does not take it as a CA", path);
    chain_free(&chain);
    secret_free(pem.text);
    return result;
}

int tls_certificates_load_crl(gnutls_certificate_credentials_t target, const char *directory,
                              const struct tls_certificates_owner *owner,
                              struct tls_revocation **lists, struct error *err)
{
    char path[PATH_BYTES];
    struct pem pem = { 0 };

    *lists = NULL;
    if (!tls_certificates_has(directory, "ca-crl.pem"))
        return 0;
    int code = read_pem(&pem, path, directory, "ca-crl.pem", false, err);
    if (code == 0) {
        int result = gnutls_certificate_set_x509_crl_mem(target, &pem.datum, GNUTLS_X509_FMT_PEM);

        if (result <= 0)
            code = error_set(err, -EINVAL,
                             "%s: it is not a list of revoked certificates of the CA "
                             "in ca-cert.pem (%s)",
                             path, gnutls_strerror(result));
    }
    if (code == 0)
        code = tls_revocation_read(lists, &pem.datum, path, owner->others, err);
    secret_free(pem.text);
    return code;
}
