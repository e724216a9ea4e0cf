/* Records of TLS 1.3 that GnuTLS would never make, from a client that has the right keys: what is
 * refused, with which alert, and what is not.  Only where the server protects records itself. */
#include <errno.h>

#include "crypto/gcm/gcm-choose.h"
#include "server/transport/tls-stream.h"
#include "tests/support/check.h"
#include "tests/support/tls-peer.h"

#define DATA 23
#define HANDSHAKE 22
#define ALERT 21
#define NO_ALERT (-1)

/* The client's end of a session, for records made by hand. */
struct forger {
    struct tls_peer peer;
    struct tls_record_keys keys;
    uint8_t got[40000];
};

static struct tls_protection *protection_of(struct forger *forger)
{
    return tls_peer_protection(&forger->peer);
}

static void forger_open(struct forger *forger)
{
    tls_peer_connect(&forger->peer, NULL);
    EXPECT(protection_of(forger)->gcm != NULL);
    forger->keys = protection_of(forger)->keys->receiving;
}

static void say_inner(struct forger *forger, const uint8_t *inner, size_t inner_bytes)
{
    tls_peer_forge(&forger->peer, &forger->keys, inner, inner_bytes);
}

static void say(struct forger *forger, uint8_t type, const uint8_t *data, size_t count,
                size_t padding)
{
    static uint8_t inner[40000];

    if (count > 0)
        memcpy(inner, data, count);
    inner[count] = type;
    memset(inner + count + 1, 0, padding);
    say_inner(forger, inner, count + 1 + padding);
}

static int ask(struct forger *forger, uint32_t length_bytes)
{
    tls_peer_ask(&forger->peer, forger->got, length_bytes);
    fake_loop_run(forger->peer.loop);
    return forger->peer.recv_result;
}

static void expect_refused(struct forger *forger, int alert)
{
    EXPECT(ask(forger, 64) == -ECONNRESET);
    ssize_t heard = tls_peer_hear(&forger->peer, forger->got, 64);
    EXPECT(alert == NO_ALERT ? heard != GNUTLS_E_FATAL_ALERT_RECEIVED
                             : heard == GNUTLS_E_FATAL_ALERT_RECEIVED);
    EXPECT(alert == NO_ALERT || (int)gnutls_alert_get(forger->peer.other) == alert);
    EXPECT(ask(forger, 1) == -ECONNRESET); /* and so it stays */
    tls_peer_close(&forger->peer);
}

/* ---- what is refused ---- */

static const struct bad_record {
    const char *what;
    uint8_t type;
    uint8_t count, content[12];
    int alert;
} bad_records[] = {
    { "change of cipher", 20, 1, { 1 }, GNUTLS_A_UNEXPECTED_MESSAGE },
    { "heartbeat", 24, 3, { 1, 0, 0 }, GNUTLS_A_UNEXPECTED_MESSAGE },
    { "no such type", 255, 1, { 1 }, GNUTLS_A_UNEXPECTED_MESSAGE },
    { "empty handshake", HANDSHAKE, 0, { 0 }, GNUTLS_A_UNEXPECTED_MESSAGE },
    { "ClientHello", HANDSHAKE, 6, { 1, 0, 0, 2, 3, 3 }, GNUTLS_A_UNEXPECTED_MESSAGE },
    { "NewSessionTicket", HANDSHAKE, 5, { 4, 0, 0, 1, 0 }, GNUTLS_A_UNEXPECTED_MESSAGE },
    { "Finished", HANDSHAKE, 5, { 20, 0, 0, 1, 0 }, GNUTLS_A_UNEXPECTED_MESSAGE },
    { "longer KeyUpdate", HANDSHAKE, 5, { 24, 0, 0, 2, 0 }, GNUTLS_A_DECODE_ERROR },
    { "empty KeyUpdate", HANDSHAKE, 4, { 24, 0, 0, 0 }, GNUTLS_A_DECODE_ERROR },
    { "very long KeyUpdate", HANDSHAKE, 4, { 24, 255, 255, 255 }, GNUTLS_A_DECODE_ERROR },
    { "KeyUpdate of no sort", HANDSHAKE, 5, { 24, 0, 0, 1, 2 }, GNUTLS_A_ILLEGAL_PARAMETER },
    { "KeyUpdate and more", HANDSHAKE, 6, { 24, 0, 0, 1, 0, 24 }, GNUTLS_A_UNEXPECTED_MESSAGE },
    { "two KeyUpdates",
      HANDSHAKE,
      10,
      { 24, 0, 0, 1, 0, 24, 0, 0, 1, 0 },
      GNUTLS_A_UNEXPECTED_MESSAGE },
    { "empty alert", ALERT, 0, { 0 }, GNUTLS_A_DECODE_ERROR },
    { "half an alert", ALERT, 1, { 1 }, GNUTLS_A_DECODE_ERROR },
    { "alert and more", ALERT, 3, { 1, 0, 0 }, GNUTLS_A_DECODE_ERROR },
    { "fatal alert", ALERT, 2, { 2, GNUTLS_A_INTERNAL_ERROR }, NO_ALERT },
    { "warning that is none", ALERT, 2, { 1, GNUTLS_A_BAD_CERTIFICATE }, NO_ALERT },
};

static void bad_contents(void)
{
    static struct forger forger;

    for (size_t i = 0; i < sizeof bad_records / sizeof bad_records[0]; i++) {
        const struct bad_record *bad = &bad_records[i];

        forger_open(&forger);
        say(&forger, DATA, (const uint8_t *)"good", 4, 0);
        EXPECT(ask(&forger, 4) == TRANSPORT_FILLED && memcmp(forger.got, "good", 4) == 0);
        say(&forger, bad->type, bad->content, bad->count, i % 2);
        printf("(%s) ", bad->what);
        fflush(stdout);
        expect_refused(&forger, bad->alert);
    }
}

static void only_padding(void)
{
    static const size_t lengths_bytes[] = { 1, 2, 100, 16385 };
    static const uint8_t zeros[16385];
    static struct forger forger;

    for (size_t i = 0; i < sizeof lengths_bytes / sizeof lengths_bytes[0]; i++) {
        forger_open(&forger);
        say_inner(&forger, zeros, lengths_bytes[i]);
        expect_refused(&forger, GNUTLS_A_UNEXPECTED_MESSAGE);
    }
    forger_open(&forger); /* not even a type */
    say_inner(&forger, zeros, 0);
    expect_refused(&forger, GNUTLS_A_BAD_RECORD_MAC);
}

/* RFC 8446, 5.2: 2^14 of content and its type, padding included; 2^14 + 256 once encrypted. */
static void too_long(void)
{
    static uint8_t data[17000];
    static struct forger forger;

    forger_open(&forger);
    say(&forger, DATA, data, 16384, 0);
    EXPECT(ask(&forger, 16384) == TRANSPORT_FILLED);
    say(&forger, DATA, data, 16384, 1);
    expect_refused(&forger, GNUTLS_A_RECORD_OVERFLOW);
    forger_open(&forger);
    say(&forger, DATA, data, 16385, 0);
    expect_refused(&forger, GNUTLS_A_RECORD_OVERFLOW);
    forger_open(&forger);
    say(&forger, DATA, data, 16384 + 256, 0);
    expect_refused(&forger, GNUTLS_A_RECORD_OVERFLOW);
}

/* In the clear, each before a byte of its content has come. */
static void not_protected(void)
{
    static const uint8_t types[] = { 0, 20, ALERT, HANDSHAKE, 24, 'G' };
    static struct forger forger;

    for (size_t i = 0; i < sizeof types; i++) {
        forger_open(&forger);
        fake_socket_feed(forger.peer.loop, forger.peer.fd, &types[i], 1);
        expect_refused(&forger, GNUTLS_A_UNEXPECTED_MESSAGE);
    }
}

static void said_again(void)
{
    static struct forger forger;

    forger_open(&forger);
    say(&forger, DATA, (const uint8_t *)"once", 4, 0);
    EXPECT(ask(&forger, 4) == TRANSPORT_FILLED);
    forger.keys.sequence--;
    say(&forger, DATA, (const uint8_t *)"once", 4, 0);
    expect_refused(&forger, GNUTLS_A_BAD_RECORD_MAC);
}

static void out_of_order(void)
{
    static struct forger forger;

    forger_open(&forger);
    forger.keys.sequence++;
    say(&forger, DATA, (const uint8_t *)"second", 6, 0);
    forger.keys.sequence -= 2;
    say(&forger, DATA, (const uint8_t *)"first", 5, 0);
    expect_refused(&forger, GNUTLS_A_BAD_RECORD_MAC);
    forger_open(&forger); /* the first of two was cut out */
    forger.keys.sequence++;
    say(&forger, DATA, (const uint8_t *)"second", 6, 0);
    expect_refused(&forger, GNUTLS_A_BAD_RECORD_MAC);
}

static void something_in_between(void)
{
    static const uint8_t piece[] = { 24, 0, 0 };
    static const uint8_t warning[] = { 1, GNUTLS_A_USER_CANCELED };
    static struct forger forger;

    forger_open(&forger);
    say(&forger, HANDSHAKE, piece, sizeof piece, 0);
    say(&forger, DATA, (const uint8_t *)"data", 4, 0);
    expect_refused(&forger, GNUTLS_A_UNEXPECTED_MESSAGE);
    forger_open(&forger);
    say(&forger, HANDSHAKE, piece, sizeof piece, 0);
    say(&forger, ALERT, warning, sizeof warning, 0);
    expect_refused(&forger, GNUTLS_A_UNEXPECTED_MESSAGE);
}

/* What costs the server more than it brings the client. */
static void nothing_for_ever(void)
{
    static const uint8_t update[] = { 24, 0, 0, 1, 0 };
    static struct forger forger;

    forger_open(&forger);
    for (int i = 0; i < 40; i++)
        say(&forger, DATA, NULL, 0, 0);
    expect_refused(&forger, GNUTLS_A_INTERNAL_ERROR);
    forger_open(&forger);
    for (int i = 0; i < 20; i++) { /* more than the limits of two seconds */
        say(&forger, HANDSHAKE, update, sizeof update, 0);
        EXPECT(tls_record_keys_update(&forger.keys, protection_of(&forger)->gcm));
        say(&forger, DATA, (const uint8_t *)"x", 1, 0);
    }
    expect_refused(&forger, GNUTLS_A_INTERNAL_ERROR);
}

/* ---- what is not ---- */

static void padding_and_nothing(void)
{
    static const uint8_t warning[] = { 1, GNUTLS_A_USER_CANCELED };
    static const size_t paddings[] = { 0, 1, 15, 16, 255, 12000 };
    static struct forger forger;

    forger_open(&forger);
    for (size_t i = 0; i < sizeof paddings / sizeof paddings[0]; i++) {
        say(&forger, DATA, NULL, 0, paddings[i]);
        say(&forger, ALERT, warning, 2, paddings[i]);
        say(&forger, DATA, (const uint8_t *)"ab\0cd", 5, paddings[i]);
        EXPECT(ask(&forger, 2) == TRANSPORT_FILLED && memcmp(forger.got, "ab", 2) == 0);
        EXPECT(ask(&forger, 3) == TRANSPORT_FILLED && memcmp(forger.got, "\0cd", 3) == 0);
        /* And where there is room for the whole record. */
        say(&forger, DATA, (const uint8_t *)"ab\0cd", 5, paddings[i]);
        EXPECT(ask(&forger, 20000) == TLS_PEER_PENDING);
        static uint8_t rest[19995];
        for (size_t done = 0; done < sizeof rest; done += sizeof rest / 3)
            say(&forger, DATA, rest, sizeof rest / 3, 0);
        fake_loop_run(forger.peer.loop);
        EXPECT(forger.peer.recv_result == TRANSPORT_FILLED && memcmp(forger.got, "ab\0cd", 6) == 0);
    }
    tls_peer_close(&forger.peer);
}

static void new_keys_in_pieces(void)
{
    static const uint8_t update[] = { 24, 0, 0, 1, 1 };
    static struct forger forger;

    forger_open(&forger);
    for (size_t i = 0; i < sizeof update; i++)
        say(&forger, HANDSHAKE, update + i, 1, i);
    EXPECT(tls_record_keys_update(&forger.keys, protection_of(&forger)->gcm));
    say(&forger, DATA, (const uint8_t *)"after", 5, 0);
    EXPECT(ask(&forger, 5) == TRANSPORT_FILLED && memcmp(forger.got, "after", 5) == 0);
    EXPECT(protection_of(&forger)->update_due); /* it was asked for */
    tls_peer_expect_sent(&forger.peer, &(struct iovec){ forger.got, 30000 }, 1);
    EXPECT(!protection_of(&forger)->update_due);
    tls_peer_close(&forger.peer);
}

/* However many are asked for before the next send: a client that never reads makes no work. */
static void one_answer_to_many_updates(void)
{
    static const uint8_t update[] = { 24, 0, 0, 1, 1 };
    static struct forger forger;
    struct tls_record_keys expected;

    forger_open(&forger);
    expected = protection_of(&forger)->keys->sending;
    for (int i = 0; i < 4; i++) {
        say(&forger, HANDSHAKE, update, sizeof update, 0);
        EXPECT(tls_record_keys_update(&forger.keys, protection_of(&forger)->gcm));
        say(&forger, DATA, (const uint8_t *)"x", 1, 0);
        EXPECT(ask(&forger, 1) == TRANSPORT_FILLED);
        EXPECT(fake_socket_ready(forger.peer.loop, forger.peer.fd) == 0); /* nothing was said */
    }
    tls_peer_expect_sent(&forger.peer, &(struct iovec){ forger.got, 100 }, 1);
    EXPECT(tls_record_keys_update(&expected, protection_of(&forger)->gcm));
    EXPECT(memcmp(expected.secret, protection_of(&forger)->keys->sending.secret,
                  expected.secret_bytes) == 0);
    EXPECT(protection_of(&forger)->keys->sending.sequence == 1);
    tls_peer_close(&forger.peer);
}

/* RFC 8446, 5.5. */
static void our_own_new_keys(void)
{
    static struct forger forger;
    uint8_t before[TLS_SECRET_BYTES_MAX];

    forger_open(&forger);
    for (int i = 0; i < 3; i++) {
        protection_of(&forger)->records_left = 2;
        memcpy(before, protection_of(&forger)->keys->sending.secret, sizeof before);
        tls_peer_expect_sent(&forger.peer, &(struct iovec){ forger.got, 40000 }, 1);
        EXPECT(memcmp(before, protection_of(&forger)->keys->sending.secret, sizeof before) != 0);
        EXPECT(protection_of(&forger)->records_left == TLS_RECORDS_PER_KEY - 1);
        EXPECT(protection_of(&forger)->keys->sending.sequence == 1);
    }
    tls_peer_close(&forger.peer);
}

/* ---- the trace of RFC 8448, section 3: the client's application data ---- */

static void trace_of_rfc_8448(void)
{
    static const uint8_t secret[32] = {
        0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8,
        0x88, 0x9b, 0xce, 0x65, 0x52, 0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf,
        0x00, 0x87, 0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5,
    };
    static const uint8_t iv[GCM_NONCE_BYTES] = { 0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08,
                                                 0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9 };
    static const uint8_t record[] = {
        0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa,
        0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc,
        0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20,
        0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd,
        0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4,
    };
    static struct tls_record_keys keys = { .secret_bytes = 32,
                                           .key_bytes = 16,
                                           .hash = GNUTLS_MAC_SHA256 };
    uint8_t nonce[GCM_NONCE_BYTES], inner[51];

    memcpy(keys.secret, secret, sizeof secret);
    EXPECT(tls_record_keys_make(&keys, gcm_choose()));
    EXPECT(memcmp(keys.iv, iv, sizeof iv) == 0);
    tls_record_keys_nonce(&keys, nonce);
    EXPECT(gcm_open(&keys.gcm, &(struct gcm_text){ nonce, record, 5, record + 5, sizeof inner,
                                                   GCM_NO_TRAILER, inner }));
    for (uint8_t i = 0; i < 50; i++)
        EXPECT(inner[i] == i);
    EXPECT(inner[50] == DATA);
}

static const struct check checks[] = {
    { "the client's record in RFC 8448 can be opened", trace_of_rfc_8448 },
    { "a record with the wrong content is refused", bad_contents },
    { "a record of nothing but padding is refused", only_padding },
    { "a record that is too long is refused", too_long },
    { "a record in the clear is refused by its first byte", not_protected },
    { "a record that is said again is refused", said_again },
    { "records out of order are refused", out_of_order },
    { "nothing comes between the pieces of a KeyUpdate", something_in_between },
    { "a client that says nothing all the time is dropped", nothing_for_ever },
    { "padding, empty records and user_canceled are passed over", padding_and_nothing },
    { "a KeyUpdate may come in pieces, and is answered", new_keys_in_pieces },
    { "any number of KeyUpdates is answered by one", one_answer_to_many_updates },
    { "the server changes its keys when they have served long enough", our_own_new_keys },
};

int main(int argc, char **argv)
{
    if (gcm_choose() == NULL) {
        printf("skipped: this processor has no VAES, so GnuTLS does the records\n");
        return 77;
    }
    return CHECKS_RUN(checks, argc, argv);
}
