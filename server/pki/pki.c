#include "server/pki/pki.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509-ext.h>
#include <gnutls/x509.h>

#define DAY_SECONDS 86400
#define SKEW_SECONDS DAY_SECONDS
#define KEY_USAGE_OID "2.5.29.15"

struct pki_authority {
    gnutls_x509_crt_t certificate;
    gnutls_x509_privkey_t key;
};

static int failed(struct error *err, const char *what, int result)
{
    return error_set(err, -EIO, "%s: %s", what, gnutls_strerror(result));
}

static gnutls_datum_t datum_of(const struct secret *secret)
{
    return (gnutls_datum_t){ secret->data, (unsigned)secret->length_bytes };
}

/* Takes what GnuTLS has made. */
static int take(struct secret **out, gnutls_datum_t *datum, struct error *err)
{
    int result = secret_copy(out, datum->data, datum->size, err);

    secret_wipe(datum->data, datum->size);
    gnutls_free(datum->data);
    return result;
}

/* ---- parts of certificates; GnuTLS's codes ---- */

static int generate_key(gnutls_x509_privkey_t *out)
{
    int result = gnutls_x509_privkey_init(out);

    if (result < 0)
        return result;
    result = gnutls_x509_privkey_generate(*out, GNUTLS_PK_ECDSA,
                                          GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    if (result < 0) {
        gnutls_x509_privkey_deinit(*out);
        *out = NULL;
    }
    return result;
}

/* Positive, and of the same length always: RFC 5280, 4.1.2.2. */
static int set_serial(gnutls_x509_crt_t crt)
{
    uint8_t serial[PKI_SERIAL_BYTES];
    int result = gnutls_rnd(GNUTLS_RND_RANDOM, serial, sizeof serial);

    if (result < 0)
        return result;
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40);
    return gnutls_x509_crt_set_serial(crt, serial, sizeof serial);
}

/* RFC 5280, 4.2.1.2, method (1). */
static int set_own_key_id(gnutls_x509_crt_t crt)
{
    uint8_t id[64];
    size_t id_bytes = sizeof id;
    int result = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA1, id, &id_bytes);

    return result < 0 ? result : gnutls_x509_crt_set_subject_key_id(crt, id, id_bytes);
}

static int set_issuer_key_id(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
    uint8_t id[64];
    size_t id_bytes = sizeof id;
    int result = gnutls_x509_crt_get_subject_key_id(issuer, id, &id_bytes, NULL);

    if (result == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return 0;
    return result < 0 ? result : gnutls_x509_crt_set_authority_key_id(crt, id, id_bytes);
}

/* Not critical: where it is, libvirt and older QEMU want keyEncipherment too, which a key on an
 * elliptic curve must not have (RFC 8813, section 3). */
static int set_signing_usage(gnutls_x509_crt_t crt)
{
    gnutls_datum_t der = { NULL, 0 };
    int result = gnutls_x509_ext_export_key_usage(GNUTLS_KEY_DIGITAL_SIGNATURE, &der);

    if (result < 0)
        return result;
    result = gnutls_x509_crt_set_extension_by_oid(crt, KEY_USAGE_OID, der.data, der.size, 0);
    gnutls_free(der.data);
    return result;
}

/* What all certificates have. */
static int set_common(gnutls_x509_crt_t crt, const char *name, gnutls_x509_privkey_t key,
                      time_t now, time_t end)
{
    int result = gnutls_x509_crt_set_version(crt, 3);

    if (result >= 0)
        result = set_serial(crt);
    if (result >= 0)
        result = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                               (unsigned)strlen(name));
    if (result >= 0)
        result = gnutls_x509_crt_set_key(crt, key);
    if (result >= 0)
        result = gnutls_x509_crt_set_activation_time(crt, now - SKEW_SECONDS);
    if (result >= 0)
        result = gnutls_x509_crt_set_expiration_time(crt, end);
    if (result >= 0)
        result = set_own_key_id(crt);
    return result;
}

/* ---- the authority ---- */

static int sign_authority(struct pki_authority *authority, time_t end)
{
    gnutls_x509_crt_t crt = authority->certificate;
    char name[32];
    uint32_t random;
    int result = gnutls_rnd(GNUTLS_RND_RANDOM, &random, sizeof random);

    if (result < 0)
        return result;
    /* Two authorities of one name would be taken for each other where both are trusted. */
    (void)snprintf(name, sizeof name, "nbdcrypt CA %08x", random);
    result = set_common(crt, name, authority->key, time(NULL), end);
    if (result >= 0)
        result = gnutls_x509_crt_set_basic_constraints(crt, 1, 0);
    if (result >= 0)
        result = gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    if (result >= 0)
        result = gnutls_x509_crt_sign2(crt, crt, authority->key, GNUTLS_DIG_SHA256, 0);
    return result;
}

static struct pki_authority *authority_new(void)
{
    struct pki_authority *authority = calloc(1, sizeof *authority);

    if (authority != NULL && gnutls_x509_crt_init(&authority->certificate) < 0) {
        free(authority);
        return NULL;
    }
    return authority;
}

int pki_authority_create(struct pki_authority **out, unsigned days, struct error *err)
{
    struct pki_authority *authority = authority_new();
    int result;

    if (authority == NULL)
        return error_no_memory(err, NULL);
    result = generate_key(&authority->key);
    if (result >= 0)
        result = sign_authority(authority, time(NULL) + (time_t)days * DAY_SECONDS);
    if (result < 0) {
        pki_authority_free(authority);
        return failed(err, "the certificate of the authority can't be made", result);
    }
    *out = authority;
    return 0;
}

static bool is_key_of(gnutls_x509_privkey_t key, gnutls_x509_crt_t crt)
{
    uint8_t one[64], other[64];
    size_t one_bytes = sizeof one, other_bytes = sizeof other;

    return gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, one, &one_bytes) >= 0 &&
           gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, other, &other_bytes) >= 0 &&
           one_bytes == other_bytes && memcmp(one, other, one_bytes) == 0;
}

static int import_authority(struct pki_authority *authority, const struct secret *certificate,
                            const struct secret *key, struct error *err)
{
    gnutls_datum_t datum = datum_of(certificate);
    int result = gnutls_x509_crt_import(authority->certificate, &datum, GNUTLS_X509_FMT_PEM);

    if (result < 0)
        return error_set(err, -EINVAL, "the certificate of the authority can't be read: %s",
                         gnutls_strerror(result));
    if (gnutls_x509_crt_get_ca_status(authority->certificate, NULL) <= 0)
        return error_set(err, -EINVAL, "the certificate is not that of an authority");
    datum = datum_of(key);
    result = gnutls_x509_privkey_init(&authority->key);
    if (result >= 0)
        result = gnutls_x509_privkey_import(authority->key, &datum, GNUTLS_X509_FMT_PEM);
    if (result < 0)
        return error_set(err, -EINVAL, "the key of the authority can't be read: %s",
                         gnutls_strerror(result));
    if (!is_key_of(authority->key, authority->certificate))
        return error_set(err, -EINVAL, "the key of the authority is not that of its certificate");
    return 0;
}

int pki_authority_load(struct pki_authority **out, const struct secret *certificate,
                       const struct secret *key, struct error *err)
{
    struct pki_authority *authority = authority_new();
    int result;

    if (authority == NULL)
        return error_no_memory(err, NULL);
    result = import_authority(authority, certificate, key, err);
    if (result < 0)
        pki_authority_free(authority);
    else
        *out = authority;
    return result;
}

void pki_authority_free(struct pki_authority *authority)
{
    if (authority == NULL)
        return;
    gnutls_x509_crt_deinit(authority->certificate);
    gnutls_x509_privkey_deinit(authority->key);
    free(authority);
}

time_t pki_authority_end(const struct pki_authority *authority)
{
    return gnutls_x509_crt_get_expiration_time(authority->certificate);
}

/* ---- pairs ---- */

static int export_pair(struct pki_pair *out, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key,
                       struct error *err)
{
    gnutls_datum_t datum = { NULL, 0 };
    uint8_t serial[PKI_SERIAL_BYTES];
    size_t serial_bytes = sizeof serial;
    int code = gnutls_x509_crt_get_serial(crt, serial, &serial_bytes), result;

    for (size_t i = 0; code >= 0 && i < serial_bytes; i++)
        (void)snprintf(out->serial + 2 * i, 3, "%02x", serial[i]);
    if (code >= 0)
        code = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &datum);
    if (code < 0)
        return failed(err, "the certificate can't be written as text", code);
    result = take(&out->certificate, &datum, err);
    if (result < 0)
        return result;
    code = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                             &datum);
    if (code < 0)
        return failed(err, "the key can't be written as text", code);
    return take(&out->key, &datum, err);
}

int pki_authority_export(struct pki_pair *out, const struct pki_authority *authority,
                         struct error *err)
{
    *out = (struct pki_pair){ 0 };
    return export_pair(out, authority->certificate, authority->key, err);
}

void pki_pair_free(struct pki_pair *pair)
{
    secret_free(pair->certificate);
    secret_free(pair->key);
    *pair = (struct pki_pair){ 0 };
}

static int add_host(gnutls_x509_crt_t crt, const char *host)
{
    uint8_t address[16];
    int family = strchr(host, ':') ? AF_INET6 : AF_INET;

    if (inet_pton(family, host, address) == 1)
        return gnutls_x509_crt_set_subject_alt_name(
            crt, GNUTLS_SAN_IPADDRESS, address, family == AF_INET6 ? 16 : 4, GNUTLS_FSAN_APPEND);
    return gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, host,
                                                (unsigned)strlen(host), GNUTLS_FSAN_APPEND);
}

static int add_names(gnutls_x509_crt_t crt, const struct pki_request *request)
{
    int result = 0;

    for (size_t i = 0; i < request->host_count && result >= 0; i++)
        result = add_host(crt, request->hosts[i]);
    for (size_t i = 0; i < request->uri_count && result >= 0; i++)
        result = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, request->uris[i],
                                                      (unsigned)strlen(request->uris[i]),
                                                      GNUTLS_FSAN_APPEND);
    return result;
}

static int sign_request(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key,
                        const struct pki_authority *authority, const struct pki_request *request)
{
    time_t last = pki_authority_end(authority);
    int result = set_common(crt, request->common_name, key, time(NULL),
                            request->end < last ? request->end : last);

    if (result >= 0)
        result = gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    if (result >= 0)
        result = set_signing_usage(crt);
    if (result >= 0)
        result = gnutls_x509_crt_set_key_purpose_oid(
            crt, request->server ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT, 0);
    if (result >= 0)
        result = add_names(crt, request);
    if (result >= 0)
        result = set_issuer_key_id(crt, authority->certificate);
    if (result >= 0)
        result = gnutls_x509_crt_sign2(crt, authority->certificate, authority->key,
                                       GNUTLS_DIG_SHA256, 0);
    return result;
}

int pki_certify(struct pki_pair *out, const struct pki_authority *authority,
                const struct pki_request *request, struct error *err)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t crt = NULL;
    int code = generate_key(&key), result;

    *out = (struct pki_pair){ 0 };
    if (code >= 0)
        code = gnutls_x509_crt_init(&crt);
    if (code >= 0)
        code = sign_request(crt, key, authority, request);
    if (code < 0)
        result = failed(err, "the certificate can't be made", code);
    else
        result = export_pair(out, crt, key, err);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
    return result;
}

/* ---- reading certificates ---- */

static int import_certificate(gnutls_x509_crt_t *out, const struct secret *certificate,
                              struct error *err)
{
    gnutls_datum_t datum = datum_of(certificate);
    int result = gnutls_x509_crt_init(out);

    if (result < 0)
        return failed(err, "not enough memory for a certificate", result);
    result = gnutls_x509_crt_import(*out, &datum, GNUTLS_X509_FMT_PEM);
    if (result < 0) {
        gnutls_x509_crt_deinit(*out);
        return error_set(err, -EINVAL, "it is not a certificate: %s", gnutls_strerror(result));
    }
    return 0;
}

static bool is_for_clients(gnutls_x509_crt_t crt)
{
    char oid[64] = "";
    size_t oid_bytes = sizeof oid;

    return gnutls_x509_crt_get_key_purpose_oid(crt, 0, oid, &oid_bytes, NULL) >= 0 &&
           strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0;
}

/* As it was given: gnutls_x509_crt_get_dn_by_oid() would escape some characters, RFC 4514. */
static void copy_common_name(char *text, size_t text_bytes, gnutls_x509_crt_t crt)
{
    gnutls_x509_dn_t name;
    gnutls_x509_ava_st part;

    if (gnutls_x509_crt_get_subject(crt, &name) < 0)
        return;
    for (int i = 0; gnutls_x509_dn_get_rdn_ava(name, i, 0, &part) >= 0; i++) {
        if (part.oid.size < strlen(GNUTLS_OID_X520_COMMON_NAME) ||
            memcmp(part.oid.data, GNUTLS_OID_X520_COMMON_NAME,
                   strlen(GNUTLS_OID_X520_COMMON_NAME)) != 0)
            continue;
        (void)snprintf(text, text_bytes, "%.*s", (int)part.value.size,
                       (const char *)part.value.data);
        return;
    }
}

int pki_client_name(char *text, size_t text_bytes, const struct secret *certificate,
                    struct error *err)
{
    gnutls_x509_crt_t crt;
    int result = import_certificate(&crt, certificate, err);

    if (result < 0)
        return result;
    text[0] = '\0';
    if (is_for_clients(crt))
        copy_common_name(text, text_bytes, crt);
    gnutls_x509_crt_deinit(crt);
    return 0;
}

/* 1: there are no more; 0: `text` holds one, or is "" when it is of another kind. */
static int host_at(char text[256], gnutls_x509_crt_t crt, unsigned index)
{
    char name[256];
    size_t name_bytes = sizeof name;
    int type = gnutls_x509_crt_get_subject_alt_name(crt, index, name, &name_bytes, NULL);

    text[0] = '\0';
    if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return 1;
    if (type == GNUTLS_SAN_DNSNAME)
        (void)snprintf(text, 256, "%.*s", (int)name_bytes, name);
    else if (type == GNUTLS_SAN_IPADDRESS && (name_bytes == 4 || name_bytes == 16))
        (void)inet_ntop(name_bytes == 4 ? AF_INET : AF_INET6, name, text, 256);
    return 0;
}

int pki_each_host(const struct secret *certificate,
                  int (*add)(void *context, const char *host, struct error *err), void *context,
                  struct error *err)
{
    gnutls_x509_crt_t crt;
    char text[256];
    int result = import_certificate(&crt, certificate, err);

    if (result < 0)
        return result;
    for (unsigned i = 0; result == 0 && host_at(text, crt, i) == 0; i++) {
        if (*text)
            result = add(context, text, err);
    }
    gnutls_x509_crt_deinit(crt);
    return result;
}

/* ---- revocation ---- */

/* RFC 5280, 5.2.3: it only grows. */
static int set_number(gnutls_x509_crl_t crl)
{
    uint8_t number[20] = { 0 };
    size_t number_bytes = sizeof number;

    if (gnutls_x509_crl_get_number(crl, number, &number_bytes, NULL) < 0 || number_bytes == 0) {
        number[0] = 0;
        number_bytes = 1;
    }
    for (size_t i = number_bytes; i-- > 0;) {
        if (++number[i] != 0)
            break;
    }
    /* Never negative: a carry into the sign, or out of the last byte, makes it longer. */
    if ((number[0] & 0x80 || number[0] == 0) && number_bytes < sizeof number) {
        memmove(number + 1, number, number_bytes++);
        number[0] = number[1] == 0;
    }
    return gnutls_x509_crl_set_number(crl, number, number_bytes);
}

static int sign_list(gnutls_x509_crl_t crl, const struct pki_authority *authority)
{
    uint8_t id[64];
    size_t id_bytes = sizeof id;
    int result = gnutls_x509_crl_set_version(crl, 2);

    if (result >= 0)
        result = gnutls_x509_crl_set_this_update(crl, time(NULL) - SKEW_SECONDS);
    if (result >= 0)
        result = gnutls_x509_crl_set_next_update(crl, pki_authority_end(authority));
    if (result >= 0)
        result = set_number(crl);
    if (result >= 0 &&
        gnutls_x509_crt_get_subject_key_id(authority->certificate, id, &id_bytes, NULL) >= 0)
        result = gnutls_x509_crl_set_authority_key_id(crl, id, id_bytes);
    if (result >= 0)
        result = gnutls_x509_crl_sign2(crl, authority->certificate, authority->key,
                                       GNUTLS_DIG_SHA256, 0);
    return result;
}

static int add_revoked(gnutls_x509_crl_t crl, const struct secret *certificate, size_t *added,
                       struct error *err)
{
    gnutls_x509_crt_t crt;
    int result = import_certificate(&crt, certificate, err), code = 0;

    if (result < 0)
        return result;
    if (gnutls_x509_crt_check_revocation(crt, &crl, 1) != 1) {
        code = gnutls_x509_crl_set_crt(crl, crt, time(NULL));
        *added += code >= 0;
    }
    gnutls_x509_crt_deinit(crt);
    return code < 0 ? failed(err, "the certificate can't be revoked", code) : 0;
}

static int import_list(gnutls_x509_crl_t crl, const struct pki_authority *authority,
                       const struct secret *old, struct error *err)
{
    gnutls_datum_t datum = datum_of(old);
    int result = gnutls_x509_crl_import(crl, &datum, GNUTLS_X509_FMT_PEM);

    if (result < 0)
        return error_set(err, -EINVAL, "the list of revoked certificates can't be read: %s",
                         gnutls_strerror(result));
    if (!gnutls_x509_crl_check_issuer(crl, authority->certificate))
        return error_set(err, -EINVAL,
                         "the list of revoked certificates is that of another "
                         "authority");
    return 0;
}

int pki_revoke(struct secret **out, const struct pki_authority *authority, const struct secret *old,
               const struct secret *const *certificates, size_t count, size_t *added,
               struct error *err)
{
    gnutls_datum_t datum = { NULL, 0 };
    gnutls_x509_crl_t crl;
    int code = gnutls_x509_crl_init(&crl), result = 0;

    *added = 0;
    if (code < 0)
        return failed(err, "not enough memory for the list of revoked certificates", code);
    if (old)
        result = import_list(crl, authority, old, err);
    for (size_t i = 0; i < count && result == 0; i++)
        result = add_revoked(crl, certificates[i], added, err);
    if (result == 0) {
        code = sign_list(crl, authority);
        if (code >= 0)
            code = gnutls_x509_crl_export2(crl, GNUTLS_X509_FMT_PEM, &datum);
        result = code < 0 ? failed(err, "the list of revoked certificates can't be made", code)
                          : take(out, &datum, err);
    }
    gnutls_x509_crl_deinit(crl);
    return result;
}
