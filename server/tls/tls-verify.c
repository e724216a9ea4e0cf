#include "server/tls/tls-verify.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/x509.h>

#include "server/nbd/nbd-wire.h"
#include "server/base/day-text.h"
#include "server/base/utf8.h"

#define NAMES_MAX 256u /* of one certificate */
#define SUBJECT_SHOWN 200
#define HOSTS_SHOWN 200 /* bytes of their names */

/* ---- the certificate ---- */

/* The other end's own, which comes first; NULL when there is none. */
static gnutls_x509_crt_t first_certificate(gnutls_session_t gnutls)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(gnutls, &count);
    gnutls_x509_crt_t certificate;

    if (chain == NULL || count == 0 || gnutls_x509_crt_init(&certificate) < 0)
        return NULL;
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) < 0) {
        gnutls_x509_crt_deinit(certificate);
        return NULL;
    }
    return certificate;
}

/* What can't drive a terminal, nor pass for something shorter than it is. */
static bool is_clean(const unsigned char *text, size_t length_bytes)
{
    return !utf8_has_control((const char *)text, length_bytes) &&
           nbd_string_is_valid(text, length_bytes);
}

/* The subject as RFC 4514 writes it, with control characters escaped as it allows: two subjects
 * never have the same text.  NULL: no memory, or no subject. */
static char *subject_of(gnutls_x509_crt_t certificate)
{
    static const char hex[] = "0123456789ABCDEF";
    gnutls_datum_t name = { 0 };

    if (gnutls_x509_crt_get_dn3(certificate, &name, 0) < 0)
        return NULL;
    char *text = malloc(3 * (size_t)name.size + 1), *to = text;
    for (unsigned i = 0; text != NULL && i < name.size; i++) {
        unsigned char c = name.data[i];

        if (!utf8_is_control((char)c)) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '\\';
        *to++ = hex[c >> 4];
        *to++ = hex[c & 15];
    }
    if (to != NULL)
        *to = '\0';
    gnutls_free(name.data);
    return text;
}

/* ---- its names ---- */

static int address_text(const void *address, size_t length_bytes, char **text)
{
    char shown[INET6_ADDRSTRLEN];

    if (inet_ntop(length_bytes == 4 ? AF_INET : AF_INET6, address, shown, sizeof shown) != NULL)
        *text = strdup(shown);
    return *text != NULL ? 0 : -ENOMEM;
}

/* One alternative name: its kind, and the text when it is clean. */
static int alternative_name(gnutls_x509_crt_t certificate, unsigned index, unsigned *kind,
                            char **text)
{
    char name[NBD_STRING_BYTES_MAX + 1];
    size_t length_bytes = sizeof name;
    int result =
        gnutls_x509_crt_get_subject_alt_name2(certificate, index, name, &length_bytes, kind, NULL);

    *text = NULL;
    if (result == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return -ENOENT;
    if (result >= 0 && *kind == GNUTLS_SAN_IPADDRESS && (length_bytes == 4 || length_bytes == 16))
        return address_text(name, length_bytes, text);
    /* Too long, of another kind, or broken: as if it were not there. */
    if (result < 0 || (*kind != GNUTLS_SAN_DNSNAME && *kind != GNUTLS_SAN_URI) ||
        length_bytes > NBD_STRING_BYTES_MAX || !is_clean((unsigned char *)name, length_bytes))
        return 0;
    *text = strndup(name, length_bytes);
    return *text != NULL ? 0 : -ENOMEM;
}

/* The hosts that it is for, with commas between; the common name counts where there are no
 * others. */
static void list_hosts(gnutls_x509_crt_t certificate, char *list, size_t list_bytes)
{
    size_t used = 0, name_bytes = list_bytes;
    char *text = NULL;
    unsigned kind = 0;

    list[0] = '\0';
    for (unsigned i = 0; i < NAMES_MAX && used < list_bytes; i++) {
        if (alternative_name(certificate, i, &kind, &text) < 0)
            break;
        if (text != NULL && kind != GNUTLS_SAN_URI)
            used += (size_t)snprintf(list + used, list_bytes - used, "%s%s", used > 0 ? ", " : "",
                                     text);
        free(text);
    }
    if (used == 0 && (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0,
                                                    list, &name_bytes) < 0 ||
                      !is_clean((unsigned char *)list, strlen(list))))
        list[0] = '\0';
}

/* ---- whether it is accepted ---- */

struct refusal {
    unsigned status; /* GNUTLS_CERT_... */
    gnutls_alert_description_t alert;
    const char *why;
    const char *why_server; /* where that is another sentence for a server's certificate */
};

/* The first that applies is told: the most specific ones come first. */
static const struct refusal refusals[] = {
    { GNUTLS_CERT_REVOKED, GNUTLS_A_CERTIFICATE_REVOKED,
      "was revoked (ca-crl.pem): issue a new one if the client is to have access again",
      "was revoked (ca-crl.pem): its authority no longer vouches for this server" },
    { GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, GNUTLS_A_BAD_CERTIFICATE,
      "can't be checked, because the list of revoked certificates (ca-crl.pem) is too old: publish "
      "a new one",
      NULL },
    { GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE, GNUTLS_A_BAD_CERTIFICATE,
      "can't be checked, because the list of revoked certificates (ca-crl.pem) is of the future: "
      "look at the clock of this machine",
      NULL },
    { GNUTLS_CERT_SIGNER_NOT_FOUND, GNUTLS_A_UNKNOWN_CA,
      "was not issued by the CA in ca-cert.pem: give the client one of that CA",
      "was not issued by the CA in ca-cert.pem: it is another server, or ca-cert.pem is to be that "
      "of "
      "the authority that issued it" },
    { GNUTLS_CERT_SIGNER_NOT_CA, GNUTLS_A_UNKNOWN_CA,
      "was issued by somebody who is no CA: issue it with the CA in ca-cert.pem", NULL },
    { GNUTLS_CERT_SIGNATURE_FAILURE, GNUTLS_A_BAD_CERTIFICATE,
      "has a wrong signature: it is damaged or forged", NULL },
    { GNUTLS_CERT_EXPIRED, GNUTLS_A_CERTIFICATE_EXPIRED, NULL, NULL },
    { GNUTLS_CERT_NOT_ACTIVATED, GNUTLS_A_BAD_CERTIFICATE, NULL, NULL },
    { GNUTLS_CERT_INSECURE_ALGORITHM, GNUTLS_A_INSUFFICIENT_SECURITY,
      "is too weak (a key below RSA 2048, or a signature with MD5 or SHA-1): issue a stronger one",
      NULL },
    { GNUTLS_CERT_PURPOSE_MISMATCH, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
      "is not for TLS clients (extended key usage): issue one for that purpose",
      "is not for TLS servers (extended key usage): issue one for that purpose" },
    { GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, GNUTLS_A_BAD_CERTIFICATE,
      "breaks the constraints of its CA (names, path length): issue another one", NULL },
    { ~0u, GNUTLS_A_BAD_CERTIFICATE, "is not acceptable", NULL },
};

static int explain_days(struct error *why, const char *subject, gnutls_x509_crt_t certificate)
{
    time_t now = time(NULL), begin = gnutls_x509_crt_get_activation_time(certificate);
    time_t end = gnutls_x509_crt_get_expiration_time(certificate);
    char day[DAY_TEXT_BYTES];

    if (now > end) {
        day_text(end, day);
        return error_set(why, -1, "its certificate %.*s expired on %s: issue a new one",
                         SUBJECT_SHOWN, subject, day);
    }
    if (now < begin) {
        day_text(begin, day);
        return error_set(why, -1,
                         "its certificate %.*s is valid from %s on only: look at the clock "
                         "of this machine, or issue a new one",
                         SUBJECT_SHOWN, subject, day);
    }
    return error_set(why, -1,
                     "a CA of its certificate %.*s is not valid today: look at the days of "
                     "ca-cert.pem and at the clock of this machine",
                     SUBJECT_SHOWN, subject);
}

/* The name is all that is wrong with it. */
static bool status_is_name(unsigned status)
{
    return (status & ~(unsigned)GNUTLS_CERT_INVALID) == GNUTLS_CERT_UNEXPECTED_OWNER;
}

static void explain_host(struct error *why, const char *subject, gnutls_x509_crt_t certificate,
                         const char *host)
{
    char hosts[HOSTS_SHOWN];

    list_hosts(certificate, hosts, sizeof hosts);
    error_set(why, -1,
              "its certificate %.*s names %s, not %s: connect by a name that it has, or issue "
              "one that names %s",
              SUBJECT_SHOWN, subject, hosts[0] != '\0' ? hosts : "no host", host, host);
}

/* `host`: that of a server's certificate; NULL: it is a client's. */
static int refuse(gnutls_session_t gnutls, unsigned status, const char *host, struct error *why)
{
    gnutls_x509_crt_t certificate = first_certificate(gnutls);
    char *subject = certificate != NULL ? subject_of(certificate) : NULL;
    const char *shown = subject != NULL && *subject != '\0' ? subject : "(no subject)";
    const struct refusal *refusal = refusals;

    while ((status & refusal->status) == 0)
        refusal++;
    const char *sentence =
        host != NULL && refusal->why_server != NULL ? refusal->why_server : refusal->why;
    if (certificate != NULL && host != NULL && status_is_name(status))
        explain_host(why, shown, certificate, host);
    else if (certificate != NULL && sentence == NULL)
        explain_days(why, shown, certificate);
    else
        error_set(why, -1, "its certificate %.*s %s", SUBJECT_SHOWN, shown,
                  sentence != NULL ? sentence : "is not valid today");
    free(subject);
    if (certificate != NULL)
        gnutls_x509_crt_deinit(certificate);
    return (int)refusal->alert;
}

struct demands {
    gnutls_typed_vdata_st *data;
    unsigned count;
    const struct tls_revocation *lists;
    const char *host; /* as of refuse() */
};

static int verify(gnutls_session_t gnutls, const struct demands *demands, struct error *why)
{
    unsigned status = 0;
    int result = gnutls_certificate_verify_peers(gnutls, demands->data, demands->count, &status);

    if (result < 0) {
        error_set(why, -1, "its certificate can't be read: %s", gnutls_strerror(result));
        return GNUTLS_A_BAD_CERTIFICATE;
    }
    if (status == 0)
        status = tls_revocation_status(demands->lists, gnutls, time(NULL));
    return status == 0 ? -1 : refuse(gnutls, status, demands->host, why);
}

int tls_verify_client(gnutls_session_t gnutls, const struct tls_revocation *lists,
                      struct error *why)
{
    unsigned char purpose_oid[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = purpose_oid };

    return verify(gnutls, &(struct demands){ .data = &purpose, .count = 1, .lists = lists }, why);
}

/* GnuTLS takes what looks like an IP address for one, and compares it with those in the
 * certificate. */
int tls_verify_server(gnutls_session_t gnutls, const struct tls_revocation *lists, const char *host,
                      struct error *why)
{
    unsigned char purpose_oid[] = GNUTLS_KP_TLS_WWW_SERVER;
    gnutls_typed_vdata_st data[] = {
        { .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = purpose_oid },
        { .type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)(uintptr_t)host },
    };

    return verify(gnutls,
                  &(struct demands){ .data = data, .count = 2, .lists = lists, .host = host }, why);
}

/* ---- whom it names ---- */

static int collect_names(gnutls_x509_crt_t certificate, struct peer *peer)
{
    size_t dns_count = 0, uri_count = 0;

    peer->dns_names = calloc(NAMES_MAX + 1, sizeof *peer->dns_names);
    peer->uris = calloc(NAMES_MAX + 1, sizeof *peer->uris);
    if (peer->dns_names == NULL || peer->uris == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        unsigned kind = 0;
        char *text;
        int result = alternative_name(certificate, i, &kind, &text);

        if (result == -ENOENT)
            break;
        if (result < 0)
            return result;
        if (text != NULL && kind == GNUTLS_SAN_DNSNAME)
            peer->dns_names[dns_count++] = text;
        else if (text != NULL && kind == GNUTLS_SAN_IPADDRESS)
            free(text);
        else if (text != NULL)
            peer->uris[uri_count++] = text;
    }
    char **dns_names = realloc(peer->dns_names, (dns_count + 1) * sizeof *dns_names);
    char **uris = realloc(peer->uris, (uri_count + 1) * sizeof *uris);
    peer->dns_names = dns_names != NULL ? dns_names : peer->dns_names;
    peer->uris = uris != NULL ? uris : peer->uris;
    return 0;
}

int tls_verify_names(gnutls_x509_crt_t certificate, struct peer *peer)
{
    peer->proof = PEER_CERTIFICATE;
    peer->identity = subject_of(certificate);
    if (peer->identity == NULL) /* a subject may be empty: then the names count */
        peer->identity = strdup("");
    int result = peer->identity != NULL ? collect_names(certificate, peer) : -ENOMEM;
    if (result < 0)
        peer_forget_tls(peer);
    return result;
}

/* The soonest day of those that it has shown; one that they do not tell is none. */
static int64_t soonest_end(gnutls_session_t gnutls)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(gnutls, &count);
    int64_t soonest = 0;

    for (unsigned i = 0; i < count; i++) {
        gnutls_x509_crt_t certificate;

        if (gnutls_x509_crt_init(&certificate) < 0)
            continue;
        int64_t end = gnutls_x509_crt_import(certificate, &chain[i], GNUTLS_X509_FMT_DER) >= 0
                          ? gnutls_x509_crt_get_expiration_time(certificate)
                          : -1;
        if (end > 0 && end != GNUTLS_X509_NO_WELL_DEFINED_EXPIRATION &&
            (soonest == 0 || end < soonest))
            soonest = end;
        gnutls_x509_crt_deinit(certificate);
    }
    return soonest;
}

static struct peer_certificate what_tells_later(gnutls_session_t gnutls,
                                                gnutls_x509_crt_t certificate)
{
    struct peer_certificate told = { .expires_s = soonest_end(gnutls) };
    size_t bytes = sizeof told.serial;
    gnutls_datum_t issuer = { 0 };

    if (gnutls_x509_crt_get_serial(certificate, told.serial, &bytes) >= 0)
        told.serial_bytes = (uint8_t)bytes;
    if (gnutls_x509_crt_get_raw_issuer_dn(certificate, &issuer) >= 0)
        told.issuer = tls_revocation_issuer(&issuer);
    gnutls_free(issuer.data);
    return told;
}

int tls_verify_identity(gnutls_session_t gnutls, struct peer *peer)
{
    gnutls_x509_crt_t certificate = first_certificate(gnutls);
    int result = 0;

    if (certificate != NULL)
        result = tls_verify_names(certificate, peer);
    if (certificate != NULL && result == 0)
        peer->certificate = what_tells_later(gnutls, certificate);
    gnutls_x509_crt_deinit(certificate);
    return result;
}
