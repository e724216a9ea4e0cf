/* Distinguished names: which texts mean the same one, and which are refused. */
#include <errno.h>

#include <gnutls/x509.h>

#include "server/access/dn.h"
#include "tests/support/check.h"

static struct error err;

/* Both directions, and each is equal to itself. */
static bool same(const char *a, const char *b)
{
    EXPECT(dn_equal(a, a) && dn_equal(b, b));
    EXPECT(dn_equal(a, b) == dn_equal(b, a));
    return dn_equal(a, b);
}

static void the_way_of_writing_does_not_count(void)
{
    EXPECT(same("CN=vm7,O=Example", "cn=vm7, o=Example"));
    EXPECT(same("CN=vm7,O=Example", " CN = vm7 , O = Example "));
    EXPECT(same("CN=a\\,b", "CN=a\\2cb"));
    EXPECT(same("CN=a\\,b", "CN=a\\2Cb"));
    EXPECT(same("CN=\xc3\xa4", "CN=\\C3\\A4"));
    EXPECT(same("CN=\\*", "CN=\\2A"));
    EXPECT(same("EMAIL=a@b,C=DE", "emailAddress=a@b,C=DE"));
    EXPECT(same("CN=a b", "CN=a b "));
    EXPECT(same("CN=a+OU=b,O=c", "CN=a + OU=b, O=c"));
    EXPECT(same("CN=a\\\"b=c", "CN=a\\\"b\\=c"));
    EXPECT(same("1.2.3.4=#0402", "1.2.3.4=#0402"));
}

static void the_rest_counts(void)
{
    EXPECT(!same("CN=vm7,O=Example", "O=Example,CN=vm7"));
    EXPECT(!same("CN=vm7,O=Example", "CN=vm7"));
    EXPECT(!same("CN=vm7", "CN=vm77"));
    EXPECT(!same("CN=vm7", "CN=VM7"));
    EXPECT(!same("CN=vm7", "OU=vm7"));
    EXPECT(!same("CN=a,O=b", "CN=a+O=b"));
    EXPECT(!same("CN=a\\,O=b", "CN=a,O=b"));
    EXPECT(!same("CN=a\\+O=b", "CN=a+O=b"));
    EXPECT(!same("CN=\\ a", "CN=a"));
    EXPECT(!same("CN=a\\ ", "CN=a"));
    EXPECT(!same("CN=\\#0402", "CN=#0402"));
    EXPECT(!same("CN=\\\\2C", "CN=\\,"));
    EXPECT(!same("EMAIL=a@b", "E=a@b"));
}

static void what_is_no_name_equals_nothing(void)
{
    const char *const bad[] = { "",   "CN",     "CN=a,",   "CN=a;b", "CN=a\\",
                                "=a", "CN=\\0", "CN=\\00", "/CN=a" };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        EXPECT(!dn_equal(bad[i], bad[i]));
        EXPECT(!dn_equal(bad[i], "CN=a") && !dn_equal("CN=a", bad[i]));
    }
}

/* ---- what GnuTLS prints ---- */

/* The name of a certificate that has this O and, in front of it, this CN. */
static bool printed_equals(const char *common_name, const char *organization, const char *text)
{
    gnutls_x509_crt_t certificate;
    gnutls_datum_t printed;
    bool equal;

    EXPECT(gnutls_x509_crt_init(&certificate) == 0);
    EXPECT(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_ORGANIZATION_NAME, 0,
                                         organization, (unsigned)strlen(organization)) == 0);
    EXPECT(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                         (unsigned)strlen(common_name)) == 0);
    EXPECT(gnutls_x509_crt_get_dn3(certificate, &printed, 0) == 0);
    EXPECT(dn_equal((const char *)printed.data, (const char *)printed.data));
    equal = dn_equal(text, (const char *)printed.data);
    gnutls_free(printed.data);
    gnutls_x509_crt_deinit(certificate);
    return equal;
}

static void what_gnutls_prints_is_understood(void)
{
    EXPECT(printed_equals("vm7", "Example", "CN=vm7,O=Example"));
    EXPECT(!printed_equals("vm7", "Example", "O=Example,CN=vm7"));
    EXPECT(!printed_equals("vm7,O=Example", "x", "CN=vm7,O=Example,O=x"));
    EXPECT(printed_equals("vm7,O=Example", "x", "CN=vm7\\,O\\=Example,O=x"));
    EXPECT(printed_equals(" a ", "b", "CN=\\ a\\ ,O=b"));
    EXPECT(printed_equals("#a", "b", "CN=\\#a,O=b"));
    EXPECT(printed_equals("\"a\" <b>;+\\", "b", "CN=\\22a\\22 \\<b\\>\\;\\+\\\\,O=b"));
    EXPECT(printed_equals("*.a", "b", "CN=\\*.a,O=b"));
    EXPECT(printed_equals("\xc3\xa4", "a & b", "CN=\\C3\\A4,O=a \\26 b"));
}

static void refused(const char *text, const char *message)
{
    EXPECT(dn_check(text, &err) == -EINVAL);
    EXPECT_TEXT(err.text, message);
}

#define FORM "write it as in CN=vm7,O=Example (RFC 4514)"
#define NOT_A_PAIR                                                                        \
    " does not begin with TYPE=VALUE, or its value has one of \"+,;<>\\ without a \\ in " \
    "front: " FORM

static void mistakes_are_explained(void)
{
    EXPECT(dn_check("CN=vm7,O=Smith & Sons\\, Ltd,EMAIL=a@b", &err) == 0);
    EXPECT(dn_check("CN=\\*.example.com", &err) == 0);
    refused("", "''" NOT_A_PAIR);
    refused("vm7", "'vm7'" NOT_A_PAIR);
    refused("CN=vm7,", "''" NOT_A_PAIR);
    refused("CN=vm7,Example", "'Example'" NOT_A_PAIR);
    refused("O=\"Exam, ple\"", "'O=\"Exam, ple\"'" NOT_A_PAIR);
    refused("CN=a\\", "'CN=a\\'" NOT_A_PAIR);
    refused("CN=vm7,O=", "'O' has no value: " FORM);
    refused("/O=Example/CN=vm7", "this is not how a name is written here: " FORM);
    refused("CN=*,O=Example",
            "a name is compared as a whole, there are no patterns: write \\* for a "
            "'*' that is part of it");
}

static const struct check checks[] = {
    { "the way of writing does not count", the_way_of_writing_does_not_count },
    { "the rest counts", the_rest_counts },
    { "what is no name equals nothing", what_is_no_name_equals_nothing },
    { "what GnuTLS prints is understood", what_gnutls_prints_is_understood },
    { "mistakes are explained", mistakes_are_explained },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
