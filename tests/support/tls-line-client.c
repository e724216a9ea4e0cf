/* A TLS client of a server that sends back each line reversed (`openssl s_server -rev`): once
 * through the channel, then through the transport on the real loop.
 *
 *     tls-line-client PORT certificates FOLDER | psk FILE */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server/client/client-connect.h"
#include "server/base/log.h"
#include "server/client/transport-tls-adopt.h"
#include "tests/support/check.h"

#define LINES 15
#define LINE_BYTES_MAX 4000u

struct end {
    struct io_event event;
    struct loop *loop;
    int result;
};

static char line[LINE_BYTES_MAX], answer[LINE_BYTES_MAX];

static void ended(struct io_event *ev, int result)
{
    struct end *end = container_of(ev, struct end, event);

    end->result = result;
    loop_stop(end->loop);
}

static void need(int result, const struct error *err)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static uint32_t make_line(unsigned number)
{
    uint32_t length_bytes = 1 + number * 293 % (LINE_BYTES_MAX - 1);

    for (uint32_t i = 0; i < length_bytes; i++)
        line[i] = (char)('a' + (number + i * i) % 26);
    line[length_bytes - 1] = '\n';
    return length_bytes;
}

static void expect_reversed(uint32_t length_bytes)
{
    for (uint32_t i = 0; i + 1 < length_bytes; i++)
        EXPECT(answer[i] == line[length_bytes - 2 - i]);
    EXPECT(answer[length_bytes - 1] == '\n');
}

static void through_the_channel(struct channel *channel)
{
    uint32_t length_bytes = make_line(1);
    struct error err;

    need(channel_send(channel, line, length_bytes, &err), &err);
    need(channel_receive(channel, answer, length_bytes, &err), &err);
    expect_reversed(length_bytes);
}

static void through_the_transport(struct loop *loop, struct transport *transport)
{
    struct end received = { .event.fn = ended, .loop = loop }, sent = received;

    transport->recv_done = &received.event;
    transport->send_done = &sent.event;
    for (unsigned i = 0; i < LINES; i++) {
        uint32_t length_bytes = make_line(i);

        transport->ops->send(transport, &(struct iovec){ line, length_bytes }, 1);
        loop_run(loop);
        EXPECT(sent.result == (int)length_bytes);
        received.result = TRANSPORT_FILLED;
        if (!transport->ops->recv(transport, answer, length_bytes))
            loop_run(loop);
        EXPECT(received.result == TRANSPORT_FILLED);
        expect_reversed(length_bytes);
    }
    transport->ops->close(transport);
}

static int connect_to(const char *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EXPECT(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    EXPECT(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) == 0);
    EXPECT(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

int main(int argc, char **argv)
{
    struct tls_client_settings settings = { .host = "localhost", .user = "alice" };
    struct loop_config config = { .entries = 8, .file_slots = 2 };
    struct tls_buffers buffers = { 0 };
    struct transport *transport;
    struct tls_client *client;
    struct loop *loop;
    struct error err;

    EXPECT(argc == 4);
    *(strcmp(argv[2], "psk") == 0 ? &settings.psk_file : &settings.certificates) = argv[3];
    log_set_level(LOG_INFO);
    struct channel channel = { .fd = connect_to(argv[1]), .end_ms = channel_clock_ms() + 20000 };
    need(tls_client_handshake(&client, &channel, &settings, &err), &err);
    through_the_channel(&channel);
    client_connect_settle(channel.fd);
    need(loop_create(&loop, &config, &err), &err);
    const struct transport_tls_adopt_settings adopt = { loop, &buffers, "openssl" };
    need(transport_tls_adopt(&transport, client, channel.fd, &adopt, &err), &err);
    through_the_transport(loop, transport);
    tls_buffers_free(&buffers);
    loop_destroy(loop);
    printf("%d lines\n", LINES + 1);
    return 0;
}
