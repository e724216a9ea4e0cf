/* How a client is called in messages, and who it is for what each has for itself. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "server/access/peer.h"
#include "tests/support/check.h"

static struct peer tcp(void)
{
    struct peer peer = { .pid = 0 };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&peer.address;

    v4->sin_family = AF_INET;
    v4->sin_port = htons(5123);
    EXPECT(inet_pton(AF_INET, "10.0.0.7", &v4->sin_addr) == 1);
    return peer;
}

static void an_identity_is_told_when_proven(void)
{
    char identity[] = "CN=vm7,O=Example";
    struct peer peer = tcp();

    peer_describe(&peer);
    EXPECT_TEXT(peer.text, "client 10.0.0.7:5123");
    peer.identity = identity;
    peer_describe(&peer);
    EXPECT_TEXT(peer.text, "client 10.0.0.7:5123");
    peer.proof = PEER_CERTIFICATE;
    peer_describe(&peer);
    EXPECT_TEXT(peer.text, "client 10.0.0.7:5123 (CN=vm7,O=Example)");
    peer.proof = PEER_PSK;
    peer_describe(&peer);
    EXPECT_TEXT(peer.text, "client 10.0.0.7:5123 (psk:CN=vm7,O=Example)");
    peer.proof = PEER_CERTIFICATE;
    peer.identity = (char[]){ "" };
    peer_describe(&peer);
    EXPECT_TEXT(peer.text, "client 10.0.0.7:5123 (no subject)");
}

static void unix_sockets(void)
{
    struct peer peer = { .address.ss_family = AF_UNIX, .pid = 71, .uid = 7, .gid = 8 };

    peer_describe(&peer);
    EXPECT_TEXT(peer.text, "client pid 71 uid 7");
    peer.address.ss_family = AF_UNSPEC;
    peer_describe(&peer);
    EXPECT_TEXT(peer.text, "client");
}

/* Of two-byte characters, at an odd place. */
static void a_long_identity_is_cut_between_characters(void)
{
    char identity[1024], expected[256] = "client 10.0.0.7:5123 (C";
    struct peer peer = tcp();

    identity[0] = 'C';
    for (size_t i = 1; i < sizeof identity - 1; i++)
        identity[i] = i % 2 ? '\xc3' : '\xa4';
    identity[sizeof identity - 1] = '\0';
    peer.proof = PEER_CERTIFICATE;
    peer.identity = identity;
    peer_describe(&peer);
    for (size_t i = 0; i < 63; i++)
        memcpy(expected + strlen(expected), "\xc3\xa4", 3);
    memcpy(expected + strlen(expected), "...)", 5);
    EXPECT_TEXT(peer.text, expected);
}

static void expect_identity(const struct peer *peer, const char *expected)
{
    char *identity = peer_identity(peer);

    EXPECT_TEXT(identity, expected);
    free(identity);
}

static void identities(void)
{
    char name[] = "CN=vm7";
    struct peer peer = tcp(), local = { .uid = 7, .address.ss_family = AF_UNIX }, v6 = { .pid = 0 };
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)&v6.address;

    expect_identity(&peer, "10.0.0.7");
    peer.identity = name;
    expect_identity(&peer, "10.0.0.7"); /* not proven */
    peer.proof = PEER_CERTIFICATE;
    expect_identity(&peer, "cert:CN=vm7");
    peer.proof = PEER_PSK;
    expect_identity(&peer, "psk:CN=vm7");
    expect_identity(&local, "uid:7");
    address->sin6_family = AF_INET6;
    EXPECT(inet_pton(AF_INET6, "2001:db8:1:2:3:4:5:6", &address->sin6_addr) == 1);
    expect_identity(&v6, "2001:db8:1:2::");
    EXPECT(inet_pton(AF_INET6, "::ffff:10.0.0.7", &address->sin6_addr) == 1);
    expect_identity(&v6, "10.0.0.7");
}

static const struct check checks[] = {
    { "a client is who it has proven to be, else its user, else its network", identities },
    { "an identity is told when it is proven", an_identity_is_told_when_proven },
    { "a client of a Unix socket is told by its process", unix_sockets },
    { "a long identity is cut between characters", a_long_identity_is_cut_between_characters },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
