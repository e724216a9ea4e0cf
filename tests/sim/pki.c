#include "tests/sim/pki.h"

#include <string.h>

#include <gnutls/x509.h>

#include "tests/sim/schedule.h"
#include "tests/sim/texts.h"
#include "tests/sim/trace.h"

#define BEGIN_SECONDS 1600000000 /* before all clocks of the simulation, */
#define GONE_SECONDS 30u         /* after which who was revoked is served no more */
#define END_SECONDS 4000000000   /* and behind the real one */

struct pair {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t certificate;
};

enum { SERVERS = 2, CLIENTS = 2 };

static struct pair ca, servers[SERVERS], clients[CLIENTS];
static gnutls_certificate_credentials_t credentials[CLIENTS];
static gnutls_datum_t lists[2]; /* of revoked certificates: none, and the second client's */
static struct pki_wish in_force, written;
static bool settled = true;
static unsigned writes;
static uint64_t revoked_ns;

static void check(int result, const char *what)
{
    if (result < 0)
        sim_fail("%s can't be made: %s", what, gnutls_strerror(result));
}

static void make_key(struct pair *pair)
{
    check(gnutls_x509_privkey_init(&pair->key), "a key");
    check(gnutls_x509_privkey_generate(pair->key, GNUTLS_PK_ECDSA,
                                       GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
          "a key");
}

static void make(struct pair *pair, const char *name, unsigned serial, const char *purpose)
{
    static const unsigned char address[] = { 127, 0, 0, 1 }; /* PKI_ADDRESS */
    unsigned char number = (unsigned char)serial;
    gnutls_x509_crt_t out;

    make_key(pair);
    check(gnutls_x509_crt_init(&out), "a certificate");
    pair->certificate = out;
    (void)gnutls_x509_crt_set_version(out, 3);
    (void)gnutls_x509_crt_set_serial(out, &number, 1);
    (void)gnutls_x509_crt_set_activation_time(out, BEGIN_SECONDS);
    (void)gnutls_x509_crt_set_expiration_time(out, END_SECONDS);
    (void)gnutls_x509_crt_set_dn_by_oid(out, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                        (unsigned)strlen(name));
    check(gnutls_x509_crt_set_key(out, pair->key), "a certificate");
    if (purpose != NULL) {
        (void)gnutls_x509_crt_set_basic_constraints(out, 0, -1);
        (void)gnutls_x509_crt_set_key_purpose_oid(out, purpose, 0);
        (void)gnutls_x509_crt_set_key_usage(out, GNUTLS_KEY_DIGITAL_SIGNATURE);
        check(gnutls_x509_crt_set_subject_alt_name(out, GNUTLS_SAN_IPADDRESS, address,
                                                   sizeof(address), GNUTLS_FSAN_SET),
              "a certificate");
    } else {
        (void)gnutls_x509_crt_set_basic_constraints(out, 1, -1);
        (void)gnutls_x509_crt_set_key_usage(out, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    }
    struct pair *issuer = purpose != NULL ? &ca : pair;
    check(gnutls_x509_crt_sign2(out, issuer->certificate, issuer->key, GNUTLS_DIG_SHA256, 0),
          "a certificate");
}

static void make_list(gnutls_datum_t *out, bool revoked)
{
    unsigned char number = revoked ? 2 : 1;
    gnutls_x509_crl_t list;

    check(gnutls_x509_crl_init(&list), "a list");
    (void)gnutls_x509_crl_set_version(list, 2);
    (void)gnutls_x509_crl_set_number(list, &number, 1);
    (void)gnutls_x509_crl_set_this_update(list, BEGIN_SECONDS);
    (void)gnutls_x509_crl_set_next_update(list, END_SECONDS);
    if (revoked)
        check(gnutls_x509_crl_set_crt(list, clients[1].certificate, BEGIN_SECONDS), "a list");
    check(gnutls_x509_crl_sign2(list, ca.certificate, ca.key, GNUTLS_DIG_SHA256, 0), "a list");
    check(gnutls_x509_crl_export2(list, GNUTLS_X509_FMT_PEM, out), "a list");
    gnutls_x509_crl_deinit(list);
}

static void put_certificate(const char *name, const struct pair *pair, bool whole)
{
    gnutls_datum_t pem;

    check(gnutls_x509_crt_export2(pair->certificate, GNUTLS_X509_FMT_PEM, &pem), "a file");
    text_put(name, pem.data, whole ? pem.size : pem.size / 2);
    gnutls_free(pem.data);
}

static void put_key(const char *name, const struct pair *pair)
{
    gnutls_datum_t pem;

    check(gnutls_x509_privkey_export2(pair->key, GNUTLS_X509_FMT_PEM, &pem), "a file");
    text_put(name, pem.data, pem.size);
    gnutls_free(pem.data);
}

static void make_credentials(gnutls_certificate_credentials_t *out, const struct pair *pair)
{
    gnutls_x509_crt_t chain[] = { pair->certificate };

    check(gnutls_certificate_allocate_credentials(out), "credentials");
    check(gnutls_certificate_set_x509_key(*out, chain, 1, pair->key), "credentials");
    check(gnutls_certificate_set_x509_trust(*out, &ca.certificate, 1), "credentials");
}

void pki_make(void)
{
    static const char *const client_names[CLIENTS] = { "first", "second" };

    make(&ca, "CA", 1, NULL);
    for (unsigned i = 0; i < SERVERS; i++)
        make(&servers[i], "server", 10 + i, GNUTLS_KP_TLS_WWW_SERVER);
    for (unsigned i = 0; i < CLIENTS; i++) {
        make(&clients[i], client_names[i], 20 + i, GNUTLS_KP_TLS_WWW_CLIENT);
        make_credentials(&credentials[i], &clients[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        make_list(&lists[i], i == 1);
    put_certificate("pki/ca-cert.pem", &ca, true);
    put_certificate("pki/client-cert.pem", &clients[0], true);
    put_key("pki/client-key.pem", &clients[0]);
    pki_write(&in_force);
    pki_settle(true);
}

/* ---- what is in force ---- */

void pki_write(const struct pki_wish *wish)
{
    put_certificate("pki/server-cert.pem", &servers[wish->server], !wish->broken);
    put_key("pki/server-key.pem", &servers[wish->server]);
    text_put("pki/ca-crl.pem", lists[wish->revoked].data, lists[wish->revoked].size);
    written = *wish;
    settled = false;
    writes++;
}

void pki_settle(bool taken)
{
    if (taken && written.revoked && !in_force.revoked)
        revoked_ns = sim_now_ns;
    if (taken)
        in_force = written;
    else /* so that what is read next can be used */
        pki_write(&in_force);
    settled = true;
}

void pki_start(void)
{
    if (written.broken)
        pki_write(&in_force);
    pki_settle(true);
}

unsigned pki_writes(void)
{
    return writes;
}

unsigned pki_servers(void)
{
    return 1u << in_force.server | (settled || written.broken ? 0 : 1u << written.server);
}

enum pki_standing pki_second_client(void)
{
    if (!settled && !written.broken && written.revoked != in_force.revoked)
        return PKI_EITHER;
    return in_force.revoked ? PKI_REVOKED : PKI_VALID;
}

bool pki_must_be_gone(void)
{
    return pki_second_client() == PKI_REVOKED && sim_now_ns > revoked_ns + GONE_SECONDS * NS_PER_S;
}

gnutls_certificate_credentials_t pki_credentials(bool second)
{
    return credentials[second];
}

unsigned pki_shown(gnutls_session_t session)
{
    unsigned count;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);

    for (unsigned i = 0; chain != NULL && count > 0 && i < SERVERS; i++)
        if (gnutls_x509_crt_equals2(servers[i].certificate, &chain[0]))
            return i;
    sim_fail("the server shows a certificate that it was not given");
}
