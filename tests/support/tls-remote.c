#include "tests/support/tls-remote.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/pki/pki.h"
#include "server/client/transport-tls-adopt.h"
#include "tests/support/check.h"

#define PATH_BYTES 200
#define PATHS_MAX 32
#define DEADLINE_MS 60000u
#define ALICE "alice:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
#define BOB "bob:ffeeddccbbaa99887766554433221100\n"
#define NOT_ALICE "alice:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
#define PRIORITY_PSK "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK"

/* ---- files ---- */

static char root[] = "/tmp/nbdcrypt-test-tls.XXXXXX";

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_files(void)
{
    nftw(root, remove_one, 4, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *folder, const char *name, const void *data, size_t length_bytes)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", root, folder);
    EXPECT(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    EXPECT(fd >= 0 && write(fd, data, length_bytes) == (ssize_t)length_bytes);
    close(fd);
}

static void write_secret(const char *folder, const char *name, const struct secret *data)
{
    write_file(folder, name, data->data, data->length_bytes);
}

static void certify(const struct pki_authority *authority, const char *folder, const char *name,
                    const struct pki_request *request)
{
    struct pki_pair pair = { 0 };
    char file[40];
    struct error err;

    EXPECT(pki_certify(&pair, authority, request, &err) == 0);
    snprintf(file, sizeof file, "%s-cert.pem", name);
    write_secret(folder, file, pair.certificate);
    snprintf(file, sizeof file, "%s-key.pem", name);
    if (strcmp(folder, "half") != 0)
        write_secret(folder, file, pair.key);
    if (strcmp(name, REMOTE_GOOD) == 0) {
        const struct secret *const revoked[] = { pair.certificate };
        struct secret *list;
        size_t added;

        EXPECT(pki_revoke(&list, authority, NULL, revoked, 1, &added, &err) == 0);
        write_secret("revoked", "ca-crl.pem", list);
        secret_free(list);
    }
    pki_pair_free(&pair);
}

static void certify_all(const struct pki_authority *ours, const struct pki_authority *theirs)
{
    static const char *const hosts[] = { "localhost", "*.disks.test", "127.0.0.1", "::1" };
    static const char *const elsewhere[] = { "elsewhere.test", "192.0.2.7" };
    struct pki_request request = { .common_name = "remote",
                                   .server = true,
                                   .hosts = hosts,
                                   .host_count = 4,
                                   .end = time(NULL) + 5000000 };

    certify(ours, "server", REMOTE_GOOD, &request);
    certify(theirs, "server", REMOTE_STRANGER, &request);
    request.end = time(NULL) - 3600;
    certify(ours, "server", REMOTE_EXPIRED, &request);
    request.end = time(NULL) + 5000000;
    request.server = false;
    certify(ours, "server", REMOTE_FOR_CLIENTS, &request);
    certify(ours, "own", "client", &request);
    certify(ours, "half", "client", &request);
    certify(theirs, "foreign", "client", &request);
    request.server = true;
    request.hosts = elsewhere;
    request.host_count = 2;
    certify(ours, "server", REMOTE_OTHER_HOST, &request);
}

static void make_files(void)
{
    static const char *const folders[] = { "server", "plain", "own", "half", "foreign", "revoked" };
    struct pki_authority *ours, *theirs;
    struct pki_pair pair = { 0 };
    struct error err;

    EXPECT(mkdtemp(root) != NULL);
    atexit(remove_files);
    EXPECT(pki_authority_create(&ours, 100, &err) == 0 &&
           pki_authority_create(&theirs, 100, &err) == 0);
    EXPECT(pki_authority_export(&pair, ours, &err) == 0);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        write_secret(folders[i], "ca-cert.pem", pair.certificate);
    pki_pair_free(&pair);
    certify_all(ours, theirs);
    pki_authority_free(ours);
    pki_authority_free(theirs);
    write_file(".", "psk", ALICE BOB, strlen(ALICE BOB));
    write_file(".", "psk-server", ALICE, strlen(ALICE));
    write_file(".", "psk-wrong", NOT_ALICE, strlen(NOT_ALICE));
}

const char *tls_remote_path(const char *name)
{
    static char paths[PATHS_MAX][PATH_BYTES];
    char path[PATH_BYTES];
    unsigned at = 0;

    if (strstr(root, "XXXXXX") != NULL)
        make_files();
    snprintf(path, PATH_BYTES, "%s/%s", root, name);
    while (paths[at][0] != '\0' && strcmp(paths[at], path) != 0)
        EXPECT(++at < PATHS_MAX);
    memcpy(paths[at], path, sizeof path);
    return paths[at];
}

/* ---- the server ---- */

static ssize_t server_push(gnutls_transport_ptr_t context, const void *data, size_t length_bytes)
{
    struct tls_remote *remote = context;
    size_t piece_bytes = remote->settings.piece_bytes, cut_bytes = remote->settings.cut_bytes;

    if (piece_bytes > 0 && length_bytes > piece_bytes)
        length_bytes = piece_bytes;
    if (cut_bytes > 0 && length_bytes > cut_bytes - remote->sent_bytes)
        length_bytes = cut_bytes - remote->sent_bytes;
    ssize_t count =
        length_bytes > 0 ? send(remote->server_fd, data, length_bytes, MSG_NOSIGNAL) : -1;
    remote->sent_bytes += count > 0 ? (size_t)count : 0;
    return count;
}

static ssize_t server_pull(gnutls_transport_ptr_t context, void *data, size_t length_bytes)
{
    struct tls_remote *remote = context;

    return recv(remote->server_fd, data, length_bytes, 0);
}

static void echo(struct tls_remote *remote)
{
    static _Thread_local uint8_t data[20000];
    ssize_t count;

    while ((count = gnutls_record_recv(remote->server, data, sizeof data)) > 0 ||
           count == GNUTLS_E_AGAIN || count == GNUTLS_E_INTERRUPTED) {
        for (ssize_t sent = 0, now; sent < count; sent += now) {
            now = gnutls_record_send(remote->server, data + sent, (size_t)(count - sent));
            if (now < 0)
                return;
        }
    }
    if (count == 0)
        gnutls_bye(remote->server, GNUTLS_SHUT_WR);
}

static void *serve(void *argument)
{
    struct tls_remote *remote = argument;
    int result;

    do
        result = gnutls_handshake(remote->server);
    while (result < 0 && !gnutls_error_is_fatal(result));
    remote->server_result = result;
    if (result < 0)
        gnutls_alert_send_appropriate(remote->server, result);
    else if (remote->settings.echo)
        echo(remote);
    if (result < 0 || remote->settings.echo || remote->settings.cut_bytes > 0)
        shutdown(remote->server_fd, SHUT_RDWR);
    return NULL;
}

static void set_credentials(struct tls_remote *remote)
{
    const struct tls_remote_settings *settings = &remote->settings;
    const char *name = settings->certificate != NULL ? settings->certificate : REMOTE_GOOD;
    char certificate[PATH_BYTES], key[PATH_BYTES];

    if (settings->psk) {
        EXPECT(gnutls_psk_allocate_server_credentials(&remote->psk) == 0);
        EXPECT(gnutls_psk_set_server_credentials_file(remote->psk, tls_remote_path("psk-server")) ==
               0);
        EXPECT(gnutls_psk_set_server_known_dh_params(remote->psk, GNUTLS_SEC_PARAM_MEDIUM) == 0);
        EXPECT(gnutls_credentials_set(remote->server, GNUTLS_CRD_PSK, remote->psk) == 0);
        return;
    }
    EXPECT(gnutls_certificate_allocate_credentials(&remote->certificates) == 0);
    snprintf(certificate, sizeof certificate, "%s/%s-cert.pem", tls_remote_path("server"), name);
    snprintf(key, sizeof key, "%s/%s-key.pem", tls_remote_path("server"), name);
    EXPECT(gnutls_certificate_set_x509_key_file(remote->certificates, certificate, key,
                                                GNUTLS_X509_FMT_PEM) == 0);
    EXPECT(gnutls_certificate_set_x509_trust_file(remote->certificates,
                                                  tls_remote_path("server/ca-cert.pem"),
                                                  GNUTLS_X509_FMT_PEM) == 1);
    EXPECT(gnutls_credentials_set(remote->server, GNUTLS_CRD_CERTIFICATE, remote->certificates) ==
           0);
    if (settings->ask)
        gnutls_certificate_server_set_request(remote->server, GNUTLS_CERT_REQUEST);
    if (settings->demand) {
        gnutls_certificate_server_set_request(remote->server, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(remote->server, NULL, 0);
    }
}

void tls_remote_start(struct tls_remote *remote, const struct tls_remote_settings *settings)
{
    const char *priority = settings->psk ? PRIORITY_PSK : "NORMAL";
    int fds[2];

    *remote = (struct tls_remote){ .settings = *settings };
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    remote->fd = fds[0];
    remote->server_fd = fds[1];
    EXPECT(fcntl(remote->fd, F_SETFL, O_NONBLOCK) == 0);
    remote->channel =
        (struct channel){ .fd = remote->fd, .end_ms = channel_clock_ms() + DEADLINE_MS };
    EXPECT(gnutls_init(&remote->server, GNUTLS_SERVER) == 0);
    EXPECT(gnutls_priority_set_direct(remote->server,
                                      settings->priority != NULL ? settings->priority : priority,
                                      NULL) == 0);
    set_credentials(remote);
    EXPECT(gnutls_session_ticket_key_generate(&remote->ticket_key) == 0);
    EXPECT(gnutls_session_ticket_enable_server(remote->server, &remote->ticket_key) == 0);
    gnutls_transport_set_ptr(remote->server, remote);
    gnutls_transport_set_pull_function(remote->server, server_pull);
    gnutls_transport_set_push_function(remote->server, server_push);
    EXPECT(pthread_create(&remote->thread, NULL, serve, remote) == 0);
}

void tls_remote_join(struct tls_remote *remote)
{
    if (!remote->joined)
        EXPECT(pthread_join(remote->thread, NULL) == 0);
    remote->joined = true;
}

static void free_server(struct tls_remote *remote)
{
    close(remote->fd);
    close(remote->server_fd);
    if (remote->certificates != NULL)
        gnutls_certificate_free_credentials(remote->certificates);
    if (remote->psk != NULL)
        gnutls_psk_free_server_credentials(remote->psk);
    gnutls_free(remote->ticket_key.data);
}

void tls_remote_close(struct tls_remote *remote)
{
    shutdown(remote->fd, SHUT_RDWR);
    tls_remote_join(remote);
    gnutls_deinit(remote->server);
    free_server(remote);
}

/* ---- the client ---- */

struct tls_client *tls_remote_connect(struct tls_remote *remote)
{
    struct tls_client_settings settings = { 0 };
    struct tls_client *client;
    struct error err;

    if (remote->settings.psk) {
        settings.psk_file = tls_remote_path("psk");
        settings.user = "alice";
    } else {
        settings.certificates = tls_remote_path("plain");
        settings.host = "localhost";
    }
    if (tls_client_handshake(&client, &remote->channel, &settings, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return client;
}

/* What is on its way to the client. */
static void move_to_fake_socket(struct tls_remote *remote)
{
    uint8_t data[4096];
    ssize_t count;

    while ((count = recv(remote->fd, data, sizeof data, 0)) > 0)
        fake_socket_feed(remote->peer.loop, remote->peer.fd, data, (size_t)count);
    EXPECT(count < 0 && errno == EAGAIN);
}

void tls_remote_adopt(struct tls_remote *remote, struct tls_client *client)
{
    const struct loop_config config = { .entries = 8 };
    struct tls_peer *peer = &remote->peer;
    struct error err;

    tls_remote_join(remote);
    EXPECT(remote->server_result == 0);
    EXPECT(loop_create(&peer->loop, &config, &err) == 0);
    peer->fd = fake_socket_create(peer->loop);
    const struct transport_tls_adopt_settings settings = { .loop = peer->loop,
                                                           .buffers = &peer->buffers,
                                                           .name = "test server" };
    EXPECT(transport_tls_adopt(&peer->transport, client, peer->fd, &settings, &err) == 0);
    move_to_fake_socket(remote);
    peer->other = remote->server;
    tls_peer_attach(peer);
}

void tls_remote_open(struct tls_remote *remote, const struct tls_remote_settings *settings)
{
    tls_remote_start(remote, settings);
    tls_remote_adopt(remote, tls_remote_connect(remote));
}

void tls_remote_end(struct tls_remote *remote)
{
    tls_peer_detach(&remote->peer);
    free_server(remote);
}
