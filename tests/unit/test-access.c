/* Who may attach: a table of rules and clients, and the sentences of bad rules. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include "server/access/access.h"
#include "tests/support/check.h"

static struct error err;

/* ---- clients ---- */

static struct peer tcp(const char *address)
{
    struct peer peer = { .text = "client" };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&peer.address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer.address;

    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
    } else {
        EXPECT(inet_pton(AF_INET6, address, &v6->sin6_addr) == 1);
        v6->sin6_family = AF_INET6;
    }
    return peer;
}

static struct peer local(uid_t uid, gid_t gid)
{
    return (struct peer){ .address.ss_family = AF_UNIX, .uid = uid, .gid = gid };
}

static char subject[] = "CN=vm7,O=Smith & Sons\\, Ltd", first_name[] = "vm7.vms.example.com",
            second_name[] = "Backup.Example.com", uri[] = "spiffe://example.com/vm7?a=1&b=2";
static char *names[] = { first_name, second_name, NULL }, *uris[] = { uri, NULL };

static struct peer certified(const char *address)
{
    struct peer peer = tcp(address);

    peer.encrypted = true;
    peer.proof = PEER_CERTIFICATE;
    peer.identity = subject;
    peer.dns_names = names;
    peer.uris = uris;
    return peer;
}

static struct peer keyed(char *identity)
{
    struct peer peer = tcp("10.0.0.7");

    peer.encrypted = true;
    peer.proof = PEER_PSK;
    peer.identity = identity;
    return peer;
}

/* ---- helpers ---- */

static bool allows_list(const char *const *rules, size_t count, const struct peer *peer)
{
    struct access *access;
    bool allowed;

    if (access_create(&access, rules, count, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    allowed = access_allows(access, peer);
    access_free(access);
    return allowed;
}

static bool allows(const char *rule, struct peer peer)
{
    return allows_list(&rule, 1, &peer);
}

static void refused(const char *rule, const char *message)
{
    struct access *access;
    char expected[600];

    snprintf(expected, sizeof expected, "%s: %s", rule, message);
    EXPECT(access_create(&access, &rule, 1, &err) == -EINVAL);
    EXPECT_TEXT(err.text, expected);
    EXPECT(access == NULL);
}

/* ---- what lets in ---- */

static void without_rules_everybody_may(void)
{
    struct access *access;
    struct peer peer = tcp("10.0.0.7"), unknown = { .text = "client" };

    EXPECT(access_create(&access, NULL, 0, &err) == 0 && access == NULL);
    EXPECT(access_allows(NULL, &peer) && access_allows(NULL, &unknown));
    EXPECT(allows("any", peer) && allows("any", unknown) && allows("any", local(7, 8)));
}

static void certificates(void)
{
    const struct peer plain = tcp("10.0.0.7");
    struct peer bare = certified("10.0.0.7");

    EXPECT(allows("cert:CN=vm7,O=Smith && Sons\\, Ltd", certified("10.0.0.7")));
    EXPECT(allows("cert:cn=vm7, o=Smith \\26 Sons\\2C Ltd", certified("10.0.0.7")));
    EXPECT(!allows("cert:CN=vm7", certified("10.0.0.7")));
    EXPECT(!allows("cert:CN=vm8,O=Smith && Sons\\, Ltd", certified("10.0.0.7")));
    EXPECT(!allows("cert:CN=vm7", plain));
    EXPECT(!allows("cert:CN=vm7", keyed((char[]){ "CN=vm7" })));

    EXPECT(allows("dns:vm7.vms.example.com", certified("::1")));
    EXPECT(allows("dns:VM7.vms.Example.com", certified("::1")));
    EXPECT(allows("dns:backup.example.com", certified("::1")));
    EXPECT(allows("dns:*.vms.example.com", certified("::1")));
    EXPECT(allows("dns:*.example.com", certified("::1"))); /* Backup */
    EXPECT(!allows("dns:*.com", certified("::1")));
    EXPECT(!allows("dns:vms.example.com", certified("::1")));
    EXPECT(!allows("dns:*.vm7.vms.example.com", certified("::1")));
    EXPECT(!allows("dns:vm7.vms.example.com", plain));

    EXPECT(allows("uri:spiffe://example.com/vm7?a=1&&b=2", certified("::1")));
    EXPECT(!allows("uri:spiffe://example.com/vm7", certified("::1")));
    EXPECT(!allows("uri:Spiffe://example.com/vm7?a=1&&b=2", certified("::1")));

    bare.dns_names = bare.uris = NULL;
    bare.identity = NULL;
    EXPECT(!allows("dns:vm7.vms.example.com", bare) && !allows("uri:x", bare));
    EXPECT(!allows("cert:CN=vm7", bare));
}

/* A certificate for "*.example.com" is none for every machine. */
static void names_with_a_star_match_no_pattern(void)
{
    char star[] = "*.example.com", empty[] = "";
    char *stars[] = { star, empty, NULL };
    struct peer peer = certified("::1");

    peer.dns_names = stars;
    EXPECT(!allows("dns:*.example.com", peer) && !allows("dns:vm7.example.com", peer));
}

static void pre_shared_keys(void)
{
    EXPECT(allows("psk:vm7", keyed((char[]){ "vm7" })));
    EXPECT(allows("psk:a && b:c", keyed((char[]){ "a & b:c" })));
    EXPECT(!allows("psk:vm7", keyed((char[]){ "vm77" })));
    EXPECT(!allows("psk:vm7", keyed((char[]){ "VM7" })));
    EXPECT(!allows("psk:CN=vm7", certified("::1")) && !allows("psk:vm7", tcp("10.0.0.7")));
}

static void users_and_groups(void)
{
    EXPECT(allows("uid:7", local(7, 8)) && !allows("uid:7", local(8, 7)));
    EXPECT(allows("gid:8", local(7, 8)) && !allows("gid:8", local(8, 7)));
    EXPECT(allows("uid:root", local(0, 8)) && !allows("uid:root", local(1, 0)));
    EXPECT(allows("gid:root", local(1, 0)) && !allows("gid:root", local(0, 1)));
    /* The fields are zero for who has none. */
    EXPECT(!allows("uid:0", tcp("127.0.0.1")) && !allows("gid:0", tcp("127.0.0.1")));
    EXPECT(!allows("uid:0", (struct peer){ .text = "client" }));
}

static void networks(void)
{
    static const struct {
        const char *rule, *address;
        bool allowed;
    } cases[] = {
        { "net:10.0.0.0/8", "10.255.255.255", true },
        { "net:10.0.0.0/8", "11.0.0.0", false },
        { "net:10.0.0.0/8", "9.255.255.255", false },
        { "net:10.0.0.0/9", "10.127.0.1", true },
        { "net:10.0.0.0/9", "10.128.0.1", false },
        { "net:10.0.0.7", "10.0.0.7", true },
        { "net:10.0.0.7", "10.0.0.70", false },
        { "net:10.0.0.7/32", "10.0.0.6", false },
        { "net:0.0.0.0/0", "203.0.113.9", true },
        { "net:0.0.0.0/0", "::ffff:203.0.113.9", true },
        { "net:0.0.0.0/0", "2001:db8::1", false },
        { "net:10.0.0.0/8", "::ffff:10.1.2.3", true },
        { "net:::ffff:10.0.0.0/104", "10.1.2.3", true },
        { "net:::ffff:10.0.0.0/104", "::ffff:11.0.0.0", false },
        { "net:::/0", "2001:db8::1", true },
        { "net:::/0", "::ffff:10.0.0.1", false },
        { "net:::/0", "10.0.0.1", false },
        { "net:2001:db8::/33", "2001:db8:7fff::", true },
        { "net:2001:db8::/33", "2001:db8:8000::", false },
        { "net:2001:DB8::1", "2001:db8::1", true },
        { "net:::1/128", "::2", false },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (allows(cases[i].rule, tcp(cases[i].address)) != cases[i].allowed) {
            fprintf(stderr, "%s, %s\n", cases[i].rule, cases[i].address);
            abort();
        }
    }
    EXPECT(!allows("net:0.0.0.0/0", local(0, 0)) && !allows("net:::/0", local(0, 0)));
}

static void all_conditions_of_one_rule(void)
{
    const char *const list[] = {
        "psk:vm7&net:192.0.2.0/24",
        "uid:7",
        "dns:*.vms.example.com&dns:backup.example.com&net:10.0.0.0/8",
    };
    struct peer peer = keyed((char[]){ "vm7" });

    EXPECT(!allows_list(list, 3, &peer));
    peer = certified("10.0.0.7");
    EXPECT(allows_list(list, 3, &peer));
    peer = certified("11.0.0.7");
    EXPECT(!allows_list(list, 3, &peer));
    peer = local(7, 7);
    EXPECT(allows_list(list, 3, &peer));
    peer = local(8, 7);
    EXPECT(!allows_list(list, 3, &peer));
    EXPECT(allows("uid:7&gid:8", local(7, 8)) && !allows("uid:7&gid:8", local(7, 7)));
}

/* ---- what is refused ---- */

static void bad_rules_are_explained(void)
{
    const char *form =
        "a rule is 'any', or begins with cert:, dns:, uri:, psk:, uid:, gid: or net:";
    const char *address = "there is no numeric address: write it as 10.0.0.0/8, 2001:db8::/32 or "
                          "10.0.0.7";

    refused("", form);
    refused("vm7", form);
    refused("crt:CN=vm7", form);
    refused("cn:vm7", form);
    refused("Cert:CN=vm7", form);
    refused("uid:7&", form);
    refused("&uid:7", form);
    refused("uid:7&nett:10.0.0.0/8", form);
    refused("any&uid:7",
            "'any' lets everybody in and stands alone: leave it or the other rules out");
    refused("uid:", "there is nothing behind 'uid:'");
    refused("cert:vm7", "'vm7' does not begin with TYPE=VALUE, or its value has one of \"+,;<>\\ "
                        "without a \\ in front: write it as in CN=vm7,O=Example (RFC 4514)");
    refused("uid:7&&net:10.0.0.0/8", "two conditions are joined by one '&': '&&' is an '&' that "
                                     "belongs to a value");
    refused("uid:no such user", "this machine has no user 'no such user'");
    refused("uid:4294967295", "this machine has no user '4294967295'");
    refused("uid:-1", "this machine has no user '-1'");
    refused("gid:no such group", "this machine has no group 'no such group'");
    refused("net:10.0.0/8", address);
    refused("net:/8", address);
    refused("net:example.com", address);
    refused("net:fe80::1%lo", address);
    refused("net:10.0.0.0/33", "behind the '/' is no number from 0 to 32");
    refused("net:10.0.0.0/", "behind the '/' is no number from 0 to 32");
    refused("net:10.0.0.0/255.0.0.0", "behind the '/' is no number from 0 to 32");
    refused("net:::/129", "behind the '/' is no number from 0 to 128");
    refused("net:10.1.2.3/8",
            "the address goes on behind its first 8 bits: write net:10.0.0.0/8 for "
            "that network, or net:10.1.2.3 for one address");
    refused("net:2001:db8::1/32", "the address goes on behind its first 32 bits: write "
                                  "net:2001:db8::/32 for that network, or net:2001:db8::1 for one "
                                  "address");
}

static void bad_names_and_impossible_rules(void)
{
    const char *star = "a '*' stands for the whole first label, and nowhere else: write it as in "
                       "dns:*.vms.example.com";
    const char *name =
        "this is not a DNS name: it has labels of letters, digits and '-', without a "
        "dot at the end; others are written in their xn-- form";

    refused("dns:*", star);
    refused("dns:vm*.example.com", star);
    refused("dns:*.*.example.com", star);
    refused("dns:*.", name);
    refused("dns:example.com.", name);
    refused("dns:a..b", name);
    refused("dns:\xc3\xa4.example.com", name);
    refused("net:10.0.0.0/8&uid:7",
            "no client can meet all of this: net: is for TCP, uid: and gid: "
            "are for Unix sockets");
    refused("psk:a&dns:b", "no client can meet all of this: a client has a certificate or a "
                           "pre-shared key");
    refused("uid:7&uid:8", "a client can't meet two 'uid:' at once: give each a rule of its own");
    refused("dns:a&dns:b&dns:c&dns:d&dns:e&dns:f&dns:g&dns:h&dns:i",
            "a rule has at most 8 conditions");
}

static void any_stands_alone(void)
{
    const char *const list[] = { "uid:7", "any" };
    struct access *access;

    EXPECT(access_create(&access, list, 2, &err) == -EINVAL);
    EXPECT_TEXT(err.text, "any: 'any' lets everybody in and stands alone: leave it or the other "
                          "rules out");
}

/* ---- rules that nobody can match ---- */

static void dead_rules_are_found(void)
{
    const char *const list[] = { "uid:7", "net:10.0.0.0/8", "cert:CN=a&net:10.0.0.0/8", "psk:a",
                                 "dns:a&gid:7" };
    const unsigned all = ACCESS_BY_TCP | ACCESS_BY_UNIX | ACCESS_BY_CERTIFICATE | ACCESS_BY_PSK;
    struct access *access;

    EXPECT(access_create(&access, list, 5, &err) == 0);
    EXPECT(access_rule_count(access) == 5 && access_rule_count(NULL) == 0);
    for (size_t i = 0; i < 5; i++) {
        EXPECT_TEXT(access_rule_text(access, i), list[i]);
        EXPECT(access_rule_is_dead(access, i, all) == NULL);
    }
    EXPECT_TEXT(access_rule_is_dead(access, 0, ACCESS_BY_TCP | ACCESS_BY_PSK),
                "the server listens on no Unix socket");
    EXPECT(access_rule_is_dead(access, 0, ACCESS_BY_UNIX) == NULL);
    EXPECT_TEXT(access_rule_is_dead(access, 1, ACCESS_BY_UNIX),
                "the server listens on no TCP address");
    EXPECT_TEXT(access_rule_is_dead(access, 2, ACCESS_BY_TCP),
                "the server does not ask for certificates");
    EXPECT_TEXT(access_rule_is_dead(access, 3, ACCESS_BY_TCP | ACCESS_BY_CERTIFICATE),
                "the server has no pre-shared keys");
    EXPECT(access_rule_is_dead(access, 4, ACCESS_BY_UNIX));
    access_free(access);
}

static const struct check checks[] = {
    { "without rules everybody may", without_rules_everybody_may },
    { "certificates are matched by subject and alternative names", certificates },
    { "names with a '*' in a certificate match no pattern", names_with_a_star_match_no_pattern },
    { "pre-shared keys are matched by identity", pre_shared_keys },
    { "users and groups are those of a Unix socket's peer", users_and_groups },
    { "networks", networks },
    { "all conditions of one rule must hold", all_conditions_of_one_rule },
    { "bad rules are explained", bad_rules_are_explained },
    { "bad names and impossible rules are explained", bad_names_and_impossible_rules },
    { "any stands alone", any_stands_alone },
    { "rules that nobody can match are found", dead_rules_are_found },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
