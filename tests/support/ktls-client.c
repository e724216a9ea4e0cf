/* A client of GnuTLS that does, in NBD's handshake under TLS, what others rarely do.
 *
 *     ktls-client HOW PORT
 *
 * on 127.0.0.1; the server's certificate is not looked at.  HOW: `close` leaves by ABORT and prints
 * how the server ended it; `cut` closes the socket in the middle; `early` sends its first option
 * together with the end of its handshake; `half` the same, but only a part of it, and the rest
 * later; `update` changes its keys three times, and has the server change its own with the second
 * and the third, and asks again each time; `many` asks 40 times. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

/* What GnuTLS wants to send; kept back while `holding`. */
static uint8_t held[65536];
static size_t held_bytes;
static bool holding;
static int fd;

static void need(bool condition, const char *what)
{
    if (condition)
        return;
    printf("failed: %s\n", what);
    exit(1);
}

static void flush_bytes(size_t bytes)
{
    need(send(fd, held, bytes, MSG_NOSIGNAL) == (ssize_t)bytes, "send");
    held_bytes -= bytes;
    memmove(held, held + bytes, held_bytes);
}

static ssize_t push(gnutls_transport_ptr_t context, const void *data, size_t length_bytes)
{
    (void)context;
    need(held_bytes + length_bytes <= sizeof held, "too much is held back");
    memcpy(held + held_bytes, data, length_bytes);
    held_bytes += length_bytes;
    if (!holding)
        flush_bytes(held_bytes);
    return (ssize_t)length_bytes;
}

static ssize_t pull(gnutls_transport_ptr_t context, void *data, size_t length_bytes)
{
    (void)context;
    /* The other side waits for what is held: it is no end of the handshake. */
    if (held_bytes > 0)
        flush_bytes(held_bytes);
    return recv(fd, data, length_bytes, 0);
}

static void connect_to(const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    uint8_t bytes[64];

    fd = socket(AF_INET, SOCK_STREAM, 0);
    need(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    need(recv(fd, bytes, 18, MSG_WAITALL) == 18, "greeting");
    /* Client flags, and STARTTLS: "IHAVEOPT", 5, no data. */
    memcpy(bytes, "\0\0\0\3IHAVEOPT\0\0\0\5\0\0\0\0", 20);
    need(send(fd, bytes, 20, MSG_NOSIGNAL) == 20, "STARTTLS");
    need(recv(fd, bytes, 20, MSG_WAITALL) == 20 && bytes[15] == 1, "the answer to STARTTLS");
}

static gnutls_session_t open_session(gnutls_certificate_credentials_t credentials)
{
    gnutls_session_t session;

    gnutls_init(&session, GNUTLS_CLIENT);
    gnutls_priority_set_direct(session, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM",
                               NULL);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials);
    gnutls_transport_set_ptr(session, NULL);
    gnutls_transport_set_push_function(session, push);
    gnutls_transport_set_pull_function(session, pull);
    return session;
}

/* LIST is 3 and its answers end with an ACK; ABORT is 2 and is answered with one. */
static void send_option(gnutls_session_t session, char option)
{
    uint8_t bytes[16] = "IHAVEOPT";

    bytes[11] = (uint8_t)option;
    need(gnutls_record_send(session, bytes, sizeof bytes) == sizeof bytes, "an option under TLS");
}

/* An error of GnuTLS, or 0. */
static int take_answers(gnutls_session_t session)
{
    uint8_t bytes[65536];
    size_t filled = 0;

    while (filled < 20 || memcmp(bytes + filled - 8, "\0\0\0\1\0\0\0\0", 8) != 0) {
        ssize_t count = gnutls_record_recv(session, bytes + filled, sizeof bytes - filled);

        if (count == GNUTLS_E_AGAIN) /* there was a KeyUpdate of the server */
            continue;
        if (count <= 0)
            return count == 0 ? GNUTLS_E_PREMATURE_TERMINATION : (int)count;
        filled += (size_t)count;
    }
    return 0;
}

/* The handshake up to our last message, which stays in `held`: with a blocking socket GnuTLS of a
 * TLS 1.3 client is done once it has written that. */
static void finish_early(gnutls_session_t session, bool half)
{
    holding = true;
    held_bytes = 0;
    need(gnutls_handshake(session) == 0, "the handshake");
    size_t of_handshake = held_bytes;
    send_option(session, 3);
    flush_bytes(half ? of_handshake + 9 : held_bytes);
    if (half) {
        nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
        flush_bytes(held_bytes);
    }
    holding = false;
}

static void converse(gnutls_session_t session, const char *how)
{
    uint8_t byte;

    if (strcmp(how, "early") == 0 || strcmp(how, "half") == 0) {
        finish_early(session, how[0] == 'h');
    } else {
        need(gnutls_handshake(session) == 0, "the handshake");
        send_option(session, 3);
    }
    need(take_answers(session) == 0, "the answer to LIST");
    if (strcmp(how, "cut") == 0) {
        printf("cut\n");
        return;
    }
    int updates = strcmp(how, "update") == 0 ? 3 : 0,
        questions = strcmp(how, "many") == 0 ? 40 : updates;
    for (int i = 0; i < questions; i++) {
        if (i < updates)
            need(gnutls_session_key_update(session, i > 0 ? GNUTLS_KU_PEER : 0) == 0,
                 "the update of the keys");
        send_option(session, 3);
        int error = take_answers(session);
        if (i + 1 == questions || error != 0)
            printf("%s %d: %s\n", how, i + 1, error == 0 ? "answered" : gnutls_strerror(error));
        if (error != 0)
            return;
    }
    send_option(session, 2);
    need(take_answers(session) == 0, "the answer to ABORT");
    /* 0 is close_notify, and an end without is an error. */
    gnutls_bye(session, GNUTLS_SHUT_WR);
    printf("%s: the end is %s\n", how,
           gnutls_record_recv(session, &byte, 1) == 0 ? "close_notify" : "without close_notify");
}

int main(int argc, char **argv)
{
    gnutls_certificate_credentials_t credentials;

    need(argc == 3, "ktls-client HOW PORT");
    connect_to(argv[2]);
    gnutls_certificate_allocate_credentials(&credentials);
    gnutls_session_t session = open_session(credentials);
    converse(session, argv[1]);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(credentials);
    close(fd);
    return 0;
}
