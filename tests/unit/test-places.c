/* However many connect: who is attached stays, a flood of handshakes leaves room for others, and
 * one client gets its share. */
#include "server/access/places.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"

static struct places places;

/* Two of the clients of a test that share a counter by chance would fail it, now and then. */
static void init(unsigned attached_max, unsigned share_max)
{
    places_init(&places, attached_max, share_max);
    places.key = 7;
}

static struct peer from_ip(uint32_t address)
{
    struct peer peer = { .proof = PEER_UNPROVEN };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&peer.address;

    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(address);
    return peer;
}

static struct peer from_user(uid_t uid)
{
    struct peer peer = { .proof = PEER_UNPROVEN, .uid = uid };

    peer.address.ss_family = AF_UNIX;
    return peer;
}

static void expect_no_share_taken(void)
{
    for (unsigned i = 0; i < PLACES_SHARES; i++)
        EXPECT(atomic_load(&places.shares[i]) == 0 && atomic_load(&places.pending[i]) == 0);
}

static void idle_handshakes(void)
{
    static struct place flood[5000], old[100], new[100];
    unsigned entered = 0, dropped_early = 0;

    init(4096, 4096);
    for (unsigned i = 0; i < 100; i++) {
        struct peer peer = from_ip(0x0a000000 + i);

        EXPECT(places_enter(&places, &old[i], &peer) == PLACE_GRANTED);
        EXPECT(places_attach(&places, &old[i]) == PLACE_GRANTED);
    }
    for (unsigned i = 0; i < 5000; i++) {
        struct peer peer = from_ip(0x0b000000 + i);
        enum place_result result = places_enter(&places, &flood[i], &peer);

        EXPECT(result == PLACE_GRANTED || result == PLACE_NO_HANDSHAKES);
        entered += result == PLACE_GRANTED;
        dropped_early += result != PLACE_GRANTED && entered < places.handshakes_max;
    }
    EXPECT(entered <= places.handshakes_max && entered > places.handshakes_max / 2);
    EXPECT(dropped_early > 0);
    EXPECT(atomic_load(&places.attached) == 100);
    /* As soon as some give up, others are let in, and they attach. */
    for (unsigned i = 0; i < 5000; i++)
        places_leave(&places, &flood[i]);
    for (unsigned i = 0; i < 100; i++) {
        struct peer peer = from_ip(0x0c000000 + i);

        EXPECT(places_enter(&places, &new[i], &peer) == PLACE_GRANTED);
        EXPECT(places_attach(&places, &new[i]) == PLACE_GRANTED);
        places_leave(&places, &new[i]);
        places_leave(&places, &old[i]);
    }
    EXPECT(atomic_load(&places.attached) == 0 && atomic_load(&places.handshakes) == 0);
}

/* One stranger leaves three quarters of the places for handshakes to others. */
static void one_stranger(void)
{
    static struct place flood[5000], other;
    struct peer peer = from_ip(0x0a000001), somebody = from_ip(0x0a000002);
    unsigned entered = 0;

    init(4096, 0);
    for (unsigned i = 0; i < 5000; i++)
        entered += places_enter(&places, &flood[i], &peer) == PLACE_GRANTED;
    EXPECT(entered == places.handshakes_max / 4);
    EXPECT(places_enter(&places, &other, &somebody) == PLACE_GRANTED);
    places_leave(&places, &other);
    for (unsigned i = 0; i < 5000; i++)
        places_leave(&places, &flood[i]);
    EXPECT(atomic_load(&places.handshakes) == 0);
    expect_no_share_taken();
}

static unsigned connect_all(const struct peer *peer, struct place *all, unsigned count)
{
    unsigned entered = 0;

    for (unsigned i = 0; i < count; i++)
        if (places_enter(&places, &all[i], peer) == PLACE_GRANTED) {
            EXPECT(places_attach(&places, &all[i]) == PLACE_GRANTED);
            entered++;
        }
    return entered;
}

static void leave_all(struct place *all, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        places_leave(&places, &all[i]);
}

static void shares(void)
{
    static struct place all[200], others[200];
    struct peer greedy = from_ip(0x7f000001), other = from_ip(0x7f000002);
    struct peer own = from_user(geteuid()), stranger = from_user(12345);

    init(100, 0);
    EXPECT(connect_all(&greedy, all, 200) == 25);
    EXPECT(connect_all(&other, others, 10) == 10);
    leave_all(all, 200);
    leave_all(others, 200);
    EXPECT(connect_all(&stranger, all, 200) == 25);
    leave_all(all, 200);
    EXPECT(connect_all(&own, all, 200) == 100);
    EXPECT(places_enter(&places, &others[0], &greedy) == PLACE_NONE);
    leave_all(all, 200);
    expect_no_share_taken();
}

/* Behind one address, each counts as who it has proven to be. */
static void identities(void)
{
    static struct place all[100];
    struct peer peer = from_ip(0x7f000001), proven = peer;
    char name[] = "CN=vm0";

    init(100, 0);
    proven.proof = PEER_CERTIFICATE;
    proven.identity = name;
    for (unsigned i = 0; i < 80; i++) {
        name[5] = (char)('0' + i / 20);
        EXPECT(places_enter(&places, &all[i], &peer) == PLACE_GRANTED);
        EXPECT(places_prove(&places, &all[i], &proven) == PLACE_GRANTED);
        EXPECT(places_attach(&places, &all[i]) == PLACE_GRANTED);
    }
    for (unsigned i = 80; i < 85; i++) {
        EXPECT(places_enter(&places, &all[i], &peer) == PLACE_GRANTED);
        EXPECT(places_prove(&places, &all[i], &proven) == PLACE_GRANTED);
    }
    EXPECT(places_enter(&places, &all[85], &peer) == PLACE_GRANTED);
    EXPECT(places_prove(&places, &all[85], &proven) == PLACE_NO_SHARE);
    leave_all(all, 100);
    expect_no_share_taken();
}

static const struct check checks[] = {
    { "handshakes without end take nobody's place", idle_handshakes },
    { "one stranger leaves handshakes for others", one_stranger },
    { "one client has a share, but for who runs the server", shares },
    { "what is proven counts, not the address", identities },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
