#include "server/tls/tls-revocation.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/day-text.h"
#include "server/access/peer.h"
#include "server/base/log.h"

struct serial {
    uint8_t bytes[PEER_SERIAL_BYTES], count;
};

struct list {
    gnutls_datum_t issuer;  /* its distinguished name, as it is encoded */
    time_t begin, end;      /* (time_t)-1: there is no such day */
    struct serial *revoked; /* in order */
    size_t revoked_count;
};

struct tls_revocation {
    size_t count;
    struct list lists[];
};

/* ---- reading ---- */

static int compare_serials(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct serial));
}

/* One that is longer than it may be is nobody's. */
static int take_serials(struct list *list, gnutls_x509_crl_t crl)
{
    int most = gnutls_x509_crl_get_crt_count(crl), result = 0;
    gnutls_x509_crl_iter_t at = NULL;

    list->revoked = calloc(most > 0 ? (size_t)most : 1, sizeof *list->revoked);
    if (list->revoked == NULL)
        return GNUTLS_E_MEMORY_ERROR;
    while (result >= 0 && list->revoked_count < (size_t)(most > 0 ? most : 0)) {
        struct serial *serial = &list->revoked[list->revoked_count];
        size_t bytes = sizeof serial->bytes;
        time_t when;

        result = gnutls_x509_crl_iter_crt_serial(crl, &at, serial->bytes, &bytes, &when);
        if (result == GNUTLS_E_SHORT_MEMORY_BUFFER)
            result = 0;
        else if (result >= 0) {
            serial->count = (uint8_t)bytes;
            list->revoked_count++;
        }
    }
    gnutls_x509_crl_iter_deinit(at);
    qsort(list->revoked, list->revoked_count, sizeof *list->revoked, compare_serials);
    return result == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? 0 : result;
}

static int take_list(struct list *list, gnutls_x509_crl_t crl)
{
    int result = take_serials(list, crl);

    if (result < 0)
        return result;
    list->begin = gnutls_x509_crl_get_this_update(crl);
    list->end = gnutls_x509_crl_get_next_update(crl);
    return gnutls_x509_crl_get_raw_issuer_dn(crl, &list->issuer);
}

static unsigned status_of(const struct list *list, time_t now)
{
    if (list->end != (time_t)-1 && list->end < now)
        return GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED;
    if (list->begin != (time_t)-1 && list->begin > now)
        return GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE;
    return 0;
}

static void warn(const struct list *list, const char *path, const char *others)
{
    unsigned status = status_of(list, time(NULL));
    char day[DAY_TEXT_BYTES];

    day_text(status == GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED ? list->end : list->begin, day);
    if (status == GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED)
        log_warning(
            "%s: the list of revoked certificates was good until %s, so all %s of its authority "
            "are refused: publish a new one",
            path, day, others);
    else if (status != 0)
        log_warning(
            "%s: the list of revoked certificates is good from %s on, so all %s of its authority "
            "are refused until then: look at the clock of this machine",
            path, day, others);
}

int tls_revocation_read(struct tls_revocation **out, const gnutls_datum_t *pem, const char *path,
                        const char *others, struct error *err)
{
    gnutls_x509_crl_t *crls = NULL;
    unsigned count = 0;
    int result = gnutls_x509_crl_list_import2(&crls, &count, pem, GNUTLS_X509_FMT_PEM, 0);

    if (result < 0)
        return error_set(err, -EINVAL,
                         "%s: it holds no list of revoked certificates in PEM form (%s)", path,
                         gnutls_strerror(result));
    struct tls_revocation *lists = calloc(1, sizeof *lists + count * sizeof lists->lists[0]);
    result = lists != NULL ? 0 : GNUTLS_E_MEMORY_ERROR;
    for (unsigned i = 0; i < count; i++) {
        if (result >= 0)
            result = take_list(&lists->lists[lists->count++], crls[i]);
        if (result >= 0)
            warn(&lists->lists[i], path, others);
        gnutls_x509_crl_deinit(crls[i]);
    }
    gnutls_free(crls);
    if (result < 0) {
        tls_revocation_free(lists);
        return error_set(err, result == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL, "%s: %s", path,
                         gnutls_strerror(result));
    }
    *out = lists;
    return 0;
}

time_t tls_revocation_end(const struct tls_revocation *lists)
{
    time_t first = 0;

    for (size_t i = 0; lists != NULL && i < lists->count; i++) {
        time_t end = lists->lists[i].end;

        if (end != (time_t)-1 && (first == 0 || end < first))
            first = end;
    }
    return first;
}

void tls_revocation_free(struct tls_revocation *lists)
{
    for (size_t i = 0; lists != NULL && i < lists->count; i++) {
        gnutls_free(lists->lists[i].issuer.data);
        free(lists->lists[i].revoked);
    }
    free(lists);
}

/* ---- at a handshake ---- */

/* The authority of one certificate.  An old list may stand beside the one that follows it. */
static unsigned status_of_issuer(const struct tls_revocation *lists, const gnutls_datum_t *issuer,
                                 time_t now)
{
    unsigned worst = 0;

    for (size_t i = 0; i < lists->count; i++) {
        const struct list *list = &lists->lists[i];

        if (list->issuer.size != issuer->size ||
            memcmp(list->issuer.data, issuer->data, issuer->size) != 0)
            continue;
        unsigned status = status_of(list, now);
        if (status == 0)
            return 0;
        worst = status > worst ? status : worst;
    }
    return worst;
}

static unsigned status_of_certificate(const struct tls_revocation *lists, const gnutls_datum_t *der,
                                      time_t now)
{
    gnutls_datum_t issuer = { 0 };
    unsigned status = GNUTLS_CERT_INVALID;
    gnutls_x509_crt_t certificate;

    if (gnutls_x509_crt_init(&certificate) < 0)
        return status;
    if (gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) >= 0 &&
        gnutls_x509_crt_get_raw_issuer_dn(certificate, &issuer) >= 0)
        status = status_of_issuer(lists, &issuer, now);
    gnutls_free(issuer.data);
    gnutls_x509_crt_deinit(certificate);
    return status;
}

unsigned tls_revocation_status(const struct tls_revocation *lists, gnutls_session_t gnutls,
                               time_t now)
{
    unsigned count = 0, status = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(gnutls, &count);

    if (lists == NULL)
        return 0;
    for (unsigned i = 0; i < count && status == 0; i++)
        status = status_of_certificate(lists, &chain[i], now);
    return status;
}

/* ---- later ---- */

/* FNV-1a, 64 bits (RFC 9923). */
uint64_t tls_revocation_issuer(const gnutls_datum_t *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (unsigned i = 0; i < name->size; i++)
        hash = (hash ^ name->data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

bool tls_revocation_has(const struct tls_revocation *lists,
                        const struct peer_certificate *certificate)
{
    struct serial wanted = { .count = certificate->serial_bytes };

    memcpy(wanted.bytes, certificate->serial, sizeof wanted.bytes);
    for (size_t i = 0; lists != NULL && certificate->serial_bytes > 0 && i < lists->count; i++) {
        const struct list *list = &lists->lists[i];

        if (tls_revocation_issuer(&list->issuer) == certificate->issuer &&
            bsearch(&wanted, list->revoked, list->revoked_count, sizeof wanted, compare_serials) !=
                NULL)
            return true;
    }
    return false;
}
