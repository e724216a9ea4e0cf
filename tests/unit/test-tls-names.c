/* Whom a client certificate names: what gets into struct peer, and what does not. */
#include <errno.h>
#include <stdint.h>
#include <time.h>

#include <gnutls/abstract.h>

#include "server/tls/tls-verify.h"
#include "tests/support/check.h"

static gnutls_x509_crt_t certificate;
static struct peer peer;
static uint8_t names[20000];
static size_t names_bytes;

static void begin(const char *subject)
{
    const char *failed_at = NULL;

    EXPECT(gnutls_x509_crt_init(&certificate) == 0);
    if (subject != NULL)
        EXPECT(gnutls_x509_crt_set_dn(certificate, subject, &failed_at) == 0);
    peer = (struct peer){ 0 };
    names_bytes = 0;
}

/* Tag and length as DER writes them (X.690, 8.1.3): up to 65535 bytes. */
static size_t put_header(uint8_t *out, uint8_t tag, size_t length_bytes)
{
    out[0] = tag;
    if (length_bytes < 128) {
        out[1] = (uint8_t)length_bytes;
        return 2;
    }
    out[1] = 0x82;
    out[2] = (uint8_t)(length_bytes >> 8);
    out[3] = (uint8_t)length_bytes;
    return 4;
}

/* By hand: GnuTLS does not make names that are wrong.  RFC 5280, 4.2.1.6: GeneralNames. */
static void add(gnutls_x509_subject_alt_name_t kind, const char *name, size_t length_bytes)
{
    static const uint8_t tags[] = { [GNUTLS_SAN_DNSNAME] = 0x82,
                                    [GNUTLS_SAN_RFC822NAME] = 0x81,
                                    [GNUTLS_SAN_URI] = 0x86,
                                    [GNUTLS_SAN_IPADDRESS] = 0x87 };

    EXPECT(names_bytes + 4 + length_bytes <= sizeof names);
    names_bytes += put_header(names + names_bytes, tags[kind], length_bytes);
    memcpy(names + names_bytes, name, length_bytes);
    names_bytes += length_bytes;
}

static void set_names(void)
{
    static uint8_t extension[sizeof names + 4];
    size_t header_bytes = put_header(extension, 0x30, names_bytes);

    memcpy(extension + header_bytes, names, names_bytes);
    EXPECT(gnutls_x509_crt_set_extension_by_oid(certificate, "2.5.29.17", extension,
                                                header_bytes + names_bytes, 0) == 0);
}

/* As it comes over the wire: signed and imported. */
static void look(void)
{
    gnutls_x509_privkey_t key;
    gnutls_datum_t der;

    set_names();
    EXPECT(gnutls_x509_privkey_init(&key) == 0);
    EXPECT(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                        GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0);
    EXPECT(gnutls_x509_crt_set_version(certificate, 3) == 0);
    EXPECT(gnutls_x509_crt_set_serial(certificate, "\1", 1) == 0);
    EXPECT(gnutls_x509_crt_set_activation_time(certificate, time(NULL)) == 0);
    EXPECT(gnutls_x509_crt_set_expiration_time(certificate, time(NULL) + 1000) == 0);
    EXPECT(gnutls_x509_crt_set_key(certificate, key) == 0);
    EXPECT(gnutls_x509_crt_sign2(certificate, certificate, key, GNUTLS_DIG_SHA256, 0) == 0);
    EXPECT(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_DER, &der) == 0);
    gnutls_x509_crt_deinit(certificate);
    EXPECT(gnutls_x509_crt_init(&certificate) == 0);
    EXPECT(gnutls_x509_crt_import(certificate, &der, GNUTLS_X509_FMT_DER) == 0);
    gnutls_free(der.data);
    gnutls_x509_privkey_deinit(key);
    EXPECT(tls_verify_names(certificate, &peer) == 0);
    EXPECT(peer.proof == PEER_CERTIFICATE);
}

static void end(void)
{
    peer_forget_tls(&peer);
    gnutls_x509_crt_deinit(certificate);
}

static void usual(void)
{
    begin("CN=vm7,O=Example\\, Inc.,C=DE");
    add(GNUTLS_SAN_DNSNAME, "vm7.example.org", 15);
    add(GNUTLS_SAN_URI, "urn:vm:7", 8);
    add(GNUTLS_SAN_DNSNAME, "vm8.example.org", 15);
    add(GNUTLS_SAN_RFC822NAME, "who@example.org", 15);
    add(GNUTLS_SAN_IPADDRESS, "\x7f\0\0\1", 4);
    look();
    EXPECT_TEXT(peer.identity, "CN=vm7,O=Example\\, Inc.,C=DE");
    EXPECT_TEXT(peer.dns_names[0], "vm7.example.org");
    EXPECT_TEXT(peer.dns_names[1], "vm8.example.org");
    EXPECT(peer.dns_names[2] == NULL);
    EXPECT_TEXT(peer.uris[0], "urn:vm:7");
    EXPECT(peer.uris[1] == NULL);
    end();
}

static void hostile(void)
{
    static char longest[4096], too_long[4097];

    memset(longest, 'a', sizeof longest);
    memset(too_long, 'a', sizeof too_long);
    begin(NULL);
    EXPECT(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0,
                                         "a\x1b[31m\nb\x7f", 9) == 0);
    add(GNUTLS_SAN_DNSNAME, "good.example.org\0.evil.org", 26);
    add(GNUTLS_SAN_URI, "urn:admin\0", 10);
    add(GNUTLS_SAN_DNSNAME, "\0", 1);
    add(GNUTLS_SAN_DNSNAME, "esc\x1b[31m", 8);
    add(GNUTLS_SAN_DNSNAME, "line\nbreak", 10);
    add(GNUTLS_SAN_URI, longest, sizeof longest);
    add(GNUTLS_SAN_URI, too_long, sizeof too_long);
    add(GNUTLS_SAN_DNSNAME, "last.example.org", 16);
    look();
    for (const char *at = peer.identity; *at != '\0'; at++)
        EXPECT((unsigned char)*at >= 0x20 && *at != 0x7f);
    EXPECT_TEXT(peer.dns_names[0], "last.example.org");
    EXPECT(peer.dns_names[1] == NULL);
    EXPECT(strlen(peer.uris[0]) == 4096);
    EXPECT(peer.uris[1] == NULL);
    end();
}

static void many(void)
{
    begin(NULL);
    for (int i = 0; i < 300; i++) {
        char name[32];

        add(GNUTLS_SAN_DNSNAME, name, (size_t)snprintf(name, sizeof name, "n%d.example.org", i));
    }
    look();
    EXPECT_TEXT(peer.identity, "");
    EXPECT_TEXT(peer.dns_names[255], "n255.example.org");
    EXPECT(peer.dns_names[256] == NULL);
    end();
}

static const struct check checks[] = {
    { "subject, DNS names and URIs are those of the certificate", usual },
    { "names with NUL or control characters are left out", hostile },
    { "many names, and no subject", many },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
