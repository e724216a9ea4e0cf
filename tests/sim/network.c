#include "tests/sim/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

/* What one endpoint has sent and the other has not taken: [head, arrived) can be read. */
struct direction {
    uint8_t *data;
    size_t head, arrived, sent, room;
    uint64_t last_ns; /* when the last piece arrives */
    bool finished, end_arrived;
};

struct endpoint {
    struct endpoint *peer;
    struct direction out;
    bool reset, closed, deaf;
    void (*changed)(void *context);
    void *context;
};

struct piece {
    struct endpoint *from;
    size_t bytes; /* 0: the end */
};

struct network_settings network;

static void tell(struct endpoint *endpoint)
{
    fiber_wake_all(endpoint);
    if (endpoint->changed != NULL && !endpoint->closed)
        endpoint->changed(endpoint->context);
}

void network_connect(struct endpoint *out[2])
{
    for (int i = 0; i < 2; i++) {
        out[i] = calloc(1, sizeof(*out[i]));
        if (out[i] == NULL)
            sim_fail("no memory");
    }
    out[0]->peer = out[1];
    out[1]->peer = out[0];
}

void endpoint_watch(struct endpoint *endpoint, void (*changed)(void *context), void *context)
{
    endpoint->changed = changed;
    endpoint->context = context;
}

/* ---- on the way ---- */

static void arrives(void *context)
{
    struct piece *piece = context;
    struct endpoint *from = piece->from;

    if (piece->bytes == 0)
        from->out.end_arrived = true;
    from->out.arrived += piece->bytes;
    tell(from->peer);
    free(piece);
}

static void dispatch(struct endpoint *from, size_t bytes)
{
    struct piece *piece = malloc(sizeof(*piece));
    uint64_t delay_ns = random_skewed(STREAM_NETWORK, NS_PER_US, network.delay_max_ns);

    if (piece == NULL)
        sim_fail("no memory");
    *piece = (struct piece){ .from = from, .bytes = bytes };
    if (random_chance(STREAM_NETWORK, network.stall)) {
        mark(MARK_client_stalled);
        delay_ns += random_skewed(STREAM_NETWORK, NS_PER_MS, 5 * NS_PER_S);
    }
    uint64_t when_ns = sim_now_ns + delay_ns;
    if (when_ns <= from->out.last_ns)
        when_ns = from->out.last_ns + 1;
    from->out.last_ns = when_ns;
    event_at(when_ns, arrives, piece);
}

/* ---- calls ---- */

static void make_room(struct direction *out, size_t bytes)
{
    if (out->head > 65536 && out->head > out->room / 2) {
        memmove(out->data, out->data + out->head, out->sent - out->head);
        out->arrived -= out->head;
        out->sent -= out->head;
        out->head = 0;
    }
    if (out->sent + bytes <= out->room)
        return;
    out->room = 2 * (out->sent + bytes);
    out->data = realloc(out->data, out->room);
    if (out->data == NULL)
        sim_fail("no memory");
}

int64_t endpoint_send(struct endpoint *endpoint, const void *data, size_t length_bytes)
{
    struct direction *out = &endpoint->out;
    size_t under_way = out->sent - out->head;

    if (endpoint->reset || endpoint->peer->closed)
        return endpoint->reset ? -ECONNRESET : -EPIPE;
    if (out->finished)
        return -EPIPE;
    if (under_way >= network.window_bytes) {
        mark(MARK_window_full);
        return -EAGAIN;
    }
    if (length_bytes > network.window_bytes - under_way)
        length_bytes = network.window_bytes - under_way;
    if (length_bytes > 1 && random_chance(STREAM_NETWORK, network.short_send)) {
        mark(MARK_short_send);
        length_bytes = random_skewed(STREAM_NETWORK, 1, length_bytes - 1);
    }
    make_room(out, length_bytes);
    memcpy(out->data + out->sent, data, length_bytes);
    out->sent += length_bytes;
    dispatch(endpoint, length_bytes);
    return (int64_t)length_bytes;
}

int64_t endpoint_receive(struct endpoint *endpoint, void *out, size_t length_bytes)
{
    struct direction *in = &endpoint->peer->out;
    size_t there = in->arrived - in->head;

    if (endpoint->reset)
        return -ECONNRESET;
    if (there == 0)
        return in->end_arrived || endpoint->deaf ? 0 : -EAGAIN;
    if (length_bytes > there)
        length_bytes = there;
    if (length_bytes > 1 && random_chance(STREAM_NETWORK, network.short_receive)) {
        mark(MARK_short_receive);
        length_bytes = random_skewed(STREAM_NETWORK, 1, length_bytes - 1);
    }
    memcpy(out, in->data + in->head, length_bytes);
    in->head += length_bytes;
    if (in->head == in->sent)
        in->head = in->arrived = in->sent = 0;
    tell(endpoint->peer); /* there is room */
    return (int64_t)length_bytes;
}

bool endpoint_is_readable(const struct endpoint *endpoint)
{
    return endpoint->reset || endpoint->peer->out.end_arrived ||
           endpoint_unread_bytes(endpoint) > 0;
}

bool endpoint_is_writable(const struct endpoint *endpoint)
{
    return endpoint->reset || endpoint->peer->closed ||
           endpoint_unsent_bytes(endpoint) < network.window_bytes;
}

size_t endpoint_unread_bytes(const struct endpoint *endpoint)
{
    return endpoint->peer->out.arrived - endpoint->peer->out.head;
}

size_t endpoint_unsent_bytes(const struct endpoint *endpoint)
{
    return endpoint->out.sent - endpoint->out.head;
}

bool endpoint_is_reset(const struct endpoint *endpoint)
{
    return endpoint->reset;
}

bool endpoint_peer_is_closed(const struct endpoint *endpoint)
{
    return endpoint->peer->closed;
}

void endpoint_shutdown(struct endpoint *endpoint, bool receive, bool send)
{
    if (receive && !endpoint->deaf) {
        endpoint->deaf = true;
        tell(endpoint);
    }
    if (send && !endpoint->out.finished) {
        endpoint->out.finished = true;
        dispatch(endpoint, 0);
        tell(endpoint);
    }
}

void endpoint_reset(struct endpoint *endpoint)
{
    endpoint->reset = endpoint->peer->reset = true;
    tell(endpoint);
    tell(endpoint->peer);
}

void endpoint_close(struct endpoint *endpoint)
{
    if (endpoint->closed)
        return;
    if (endpoint_unread_bytes(endpoint) > 0)
        endpoint_reset(endpoint);
    else
        endpoint_shutdown(endpoint, true, true);
    endpoint->closed = true;
    endpoint->changed = NULL;
    tell(endpoint->peer);
}

/* ---- fibers ---- */

bool endpoint_send_all(struct endpoint *endpoint, const void *data, size_t length_bytes)
{
    const uint8_t *at = data;

    while (length_bytes > 0) {
        int64_t count = endpoint_send(endpoint, at, length_bytes);

        if (count == -EAGAIN) {
            fiber_wait(endpoint);
            continue;
        }
        if (count < 0)
            return false;
        at += count;
        length_bytes -= (size_t)count;
    }
    return true;
}

bool endpoint_receive_all(struct endpoint *endpoint, void *out, size_t length_bytes)
{
    uint8_t *at = out;

    while (length_bytes > 0) {
        int64_t count = endpoint_receive(endpoint, at, length_bytes);

        if (count == -EAGAIN) {
            fiber_wait(endpoint);
            continue;
        }
        if (count <= 0)
            return false;
        at += count;
        length_bytes -= (size_t)count;
    }
    return true;
}
