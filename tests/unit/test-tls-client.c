/* A client's handshake with a server of GnuTLS through a channel: who is accepted, who is not and
 * with which sentence, and that neither a deadline nor a wish to stop waits for a server. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/tls-remote.h"

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS12_PSK TLS12 ":-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK"

static struct tls_client_settings by_certificate(const char *folder, const char *host)
{
    return (struct tls_client_settings){ .certificates = tls_remote_path(folder), .host = host };
}

static struct tls_client_settings by_psk(const char *file, const char *user)
{
    return (struct tls_client_settings){ .psk_file = tls_remote_path(file), .user = user };
}

/* ---- what is accepted ---- */

static void expect_echo(struct channel *channel, size_t length_bytes)
{
    static uint8_t sent[100000], got[100000];
    struct error err;

    for (size_t i = 0; i < length_bytes; i++)
        sent[i] = (uint8_t)(i * 7 + length_bytes);
    int result = channel_send(channel, sent, length_bytes, &err);
    if (result < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    EXPECT(channel_receive(channel, got, length_bytes / 2, &err) == 0);
    EXPECT(channel_receive(channel, got + length_bytes / 2, length_bytes - length_bytes / 2,
                           &err) == 0);
    EXPECT(memcmp(sent, got, length_bytes) == 0);
}

static void expect_accepted(const struct tls_remote_settings *remote_settings,
                            const struct tls_client_settings *settings)
{
    struct tls_remote_settings echoing = *remote_settings;
    struct tls_client *client;
    struct tls_remote remote;
    struct error err;

    echoing.echo = true;
    tls_remote_start(&remote, &echoing);
    if (tls_client_handshake(&client, &remote.channel, settings, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    expect_echo(&remote.channel, 1);
    expect_echo(&remote.channel, 1000);
    expect_echo(&remote.channel, 100000);
    EXPECT(tls_client_is_between_records(client));
    tls_client_free(client);
    tls_remote_join(&remote); /* by the close_notify of tls_client_free() */
    EXPECT(remote.server_result == 0);
    tls_remote_close(&remote);
}

static void hosts_are_accepted(void)
{
    static const char *const hosts[] = { "localhost", "LocalHost", "a.disks.test",
                                         "127.0.0.1", "::1",       "0:0::1" };

    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct tls_client_settings settings = by_certificate("plain", hosts[i]);

        expect_accepted(&(struct tls_remote_settings){ 0 }, &settings);
        expect_accepted(&(struct tls_remote_settings){ .priority = TLS12 }, &settings);
    }
}

static void clients_may_have_certificates(void)
{
    static const char *const priorities[] = { NULL, TLS12 };

    for (size_t i = 0; i < 2; i++) {
        struct tls_client_settings own = by_certificate("own", "localhost");
        struct tls_client_settings none = by_certificate("plain", "localhost");
        struct tls_remote_settings remote = { .priority = priorities[i], .demand = true };

        expect_accepted(&remote, &own);
        remote = (struct tls_remote_settings){ .priority = priorities[i], .ask = true };
        expect_accepted(&remote, &none);
        remote.ask = false; /* it is not asked for */
        expect_accepted(&remote, &own);
    }
}

static void keys_are_accepted(void)
{
    static const char *const priorities[] = {
        NULL,
        TLS12_PSK,
        TLS12 ":-KX-ALL:+DHE-PSK",
        TLS12 ":-KX-ALL:+PSK",
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+PSK",
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK",
    };
    struct tls_client_settings settings = by_psk("psk", "alice");

    for (size_t i = 0; i < sizeof priorities / sizeof priorities[0]; i++)
        expect_accepted(&(struct tls_remote_settings){ .psk = true, .priority = priorities[i] },
                        &settings);
    settings.user = NULL;
    EXPECT(setenv("LOGNAME", "alice", 1) == 0);
    expect_accepted(&(struct tls_remote_settings){ .psk = true }, &settings);
}

static void pieces_of_any_size(void)
{
    static const size_t pieces[] = { 1, 2, 5, 6, 100 };

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct tls_client_settings settings = by_certificate("plain", "localhost");

        expect_accepted(&(struct tls_remote_settings){ .piece_bytes = pieces[i] }, &settings);
    }
}

/* ---- what is refused ---- */

static void expect_message(const char *text, const char *part)
{
    if (strstr(text, part) != NULL)
        return;
    fprintf(stderr, "got '%s', expected '%s' in it\n", text, part);
    abort();
}

/* In the handshake, or with the first thing that is received after it: with TLS 1.3 a server
 * refuses a client when that believes to be done. */
static void expect_refused(const struct tls_remote_settings *remote_settings,
                           const struct tls_client_settings *settings, int code,
                           const char *sentence)
{
    struct tls_client *client = NULL;
    struct tls_remote remote;
    struct error err;
    uint8_t byte;

    tls_remote_start(&remote, remote_settings);
    int result = tls_client_handshake(&client, &remote.channel, settings, &err);
    EXPECT((result == 0) == (client != NULL) &&
           (remote.channel.protection != NULL) == (result == 0));
    if (result == 0)
        result = channel_receive(&remote.channel, &byte, 1, &err);
    expect_message(err.text, sentence);
    EXPECT(result == code);
    tls_client_free(client);
    tls_remote_close(&remote);
}

static const struct bad_server {
    const char *certificate, *folder, *host, *sentence;
} bad_servers[] = {
    { REMOTE_EXPIRED, "plain", "localhost", "its certificate CN=remote expired on 20" },
    { REMOTE_STRANGER, "plain", "localhost",
      "its certificate CN=remote was not issued by the CA in ca-cert.pem" },
    { REMOTE_OTHER_HOST, "plain", "localhost",
      "its certificate CN=remote names elsewhere.test, 192.0.2.7, not localhost: connect by" },
    { REMOTE_GOOD, "plain", "disks.test",
      "names localhost, *.disks.test, 127.0.0.1, ::1, not disks.test" },
    { REMOTE_GOOD, "plain", "a.b.disks.test", "not a.b.disks.test" },
    { REMOTE_GOOD, "plain", "127.0.0.2", "not 127.0.0.2" },
    { REMOTE_GOOD, "plain", "::2", "not ::2" },
    { REMOTE_GOOD, "plain", "localhost.", "not localhost." },
    { REMOTE_FOR_CLIENTS, "plain", "localhost",
      "its certificate CN=remote is not for TLS servers" },
    { REMOTE_GOOD, "revoked", "localhost", "its certificate CN=remote was revoked (ca-crl.pem)" },
};

static void servers_are_refused(void)
{
    static const char *const priorities[] = { NULL, TLS12 };

    for (size_t i = 0; i < sizeof bad_servers / sizeof bad_servers[0]; i++)
        for (size_t k = 0; k < 2; k++) {
            const struct bad_server *bad = &bad_servers[i];
            struct tls_client_settings settings = by_certificate(bad->folder, bad->host);

            expect_refused(&(struct tls_remote_settings){ .certificate = bad->certificate,
                                                          .priority = priorities[k] },
                           &settings, -EPROTO, bad->sentence);
        }
}

static void clients_are_refused(void)
{
    struct tls_client_settings none = by_certificate("plain", "localhost");
    struct tls_client_settings foreign = by_certificate("foreign", "localhost");
    struct tls_client_settings alice = by_psk("psk", "alice"), bob = by_psk("psk", "bob");
    struct tls_client_settings wrong = by_psk("psk-wrong", "alice");

    expect_refused(
        &(struct tls_remote_settings){ .demand = true }, &none, -EPROTO,
        "the server ended it with the alert \"Certificate is required\": it wants one of its "
        "clients: put client-cert.pem and client-key.pem beside ca-cert.pem");
    expect_refused(&(struct tls_remote_settings){ .demand = true, .priority = TLS12 }, &none,
                   -EPROTO, "the server ended it with the alert");
    expect_refused(&(struct tls_remote_settings){ .demand = true }, &foreign, -EPROTO,
                   "it does not accept client-cert.pem");
    expect_refused(&(struct tls_remote_settings){ .psk = true }, &bob, -EPROTO, "identity 'bob'");
    expect_refused(&(struct tls_remote_settings){ .psk = true }, &wrong, -EPROTO,
                   "identity 'alice'");
    expect_refused(&(struct tls_remote_settings){ .psk = true, .priority = TLS12_PSK }, &bob,
                   -EPROTO, "identity 'bob'");
    expect_refused(&(struct tls_remote_settings){ .psk = true, .priority = TLS12_PSK }, &wrong,
                   -EPROTO, "identity 'alice'");
    expect_refused(&(struct tls_remote_settings){ .psk = true }, &none, -EPROTO, "");
    expect_refused(&(struct tls_remote_settings){ 0 }, &alice, -EPROTO, "identity 'alice'");
    expect_refused(&(struct tls_remote_settings){ .priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1" },
                   &none, -EPROTO, "version");
}

/* Nothing is sent for these. */
static void settings_are_refused(void)
{
    struct bad_settings {
        struct tls_client_settings settings;
        int code;
        const char *sentence;
    } bad[] = {
        { { 0 }, -EINVAL, "either a folder of certificates or a file of pre-shared keys" },
        { by_certificate("plain", NULL), -EINVAL, "there is no host name" },
        { by_certificate("plain", ""), -EINVAL, "there is no host name" },
        { by_certificate("half", "localhost"), -ENOENT,
          "client-cert.pem is there, but client-key.pem is not: a client has both or none" },
        { by_certificate("nowhere", "localhost"), -ENOENT, "nowhere/ca-cert.pem" },
        { by_psk("nowhere", "alice"), -ENOENT, "nowhere" },
        { by_psk("psk", "carol"), -EINVAL, "psk: there is no key of the user 'carol' in it" },
        { by_psk("plain/ca-cert.pem", "alice"), -EINVAL, "line 1" },
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct channel channel = { .fd = -1 };
        struct tls_client *client;
        struct error err;

        EXPECT(tls_client_handshake(&client, &channel, &bad[i].settings, &err) == bad[i].code);
        expect_message(err.text, bad[i].sentence);
        EXPECT(channel.protection == NULL);
    }
}

/* ---- servers that do not play along ---- */

/* What comes instead of a ServerHello. */
static int shake_hands_with(const char *text, bool closed, struct error *err)
{
    struct tls_client_settings settings = by_certificate("plain", "localhost");
    struct tls_client *client = NULL;
    int fds[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    struct channel channel = { .fd = fds[0], .end_ms = channel_clock_ms() + 300 };
    EXPECT(send(fds[1], text, strlen(text), 0) == (ssize_t)strlen(text));
    if (closed)
        close(fds[1]);
    int result = tls_client_handshake(&client, &channel, &settings, err);
    EXPECT(client == NULL && channel.protection == NULL);
    if (!closed)
        close(fds[1]);
    close(fds[0]);
    return result;
}

static void what_is_no_tls(void)
{
    struct error err;

    EXPECT(shake_hands_with("HTTP/1.1 400 Bad Request\r\n\r\n", false, &err) == -EPROTO);
    expect_message(err.text, "TLS with the server failed: it ");
    expect_message(err.text, "TLS");
    EXPECT(shake_hands_with("NBDMAGICIHAVEOPT\0", false, &err) == -EPROTO);
    EXPECT(shake_hands_with("", true, &err) < 0);
    EXPECT(err.text[0] != '\0');
}

static void deadlines_hold(void)
{
    uint64_t begin_ms = channel_clock_ms();
    struct error err;

    EXPECT(shake_hands_with("", false, &err) == -ETIMEDOUT);
    expect_message(err.text, "TLS: the server does not answer");
    EXPECT(shake_hands_with("\x16\x03\x03", false, &err) == -ETIMEDOUT); /* half a header */
    EXPECT(channel_clock_ms() - begin_ms < 10000);
}

static void *stop_soon(void *argument)
{
    poll(NULL, 0, 100);
    atomic_store((atomic_bool *)argument, true);
    return NULL;
}

static void a_wish_to_stop_ends_it(void)
{
    struct tls_client_settings settings = by_psk("psk", "alice");
    uint64_t begin_ms = channel_clock_ms();
    struct tls_client *client = NULL;
    atomic_bool stop = false;
    pthread_t thread;
    struct error err;
    int fds[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    struct channel channel = { .fd = fds[0], .end_ms = begin_ms + 60000, .stop = &stop };
    EXPECT(pthread_create(&thread, NULL, stop_soon, &stop) == 0);
    EXPECT(tls_client_handshake(&client, &channel, &settings, &err) == -ECANCELED);
    EXPECT(channel_clock_ms() - begin_ms < 10000);
    pthread_join(thread, NULL);
    close(fds[0]);
    close(fds[1]);
}

/* The server goes after each number of its bytes. */
static void cut_at_every_byte(void)
{
    static const bool psk[] = { false, true };

    for (size_t i = 0; i < 2; i++)
        for (size_t cut = 1; cut < 5000; cut += cut < 300 ? (i == 0 ? 7 : 3) : 61) {
            struct tls_client_settings settings =
                psk[i] ? by_psk("psk", "alice") : by_certificate("plain", "localhost");
            struct tls_client *client = NULL;
            struct tls_remote remote;
            struct error err = { .text = "" };
            uint8_t byte;

            tls_remote_start(&remote,
                             &(struct tls_remote_settings){ .psk = psk[i], .cut_bytes = cut });
            int result = tls_client_handshake(&client, &remote.channel, &settings, &err);
            bool whole = result == 0;
            if (whole)
                result = channel_receive(&remote.channel, &byte, 1, &err);
            EXPECT(result < 0 && err.text[0] != '\0');
            tls_client_free(client);
            tls_remote_close(&remote);
            if (whole)
                break;
        }
}

/* ---- what goes through the channel afterwards ---- */

static void a_server_that_vanishes(void)
{
    struct tls_remote remote;
    struct error err;
    uint8_t byte;

    for (int i = 0; i < 2; i++) {
        tls_remote_start(&remote, &(struct tls_remote_settings){ .psk = true });
        struct tls_client *client = tls_remote_connect(&remote);
        tls_remote_join(&remote);
        if (i == 1)
            gnutls_bye(remote.server, GNUTLS_SHUT_WR);
        shutdown(remote.server_fd, SHUT_RDWR);
        EXPECT(channel_receive(&remote.channel, &byte, 1, &err) == -ECONNRESET);
        expect_message(err.text,
                       i == 1 ? "the server closed the connection" : "without close_notify");
        tls_client_free(client);
        tls_remote_close(&remote);
    }
}

static const struct check checks[] = {
    { "a server is accepted whose certificate names the host or address", hosts_are_accepted },
    { "a client may have a certificate, and needs one if the server says so",
      clients_may_have_certificates },
    { "a pre-shared key is enough, of the login if no user is named", keys_are_accepted },
    { "a handshake succeeds whatever the size of the pieces", pieces_of_any_size },
    { "a server whose certificate is not right is refused with the reason", servers_are_refused },
    { "a client that the server refuses is told why", clients_are_refused },
    { "settings and files that are not right are refused", settings_are_refused },
    { "what is no TLS is said to be none", what_is_no_tls },
    { "a server that says nothing is given up at the deadline", deadlines_hold },
    { "a wish to stop ends a handshake", a_wish_to_stop_ends_it },
    { "a handshake that is cut off anywhere fails with a reason", cut_at_every_byte },
    { "an end without close_notify is not taken for one", a_server_that_vanishes },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
