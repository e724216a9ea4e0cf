/* What a connection keeps of data that was taken from it is wiped when that is asked for, whatever
 * it is doing; not a byte gets lost. */
#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "server/transport/tls-transport.h"
#include "tests/support/check.h"
#include "tests/support/tls-peer.h"

#define PENDING 12345

static uint8_t pattern[60000];

static void fill_pattern(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251 + 1);
}

/* ---- in the clear ---- */

struct end {
    struct loop *loop;
    int fd;
    struct transport *transport;
    struct io_event recv_done;
    int recv_result;
    uint8_t got[20000];
};

static struct end end;

static void recv_done(struct io_event *ev, int result)
{
    (void)ev;
    end.recv_result = result;
}

static void open_end(void)
{
    const struct loop_config config = { .entries = 8 };
    struct error err;

    EXPECT(loop_create(&end.loop, &config, &err) == 0);
    end.fd = fake_socket_create(end.loop);
    EXPECT(transport_plain_create(&end.transport, end.loop, end.fd, &err) == 0);
    end.recv_done.fn = recv_done;
    end.transport->recv_done = &end.recv_done;
}

static void close_end(void)
{
    end.transport->ops->close(end.transport);
    loop_destroy(end.loop);
}

static void say(size_t start, size_t count)
{
    fake_socket_feed(end.loop, end.fd, pattern + start, count);
}

static int ask(uint32_t length_bytes)
{
    end.recv_result = PENDING;
    if (end.transport->ops->recv(end.transport, end.got, length_bytes))
        end.recv_result = TRANSPORT_FILLED;
    fake_loop_run(end.loop);
    return end.recv_result;
}

static bool scrub(bool again)
{
    return end.transport->ops->scrub(end.transport, again);
}

/* Whether it has 16 bytes of what was said at `start`. */
static bool keeps(size_t start)
{
    return memmem(end.transport, malloc_usable_size(end.transport), pattern + start, 16) != NULL;
}

static void nothing_in_flight(void)
{
    open_end();
    say(0, 3000);
    EXPECT(ask(28) == TRANSPORT_FILLED);
    EXPECT(ask(1972) == TRANSPORT_FILLED && memcmp(end.got, pattern + 28, 1972) == 0);
    EXPECT(keeps(1000));
    EXPECT(scrub(false) && !keeps(1000) && keeps(2000));
    EXPECT(ask(1000) == TRANSPORT_FILLED && memcmp(end.got, pattern + 2000, 1000) == 0);
    close_end();
}

static void receive_in_flight(void)
{
    open_end();
    say(0, 3000);
    EXPECT(ask(28) == TRANSPORT_FILLED && ask(2972) == TRANSPORT_FILLED && ask(100) == PENDING);
    EXPECT(keeps(1000));
    EXPECT(!scrub(false) && !scrub(true));
    fake_loop_run(end.loop);
    EXPECT(scrub(true) && !keeps(1000));
    EXPECT(end.recv_result == PENDING && fake_loop_pending(end.loop) == 1);
    EXPECT(scrub(true) && fake_loop_pending(end.loop) == 1);
    say(3000, 100);
    fake_loop_run(end.loop);
    EXPECT(end.recv_result == TRANSPORT_FILLED && memcmp(end.got, pattern + 3000, 100) == 0);
    close_end();
}

/* A part of what is asked for arrives at the moment at which the receive is to be ended. */
static void cancelled_too_late(void)
{
    open_end();
    say(0, 3000);
    EXPECT(ask(28) == TRANSPORT_FILLED && ask(2972) == TRANSPORT_FILLED && ask(100) == PENDING);
    for (unsigned i = 0; i < 3; i++) {
        say(3000 + i * 10, 10);
        EXPECT(!scrub(i > 0));
        fake_loop_run(end.loop);
        EXPECT(keeps(1000));
    }
    EXPECT(!scrub(true));
    fake_loop_run(end.loop);
    EXPECT(scrub(true) && !keeps(1000));
    say(3030, 70);
    fake_loop_run(end.loop);
    EXPECT(end.recv_result == TRANSPORT_FILLED && memcmp(end.got, pattern + 3000, 100) == 0);
    close_end();
}

static void ended_by_others(void)
{
    open_end();
    fake_loop_fail(end.loop, 1, ECANCELED);
    EXPECT(ask(28) == -ECANCELED && fake_loop_pending(end.loop) == 0);
    close_end();

    open_end();
    EXPECT(ask(28) == PENDING);
    end.transport->ops->abort(end.transport);
    EXPECT(!scrub(false));
    fake_loop_run(end.loop);
    EXPECT(end.recv_result == TRANSPORT_END && fake_loop_pending(end.loop) == 0);
    EXPECT(scrub(true));
    close_end();
}

/* ---- under TLS ---- */

static const char *const priorities[] = {
    NULL, "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK:%SAFE_RENEGOTIATION"
};

static bool tls_keeps(const struct tls_peer *peer, size_t start)
{
    const struct tls_transport *tls =
        container_of(peer->transport, struct tls_transport, transport);
    bool found =
        memmem(tls, malloc_usable_size((void *)(uintptr_t)tls), pattern + start, 16) != NULL;

    if (tls->in != NULL)
        found |= memmem(tls->in->bytes, tls->in->capacity_bytes, pattern + start, 16) != NULL;
    for (const struct tls_buffer *one = peer->buffers.kept; one != NULL; one = one->next)
        found |= memmem(one->bytes, one->capacity_bytes, pattern + start, 16) != NULL;
    for (const struct tls_buffer *one = peer->buffers.kept_small; one != NULL; one = one->next)
        found |= memmem(one->bytes, one->capacity_bytes, pattern + start, 16) != NULL;
    return found || memmem(peer->buffers.together, sizeof peer->buffers.together, pattern + start,
                           16) != NULL;
}

static void expect_wiped(struct tls_peer *peer, size_t count)
{
    tls_buffers_scrub(&peer->buffers);
    for (size_t start = 0; start + 16 <= count; start += 100)
        EXPECT(!tls_keeps(peer, start));
}

/* Writes of this length, in a record with their header: opened where they lie. */
static void write_and_read(struct tls_peer *peer, uint32_t length_bytes)
{
    static uint8_t record[28 + 20000], got[20000];
    struct iovec iov[] = { { record, 16 }, { pattern, length_bytes } };

    memset(record, 'h', 28);
    memcpy(record + 28, pattern, length_bytes);
    tls_peer_say(peer, record, 28 + length_bytes);
    tls_peer_expect_received(peer, record, 28);
    tls_peer_feed(peer, SIZE_MAX);
    int result = tls_peer_ask(peer, got, length_bytes);
    fake_loop_run(peer->loop);
    EXPECT(result == TRANSPORT_FILLED || peer->recv_result == TRANSPORT_FILLED);
    EXPECT(memcmp(got, pattern, length_bytes) == 0);
    tls_peer_expect_sent(peer, iov, 2);
}

static void tls_in_flight(void)
{
    static const uint32_t lengths[] = { 512, 4096, 8192, 12000, 16384 - 28, 20000 };

    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            struct tls_peer peer;
            uint8_t got[28];

            tls_peer_connect(&peer, priorities[k]);
            write_and_read(&peer, lengths[i]);
            EXPECT(tls_keeps(&peer, 0));
            EXPECT(tls_peer_ask(&peer, got, 28) == TLS_PEER_PENDING);
            fake_loop_run(peer.loop);
            EXPECT(!peer.transport->ops->scrub(peer.transport, false));
            fake_loop_run(peer.loop);
            EXPECT(peer.transport->ops->scrub(peer.transport, true));
            expect_wiped(&peer, lengths[i]);
            tls_peer_say(&peer, pattern, 28);
            tls_peer_feed(&peer, SIZE_MAX);
            fake_loop_run(peer.loop);
            EXPECT(peer.recv_result == TRANSPORT_FILLED && memcmp(got, pattern, 28) == 0);
            tls_peer_close(&peer);
        }
}

static void tls_too_late(void)
{
    struct tls_peer peer;
    uint8_t got[28];

    tls_peer_connect(&peer, NULL);
    write_and_read(&peer, 4096);
    EXPECT(tls_peer_ask(&peer, got, 28) == TLS_PEER_PENDING);
    fake_loop_run(peer.loop);
    tls_peer_say(&peer, pattern, 28);
    tls_peer_feed(&peer, 10);
    EXPECT(!peer.transport->ops->scrub(peer.transport, false));
    fake_loop_run(peer.loop);
    EXPECT(!peer.transport->ops->scrub(peer.transport, true));
    fake_loop_run(peer.loop);
    EXPECT(peer.transport->ops->scrub(peer.transport, true));
    expect_wiped(&peer, 4096);
    tls_peer_feed(&peer, SIZE_MAX);
    fake_loop_run(peer.loop);
    EXPECT(peer.recv_result == TRANSPORT_FILLED && memcmp(got, pattern, 28) == 0);
    tls_peer_close(&peer);
}

/* More than are kept: what goes back to the allocator has been wiped before, which is seen where
 * the next one of that size begins. */
static void buffers_that_are_many(void)
{
    struct tls_buffers buffers = { 0 };
    struct tls_buffer *all[TLS_BUFFERS_KEPT_MAX + 4];

    for (unsigned i = 0; i < TLS_BUFFERS_KEPT_MAX + 4; i++) {
        all[i] = tls_buffer_acquire(&buffers, false);
        EXPECT(all[i] != NULL && all[i]->capacity_bytes == TLS_BUFFER_SMALL_BYTES);
        memcpy(all[i]->bytes, pattern, TLS_BUFFER_SMALL_BYTES);
        all[i]->opened = true;
    }
    for (unsigned i = 0; i < TLS_BUFFERS_KEPT_MAX + 4; i++)
        tls_buffer_release(&buffers, all[i]);
    EXPECT(buffers.kept_small_count == TLS_BUFFERS_KEPT_MAX);
    struct tls_buffer *again = tls_buffer_acquire(&buffers, false);
    EXPECT(again->start == 0 && again->end == 0 && again->opened);
    tls_buffer_release(&buffers, again);
    tls_buffers_scrub(&buffers);
    for (again = buffers.kept_small; again != NULL; again = again->next)
        EXPECT(again->bytes[0] == 0 && again->bytes[TLS_BUFFER_SMALL_BYTES - 1] == 0);
    tls_buffers_free(&buffers);
}

static const struct check checks[] = {
    { "what was taken is wiped, what was not stays", nothing_in_flight },
    { "a receive in flight is begun anew when all is wiped", receive_in_flight },
    { "what arrives at that moment counts, and the next receive is ended", cancelled_too_late },
    { "a receive that others ended is not begun anew", ended_by_others },
    { "under TLS nothing stays of requests and replies of any length", tls_in_flight },
    { "under TLS what arrives at that moment counts", tls_too_late },
    { "of TLS buffers a few are kept, and wiped", buffers_that_are_many },
};

int main(int argc, char **argv)
{
    fill_pattern();
    return CHECKS_RUN(checks, argc, argv);
}
