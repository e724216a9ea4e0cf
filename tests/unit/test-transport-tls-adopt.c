/* The byte stream of a client on the fake loop, over a session that went through a channel, against
 * a server of GnuTLS: each kind of session and who does its records, tickets at any time, new keys,
 * ends of every kind, and what GnuTLS had read before the transport took over. */
#include <errno.h>
#include <sys/socket.h>

#include "crypto/gcm/gcm-choose.h"
#include "server/client/transport-tls-adopt.h"
#include "tests/support/check.h"
#include "tests/support/tls-remote.h"

#define HANDSHAKE 22
#define DATA 23

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:"
#define KX_PSK ":-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK"

static uint8_t pattern[600000];

static const struct kind {
    struct tls_remote_settings settings;
    gnutls_cipher_algorithm_t cipher;
    bool ours; /* the records, where the processor can */
} kinds[] = {
    { { .priority = TLS13 "+AES-128-GCM" }, GNUTLS_CIPHER_AES_128_GCM, true },
    { { .priority = TLS13 "+AES-256-GCM" }, GNUTLS_CIPHER_AES_256_GCM, true },
    { { .priority = TLS13 "+CHACHA20-POLY1305" }, GNUTLS_CIPHER_CHACHA20_POLY1305, false },
    { { .priority = TLS13 "+AES-128-GCM" KX_PSK, .psk = true }, GNUTLS_CIPHER_AES_128_GCM, true },
    { { .priority = TLS12 "+AES-256-GCM" }, GNUTLS_CIPHER_AES_256_GCM, false },
    { { .priority = TLS12 "+AES-128-GCM" KX_PSK, .psk = true }, GNUTLS_CIPHER_AES_128_GCM, false },
    { { .priority = TLS12 "+CHACHA20-POLY1305" KX_PSK, .psk = true },
      GNUTLS_CIPHER_CHACHA20_POLY1305,
      false },
};

#define EACH_KIND(kind) \
    for (const struct kind *kind = kinds; kind < kinds + sizeof kinds / sizeof kinds[0]; kind++)

static bool is_tls13(const struct kind *kind)
{
    return strstr(kind->settings.priority, "TLS1.3") != NULL;
}

static void expect_both_ways(struct tls_peer *peer, uint32_t length_bytes)
{
    tls_peer_say(peer, pattern, length_bytes);
    tls_peer_expect_received(peer, pattern, length_bytes);
    tls_peer_expect_sent(peer, &(struct iovec){ pattern + 1, length_bytes }, 1);
}

/* ---- bytes ---- */

static void bytes_of_any_number(void)
{
    static const size_t chunks[] = { 0, 1, 7, 4096, 16406 };
    static const uint32_t lengths[] = { 1, 28, 4096, 8192, 16384, 16385, 100000, 300000 };

    EACH_KIND(kind)
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct tls_remote remote;

        tls_remote_open(&remote, &kind->settings);
        EXPECT(gnutls_cipher_get(remote.server) == kind->cipher);
        EXPECT((tls_peer_protection(&remote.peer)->gcm != NULL) ==
               (kind->ours && gcm_choose() != NULL));
        fake_socket_chunk(remote.peer.loop, remote.peer.fd, chunks[i], chunks[i]);
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++)
            if (chunks[i] == 0 || chunks[i] > 7 || lengths[k] < 20000)
                expect_both_ways(&remote.peer, lengths[k]);
        tls_remote_end(&remote);
    }
}

/* ---- what GnuTLS had read before ---- */

/* The channel takes `taken_bytes` of the first of two records of 1000 bytes; that one and
 * `more_bytes` of the second have arrived. */
static void take_over_within(const struct kind *kind, size_t taken_bytes, size_t more_bytes)
{
    static uint8_t records[3000];
    struct tls_remote remote;
    struct error err;
    uint8_t got[1000], byte;

    tls_remote_start(&remote, &kind->settings);
    struct tls_client *client = tls_remote_connect(&remote);
    tls_remote_join(&remote);
    EXPECT(tls_client_is_between_records(client));
    EXPECT(gnutls_record_send(remote.server, pattern, 1) == 1); /* behind a ticket, perhaps */
    EXPECT(channel_receive(&remote.channel, got, 1, &err) == 0);
    EXPECT(gnutls_record_send(remote.server, pattern, 1000) == 1000);
    EXPECT(gnutls_record_send(remote.server, pattern + 1000, 1000) == 1000);
    ssize_t total = recv(remote.fd, records, sizeof records, 0);
    EXPECT(total > 2000 && total % 2 == 0);
    size_t there_bytes = (size_t)total / 2 + more_bytes;
    EXPECT(send(remote.server_fd, records, there_bytes, 0) == (ssize_t)there_bytes);
    EXPECT(channel_receive(&remote.channel, got, taken_bytes, &err) == 0);
    EXPECT(memcmp(got, pattern, taken_bytes) == 0);
    bool nothing_more = more_bytes == 0 && taken_bytes == 1000;
    if (taken_bytes == 1000 && !nothing_more) {
        remote.channel.end_ms = 1; /* looks, finds a part of the second record, and gives up */
        EXPECT(channel_receive(&remote.channel, &byte, 1, &err) == -ETIMEDOUT);
    }
    EXPECT(tls_client_is_between_records(client) == nothing_more);
    tls_remote_adopt(&remote, client);
    EXPECT(tls_peer_protection(&remote.peer)->gcm == NULL || (nothing_more && kind->ours));
    fake_socket_feed(remote.peer.loop, remote.peer.fd, records + there_bytes,
                     (size_t)total - there_bytes);
    tls_peer_expect_received(&remote.peer, pattern + taken_bytes, 2000 - (uint32_t)taken_bytes);
    expect_both_ways(&remote.peer, 50000);
    tls_remote_end(&remote);
}

static void nothing_is_lost_on_the_way(void)
{
    static const size_t cases[][2] = { { 1, 0 },    { 999, 100 }, { 1000, 0 },
                                       { 1000, 1 }, { 1000, 5 },  { 1000, 500 } };

    EACH_KIND(kind)
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        take_over_within(kind, cases[i][0], cases[i][1]);
}

/* ---- tickets ---- */

static void tickets_of_gnutls(void)
{
    EACH_KIND(kind)
    {
        struct tls_remote remote;

        if (!is_tls13(kind))
            continue;
        tls_remote_open(&remote, &kind->settings);
        for (unsigned i = 0; i < 5; i++) {
            size_t before = pipe_count(&remote.peer.outgoing);

            EXPECT(gnutls_session_ticket_send(remote.server, i + 1, 0) == 0);
            EXPECT(pipe_count(&remote.peer.outgoing) > before);
            expect_both_ways(&remote.peer, 20000);
            tls_peer_say(&remote.peer, pattern, 5000);
            EXPECT(gnutls_session_ticket_send(remote.server, 1, 0) == 0);
            tls_peer_say(&remote.peer, pattern + 5000, 5000);
            tls_peer_expect_received(&remote.peer, pattern, 10000);
        }
        tls_remote_end(&remote);
    }
}

/* A server's end of a session whose records are made by hand. */
struct forger {
    struct tls_remote remote;
    struct tls_record_keys keys;
    uint8_t got[40000];
};

static struct forger forger;

static bool forger_open(void)
{
    tls_remote_open(&forger.remote, &kinds[0].settings);
    tls_peer_say(&forger.remote.peer, pattern, 1); /* behind GnuTLS's own ticket */
    tls_peer_expect_received(&forger.remote.peer, pattern, 1);
    if (tls_peer_protection(&forger.remote.peer)->gcm != NULL) {
        forger.keys = tls_peer_protection(&forger.remote.peer)->keys->receiving;
        return true;
    }
    tls_remote_end(&forger.remote);
    return false;
}

static void say(uint8_t type, const uint8_t *data, size_t count)
{
    static uint8_t inner[16385];

    if (count > 0)
        memcpy(inner, data, count);
    inner[count] = type;
    tls_peer_forge(&forger.remote.peer, &forger.keys, inner, count + 1);
}

static int ask(uint32_t length_bytes)
{
    tls_peer_ask(&forger.remote.peer, forger.got, length_bytes);
    fake_loop_run(forger.remote.peer.loop);
    return forger.remote.peer.recv_result;
}

static void expect_said(const char *text)
{
    uint32_t length_bytes = (uint32_t)strlen(text);

    say(DATA, (const uint8_t *)text, length_bytes);
    EXPECT(ask(length_bytes) == TRANSPORT_FILLED && memcmp(forger.got, text, length_bytes) == 0);
}

static void update_keys(void)
{
    EXPECT(tls_record_keys_update(&forger.keys, tls_peer_protection(&forger.remote.peer)->gcm));
}

/* Of so many bytes behind the header. */
static size_t put_ticket(uint8_t *out, size_t body_bytes)
{
    memcpy(out,
           (uint8_t[]){ 4, (uint8_t)(body_bytes >> 16), (uint8_t)(body_bytes >> 8),
                        (uint8_t)body_bytes },
           4);
    memset(out + 4, 24, body_bytes); /* none of it is a message */
    return 4 + body_bytes;
}

/* In pieces of a size, and behind some of them a KeyUpdate, as there may be 8 of these within a
 * second. */
static void tickets_of_any_form(void)
{
    static const uint8_t update[] = { 24, 0, 0, 1, 1 };
    uint8_t ticket[64];

    if (!forger_open())
        return;
    for (size_t piece = 1; piece < 30; piece++) {
        size_t length = put_ticket(ticket, 14 + piece % 5);
        bool updates = piece % 5 == 1;

        if (updates) {
            memcpy(ticket + length, update, sizeof update);
            length += sizeof update;
        }
        for (size_t at = 0; at < length; at += piece)
            say(HANDSHAKE, ticket + at, length - at < piece ? length - at : piece);
        if (updates)
            update_keys();
        expect_said("after");
    }
    tls_remote_end(&forger.remote);
}

static void many_tickets_in_a_record(void)
{
    static const uint8_t update[] = { 24, 0, 0, 1, 0 };
    static uint8_t tickets[16384];
    size_t length = 0;

    if (!forger_open())
        return;
    for (size_t i = 0; i < 20; i++)
        length += put_ticket(tickets + length, 14 + i * 20);
    say(HANDSHAKE, tickets, length);
    expect_said("one");
    memcpy(tickets + length, update, sizeof update);
    say(HANDSHAKE, tickets, length + sizeof update);
    update_keys();
    expect_said("two");
    say(HANDSHAKE, tickets, length - 1); /* cut between two records */
    say(HANDSHAKE, tickets + length - 1, 1);
    expect_said("three");
    tls_remote_end(&forger.remote);
}

static void a_long_ticket(void)
{
    static uint8_t ticket[4 + TLS_TICKET_BYTES_MAX];
    size_t length = put_ticket(ticket, TLS_TICKET_BYTES_MAX);

    if (!forger_open())
        return;
    for (size_t at = 0; at < length; at += 16384)
        say(HANDSHAKE, ticket + at, length - at < 16384 ? length - at : 16384);
    expect_said("after");
    tls_remote_end(&forger.remote);
}

static const struct bad_message {
    const char *what;
    uint8_t count, content[48];
    bool data; /* comes behind it */
} bad_messages[] = {
    { "no ticket that short", 20, { 4, 0, 0, 13 }, false },
    { "an empty ticket", 4, { 4, 0, 0, 0 }, false },
    { "a ticket that is too long", 4, { 4, 2, 0, 1 }, false },
    { "a very long ticket", 2, { 4, 255 }, false },
    { "half a ticket and data", 10, { 4, 0, 0, 14, 1, 2, 3, 4, 5, 6 }, true },
    { "half the header of a ticket and data", 2, { 4, 0 }, true },
    { "a KeyUpdate and a ticket", 23, { 24, 0, 0, 1, 0, 4, 0, 0, 14 }, false },
    { "a certificate request", 9, { 13, 0, 0, 5, 0, 0, 0 }, false },
    { "a ServerHello", 9, { 2, 0, 0, 5, 0, 0, 0 }, false },
    { "Finished", 8, { 20, 0, 0, 4, 1, 1, 1, 1 }, false },
    { "a ticket and Finished", 26, { 4, 0, 0, 14, [18] = 20, 0, 0, 4 }, false },
};

static void what_is_no_ticket(void)
{
    for (size_t i = 0; i < sizeof bad_messages / sizeof bad_messages[0]; i++) {
        const struct bad_message *bad = &bad_messages[i];

        if (!forger_open())
            return;
        printf("(%s) ", bad->what);
        fflush(stdout);
        say(HANDSHAKE, bad->content, bad->count);
        if (bad->data)
            say(DATA, (const uint8_t *)"data", 4);
        EXPECT(ask(4) == -ECONNRESET);
        EXPECT(tls_peer_hear(&forger.remote.peer, forger.got, 64) == GNUTLS_E_FATAL_ALERT_RECEIVED);
        EXPECT(ask(1) == -ECONNRESET);
        tls_remote_end(&forger.remote);
    }
}

static void tickets_for_ever(void)
{
    uint8_t ticket[64];
    size_t length = put_ticket(ticket, 14);

    if (!forger_open())
        return;
    for (int i = 0; i < 40; i++)
        say(HANDSHAKE, ticket, length);
    EXPECT(ask(1) == -ECONNRESET);
    tls_remote_end(&forger.remote);
}

/* ---- new keys ---- */

static void new_keys(void)
{
    EACH_KIND(kind)
    {
        struct tls_remote remote;

        if (!is_tls13(kind))
            continue;
        tls_remote_open(&remote, &kind->settings);
        for (int i = 0; i < 4; i++) { /* GnuTLS takes 8 within a second */
            EXPECT(gnutls_session_key_update(remote.server, i % 2 ? GNUTLS_KU_PEER : 0) == 0);
            if (i > 1)
                EXPECT(gnutls_session_ticket_send(remote.server, 1, 0) == 0);
            expect_both_ways(&remote.peer, 30000);
            tls_peer_protection(&remote.peer)->records_left = 1; /* and of our own accord */
            expect_both_ways(&remote.peer, 30000);
        }
        tls_remote_end(&remote);
    }
}

/* By the server before the transport takes over: GnuTLS, which knows the new ones, keeps the
 * records. */
static void new_keys_in_the_channel(void)
{
    struct tls_remote remote;
    struct error err;
    uint8_t got[100];

    tls_remote_start(&remote, &kinds[0].settings);
    struct tls_client *client = tls_remote_connect(&remote);
    tls_remote_join(&remote);
    EXPECT(gnutls_session_ticket_send(remote.server, 2, 0) == 0);
    EXPECT(gnutls_record_send(remote.server, pattern, 100) == 100);
    EXPECT(channel_receive(&remote.channel, got, 100, &err) == 0);
    EXPECT(tls_client_is_between_records(client));
    EXPECT(gnutls_session_key_update(remote.server, GNUTLS_KU_PEER) == 0);
    EXPECT(gnutls_record_send(remote.server, pattern, 100) == 100);
    EXPECT(channel_receive(&remote.channel, got, 100, &err) == 0);
    tls_remote_adopt(&remote, client);
    EXPECT(tls_peer_protection(&remote.peer)->gcm == NULL);
    expect_both_ways(&remote.peer, 30000);
    tls_remote_end(&remote);
}

/* The server vanishes while the channel has it. */
static void failed_in_the_channel(void)
{
    const struct loop_config config = { .entries = 8 };
    struct tls_buffers buffers = { 0 };
    struct transport *transport;
    struct tls_remote remote;
    struct loop *loop;
    struct error err;
    uint8_t byte;

    EXPECT(loop_create(&loop, &config, &err) == 0);
    tls_remote_start(&remote, &kinds[0].settings);
    struct tls_client *client = tls_remote_connect(&remote);
    tls_remote_join(&remote);
    shutdown(remote.server_fd, SHUT_RDWR);
    EXPECT(channel_receive(&remote.channel, &byte, 1, &err) == -ECONNRESET);
    const struct transport_tls_adopt_settings settings = { loop, &buffers, "test server" };
    EXPECT(transport_tls_adopt(&transport, client, remote.fd, &settings, &err) == -EPROTO);
    tls_client_free(client);
    tls_remote_close(&remote);
    loop_destroy(loop);
}

static void tickets_in_the_channel(void)
{
    struct tls_remote remote;
    struct error err;
    uint8_t got[100];

    tls_remote_start(&remote, &kinds[0].settings);
    struct tls_client *client = tls_remote_connect(&remote);
    tls_remote_join(&remote);
    for (int i = 0; i < 3; i++) {
        EXPECT(gnutls_session_ticket_send(remote.server, 2, 0) == 0);
        EXPECT(gnutls_record_send(remote.server, pattern, 100) == 100);
        EXPECT(channel_receive(&remote.channel, got, 100, &err) == 0);
        EXPECT(memcmp(got, pattern, 100) == 0);
    }
    EXPECT(gnutls_session_ticket_send(remote.server, 2, 0) == 0); /* on its way */
    tls_remote_adopt(&remote, client);
    EXPECT((tls_peer_protection(&remote.peer)->gcm != NULL) == (gcm_choose() != NULL));
    expect_both_ways(&remote.peer, 30000);
    tls_remote_end(&remote);
}

/* ---- ends ---- */

static void orderly_ends(void)
{
    EACH_KIND(kind)
    {
        struct tls_remote remote;
        uint8_t got[64];

        tls_remote_open(&remote, &kind->settings);
        struct tls_peer *peer = &remote.peer;
        tls_peer_ask(peer, got, sizeof got);
        gnutls_bye(remote.server, GNUTLS_SHUT_WR);
        tls_peer_feed(peer, SIZE_MAX);
        fake_loop_run(peer->loop);
        EXPECT(peer->recv_result == TRANSPORT_END);
        tls_peer_expect_sent(peer, &(struct iovec){ pattern, 1000 }, 1);
        peer->transport->ops->finish(peer->transport);
        EXPECT(tls_peer_hear(peer, got, sizeof got) == 0);
        tls_remote_end(&remote);

        tls_remote_open(&remote, &kind->settings);
        tls_peer_say(peer, pattern, 10);
        gnutls_bye(remote.server, GNUTLS_SHUT_WR);
        tls_peer_feed(peer, SIZE_MAX);
        tls_peer_ask(peer, got, sizeof got);
        fake_loop_run(peer->loop);
        EXPECT(peer->recv_result == -ECONNRESET); /* in the middle of what was asked for */
        tls_remote_end(&remote);
    }
}

static void cut_off(void)
{
    EACH_KIND(kind)
    for (size_t cut = 0; cut < 86; cut += 17) {
        struct tls_remote remote;
        uint8_t got[64];

        tls_remote_open(&remote, &kind->settings);
        struct tls_peer *peer = &remote.peer;
        tls_peer_say(peer, pattern, sizeof got);
        tls_peer_feed(peer, cut);
        EXPECT(tls_peer_ask(peer, got, sizeof got) == TLS_PEER_PENDING);
        fake_loop_run(peer->loop);
        if (peer->recv_result == TRANSPORT_FILLED)
            tls_peer_ask(peer, got, sizeof got);
        fake_socket_end(peer->loop, peer->fd);
        fake_loop_run(peer->loop);
        EXPECT(peer->recv_result == -ECONNRESET);
        tls_remote_end(&remote);
    }
}

static void damaged(void)
{
    EACH_KIND(kind)
    for (size_t at = 0; at < 64 + 21; at += 3) {
        struct tls_remote remote;
        uint8_t got[64];

        tls_remote_open(&remote, &kind->settings);
        struct tls_peer *peer = &remote.peer;
        tls_peer_say(peer, pattern, sizeof got);
        peer->outgoing.data[peer->outgoing.start + at] ^= 0x40;
        tls_peer_feed(peer, SIZE_MAX);
        tls_peer_ask(peer, got, sizeof got);
        fake_loop_run(peer->loop);
        fake_socket_end(peer->loop, peer->fd); /* for a length that promises more */
        fake_loop_run(peer->loop);
        EXPECT(peer->recv_result == -ECONNRESET);
        tls_remote_end(&remote);
    }
}

static void aborted(void)
{
    EACH_KIND(kind)
    {
        struct tls_remote remote;
        uint8_t got[64];

        tls_remote_open(&remote, &kind->settings);
        tls_peer_ask(&remote.peer, got, sizeof got);
        remote.peer.transport->ops->abort(remote.peer.transport);
        fake_loop_run(remote.peer.loop);
        EXPECT(remote.peer.recv_result < 0);
        tls_remote_end(&remote);
    }
}

static void renegotiation_is_refused(void)
{
    struct tls_remote remote;
    uint8_t got[64];

    tls_remote_open(&remote, &kinds[4].settings);
    EXPECT(gnutls_rehandshake(remote.server) == 0);
    tls_peer_feed(&remote.peer, SIZE_MAX);
    tls_peer_ask(&remote.peer, got, sizeof got);
    fake_loop_run(remote.peer.loop);
    EXPECT(remote.peer.recv_result == -ECONNRESET);
    tls_remote_end(&remote);
}

static const struct check checks[] = {
    { "bytes arrive in order whatever their number", bytes_of_any_number },
    { "what GnuTLS had read before is not lost", nothing_is_lost_on_the_way },
    { "tickets between data are passed over", tickets_of_gnutls },
    { "tickets in the channel do no harm", tickets_in_the_channel },
    { "a session that failed in the channel does not go on", failed_in_the_channel },
    { "a ticket may come in pieces", tickets_of_any_form },
    { "many tickets may come in a record", many_tickets_in_a_record },
    { "a ticket may be long", a_long_ticket },
    { "what is no ticket is refused", what_is_no_ticket },
    { "a server that sends nothing but tickets is left", tickets_for_ever },
    { "keys may change in both directions", new_keys },
    { "keys may change before the transport takes over", new_keys_in_the_channel },
    { "close_notify is an end, in both directions", orderly_ends },
    { "what is cut off anywhere is a broken connection", cut_off },
    { "what is damaged anywhere is a broken connection", damaged },
    { "abort ends what is in flight", aborted },
    { "renegotiation is refused", renegotiation_is_refused },
};

int main(int argc, char **argv)
{
    unsigned seed = 5;

    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)rand_r(&seed);
    return CHECKS_RUN(checks, argc, argv);
}
