#include "bench/libnbd-client.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "server/client/channel.h"
#include "server/nbd/nbd-wire.h"

#define RETRY_MS 1u

struct slot {
    struct libnbd_client *client;
    struct client_request request;
    uint8_t *memory; /* of a READ, or of a WRITE that is verified */
};

struct libnbd_client {
    struct libnbd_client_config config;
    struct nbd_handle *nbd;
    struct loop *loop;
    const struct client_owner_ops *ops;
    void *owner;

    struct slot *slots;
    unsigned *free_slots; /* a stack: the last one used is still in the cache */
    unsigned free_count;
    uint8_t *memory; /* for each slot, and once more: what writes send that nobody verifies */

    struct loop_task issue_task;
    struct loop_timer retry_timer;
    struct io_event ready_event; /* of the socket */
    bool polling, retrying, at_end, ended, failing;
    struct error failure;
};

/* In the order of a request's life. */
static void issue(struct loop_task *task);
static void ready(struct io_event *ev, int result);
static int completed(void *context, int *error);
static void retry(struct io_event *ev, int result);

/* ---- connecting ---- */

/* libnbd has them from version 1.18 on. */
static bool set_extended_headers(struct libnbd_client *client)
{
#ifdef LIBNBD_HAVE_NBD_SET_REQUEST_EXTENDED_HEADERS
    bool wanted = !client->config.simple && !client->config.no_extended_headers;

    return nbd_set_request_extended_headers(client->nbd, wanted) == 0;
#else
    (void)client;
    return true;
#endif
}

static int set_up(struct libnbd_client *client, struct error *err)
{
    struct nbd_handle *nbd = client->nbd = nbd_create();

    if (nbd == NULL || nbd_set_uri_allow_local_file(nbd, true) != 0 ||
        nbd_set_pread_initialize(nbd, false) != 0 ||
        nbd_set_request_structured_replies(nbd, !client->config.simple) != 0 ||
        !set_extended_headers(client) || nbd_aio_connect_uri(nbd, client->config.uri) != 0)
        return error_set(err, -ECONNREFUSED, "libnbd: %s", nbd_get_error());
    return 0;
}

static short wanted_events(const struct libnbd_client *client)
{
    unsigned direction = nbd_aio_get_direction(client->nbd);

    return (short)(((direction & LIBNBD_AIO_DIRECTION_READ) != 0 ? POLLIN : 0) |
                   ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 ? POLLOUT : 0));
}

/* -1: nbd_get_error() says what is wrong. */
static int notify(struct libnbd_client *client, short events)
{
    unsigned direction = nbd_aio_get_direction(client->nbd);

    if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 &&
        (direction & LIBNBD_AIO_DIRECTION_READ) != 0)
        return nbd_aio_notify_read(client->nbd);
    if ((events & (POLLOUT | POLLHUP | POLLERR)) != 0 &&
        (direction & LIBNBD_AIO_DIRECTION_WRITE) != 0)
        return nbd_aio_notify_write(client->nbd);
    return 0;
}

static int connect_in_time(struct libnbd_client *client, struct error *err)
{
    uint64_t end_ms = channel_clock_ms() + client->config.timeout_s * 1000ull;

    while (!nbd_aio_is_ready(client->nbd)) {
        struct pollfd socket = { .fd = nbd_aio_get_fd(client->nbd),
                                 .events = wanted_events(client) };
        uint64_t now_ms = channel_clock_ms();

        if (now_ms >= end_ms)
            return error_set(err, -ETIMEDOUT, "the server does not answer during the handshake");
        uint64_t left_ms = end_ms - now_ms;
        if (poll(&socket, 1, left_ms < 1000 ? (int)left_ms : 1000) > 0 &&
            notify(client, socket.revents) != 0)
            return error_set(err, -ECONNREFUSED, "libnbd: %s", nbd_get_error());
        if (nbd_aio_is_dead(client->nbd) || nbd_aio_is_closed(client->nbd))
            return error_set(err, -ECONNREFUSED, "libnbd: the server closed the connection");
    }
    return 0;
}

static uint32_t block_bytes(struct nbd_handle *nbd, int which, uint32_t otherwise)
{
    int64_t bytes = nbd_get_block_size(nbd, which);

    return bytes > 0 && bytes <= UINT32_MAX ? (uint32_t)bytes : otherwise;
}

static void describe(struct export_info *info, struct nbd_handle *nbd)
{
    int64_t size_bytes = nbd_get_size(nbd);

    *info = (struct export_info){
        .size_bytes = size_bytes > 0 ? (uint64_t)size_bytes : 0,
        .flags =
            (uint16_t)(NBD_FLAG_HAS_FLAGS | (nbd_is_read_only(nbd) == 1 ? NBD_FLAG_READ_ONLY : 0) |
                       (nbd_can_trim(nbd) == 1 ? NBD_FLAG_SEND_TRIM : 0) |
                       (nbd_can_zero(nbd) == 1 ? NBD_FLAG_SEND_WRITE_ZEROES : 0) |
                       (nbd_can_multi_conn(nbd) == 1 ? NBD_FLAG_CAN_MULTI_CONN : 0)),
        .block_min_bytes = block_bytes(nbd, LIBNBD_SIZE_MINIMUM, 1),
        .block_preferred_bytes = block_bytes(nbd, LIBNBD_SIZE_PREFERRED, 4096),
        .block_max_bytes = block_bytes(nbd, LIBNBD_SIZE_MAXIMUM, NBD_PAYLOAD_BYTES_MAX),
        .structured_replies = nbd_get_structured_replies_negotiated(nbd) == 1,
    };
#ifdef LIBNBD_HAVE_NBD_GET_EXTENDED_HEADERS_NEGOTIATED
    info->extended_headers = nbd_get_extended_headers_negotiated(nbd) == 1;
    info->structured_replies |= info->extended_headers;
#endif
}

/* ---- making and ending ---- */

static size_t memory_bytes(const struct libnbd_client *client)
{
    return ((size_t)client->config.depth + 1) * client->config.block_max_bytes;
}

static int allocate(struct libnbd_client *client, struct error *err)
{
    unsigned depth = client->config.depth;

    client->slots = calloc(depth, sizeof *client->slots);
    client->free_slots = calloc(depth, sizeof *client->free_slots);
    client->memory = mmap(NULL, memory_bytes(client), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (client->memory == MAP_FAILED)
        client->memory = NULL;
    if (client->slots == NULL || client->free_slots == NULL || client->memory == NULL)
        return error_set(err, -ENOMEM,
                         "not enough memory for a connection: take fewer, or less depth");
    for (unsigned i = 0; i < depth; i++) {
        struct slot *slot = &client->slots[i];

        client->free_slots[i] = depth - 1 - i;
        slot->client = client;
        slot->memory = client->memory + (size_t)i * client->config.block_max_bytes;
        slot->request.data = client->config.keep_data ? slot->memory : NULL;
    }
    client->free_count = depth;
    return 0;
}

int libnbd_client_create(struct libnbd_client **out, const struct libnbd_client_config *config,
                         struct export_info *info, struct error *err)
{
    struct libnbd_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return error_no_memory(err, "for a connection");
    client->config = *config;
    client->issue_task.fn = issue;
    client->ready_event.fn = ready;
    client->retry_timer.event.fn = retry;
    int result = allocate(client, err);
    if (result == 0)
        result = set_up(client, err);
    if (result == 0)
        result = connect_in_time(client, err);
    if (result != 0) {
        libnbd_client_destroy(client);
        return result;
    }
    describe(info, client->nbd);
    *out = client;
    return 0;
}

void libnbd_client_destroy(struct libnbd_client *client)
{
    assert(client->loop == NULL);
    if (client->nbd != NULL) {
        if (nbd_aio_is_ready(client->nbd))
            (void)nbd_aio_disconnect(client->nbd, 0); /* politeness only */
        nbd_close(client->nbd);
    }
    if (client->memory != NULL)
        munmap(client->memory, memory_bytes(client));
    free(client->slots);
    free(client->free_slots);
    free(client);
}

static void fill_source(uint8_t *to, uint32_t length_bytes, const struct scratch *scratch)
{
    for (uint32_t at = 0; at < length_bytes; at += SCRATCH_SOURCE_BYTES) {
        uint32_t left = length_bytes - at;

        memcpy(to + at, scratch->source, left < SCRATCH_SOURCE_BYTES ? left : SCRATCH_SOURCE_BYTES);
    }
}

static uint8_t *source_of(const struct libnbd_client *client)
{
    return client->memory + (size_t)client->config.depth * client->config.block_max_bytes;
}

void libnbd_client_attach(struct libnbd_client *client, struct loop *loop, struct scratch *scratch,
                          const struct client_owner_ops *ops, void *owner)
{
    assert(client->loop == NULL && !client->failing);
    client->loop = loop;
    client->ops = ops;
    client->owner = owner;
    client->at_end = client->ended = false;
    fill_source(source_of(client), client->config.block_max_bytes, scratch);
    loop_defer(loop, &client->issue_task);
}

void libnbd_client_detach(struct libnbd_client *client)
{
    assert(!client->polling && !client->retrying);
    client->loop = NULL;
}

unsigned libnbd_client_in_flight(const struct libnbd_client *client)
{
    return client->config.depth - client->free_count;
}

void libnbd_client_abort(struct libnbd_client *client, const struct error *err)
{
    if (client->failing || client->ended)
        return;
    client->failing = true;
    client->failure = *err;
    loop_cancel(client->loop, &client->ready_event);
    loop_defer(client->loop, &client->issue_task);
}

/* ---- requests ---- */

static int64_t submit(struct libnbd_client *client, struct slot *slot)
{
    const struct client_request *request = &slot->request;
    nbd_completion_callback done = { .callback = completed, .user_data = slot };
    uint64_t length = request->length_bytes, offset = request->offset_bytes;

    switch (request->command) {
    case NBD_CMD_READ:
        return nbd_aio_pread(client->nbd, slot->memory, length, offset, done, 0);
    case NBD_CMD_WRITE:
        return nbd_aio_pwrite(client->nbd,
                              client->config.keep_data ? slot->memory : source_of(client), length,
                              offset, done, 0);
    case NBD_CMD_TRIM:
        return nbd_aio_trim(client->nbd, length, offset, done, 0);
    default:
        return nbd_aio_zero(client->nbd, length, offset, done, 0);
    }
}

static void lost(struct libnbd_client *client)
{
    struct error err;

    (void)error_set(&err, -ECONNRESET,
                    "the server closed the connection while %u requests were in flight",
                    libnbd_client_in_flight(client));
    libnbd_client_abort(client, &err);
}

static void fail(struct libnbd_client *client)
{
    struct error err;

    (void)error_set(&err, -EIO, "libnbd: %s", nbd_get_error());
    libnbd_client_abort(client, &err);
}

static enum client_next send_one(struct libnbd_client *client)
{
    struct slot *slot = &client->slots[client->free_slots[client->free_count - 1]];
    enum client_next next = client->ops->next(client->owner, &slot->request);

    if (next != CLIENT_REQUEST)
        return next;
    client->free_count--;
    if (submit(client, slot) == -1)
        fail(client);
    return next;
}

static void send_batch(struct libnbd_client *client)
{
    enum client_next next = CLIENT_REQUEST;

    if (client->free_count > 0)
        client->ops->batch(client->owner);
    while (client->free_count > 0 && next == CLIENT_REQUEST && !client->failing)
        next = send_one(client);
    client->at_end = next == CLIENT_END;
    if (next == CLIENT_LATER && libnbd_client_in_flight(client) == 0 && !client->retrying) {
        client->retrying = true;
        loop_timer_start(client->loop, &client->retry_timer, RETRY_MS);
    }
}

/* Sends what there is to send, waits for what there is to receive, or ends. */
static void issue(struct loop_task *task)
{
    struct libnbd_client *client = container_of(task, struct libnbd_client, issue_task);

    if (client->ended || client->polling)
        return;
    if (!client->failing)
        send_batch(client);
    if (!client->failing && libnbd_client_in_flight(client) > 0) {
        client->polling = true;
        loop_poll(client->loop, &client->ready_event, nbd_aio_get_fd(client->nbd),
                  (unsigned)wanted_events(client));
        return;
    }
    if (client->retrying)
        return;
    if (client->failing || client->at_end) {
        client->ended = true;
        client->ops->ended(client->owner, client->failing ? &client->failure : NULL);
    }
}

static void retry(struct io_event *ev, int result)
{
    struct loop_timer *timer = container_of(ev, struct loop_timer, event);
    struct libnbd_client *client = container_of(timer, struct libnbd_client, retry_timer);

    (void)result;
    client->retrying = false;
    loop_defer(client->loop, &client->issue_task);
}

/* ---- answers ---- */

static void ready(struct io_event *ev, int result)
{
    struct libnbd_client *client = container_of(ev, struct libnbd_client, ready_event);

    client->polling = false;
    if (!client->failing) {
        client->ops->batch(client->owner);
        if (notify(client, (short)(result > 0 ? result : 0)) != 0)
            fail(client);
        else if (nbd_aio_is_dead(client->nbd) || nbd_aio_is_closed(client->nbd))
            lost(client);
    }
    loop_defer(client->loop, &client->issue_task);
}

/* nbd_completion_callback: 1 retires the command.  libnbd holds a lock on the connection. */
static int completed(void *context, int *error)
{
    struct slot *slot = context;
    struct libnbd_client *client = slot->client;
    struct error err;

    if (*error == ENOTCONN) {
        lost(client);
        return 1;
    }
    if (*error != 0) {
        (void)error_set(&err, -EIO,
                        "the server answers %s of %u bytes at offset %" PRIu64 " with %s",
                        nbd_command_name(slot->request.command), slot->request.length_bytes,
                        slot->request.offset_bytes, strerror(*error));
        libnbd_client_abort(client, &err);
        return 1;
    }
    client->free_slots[client->free_count++] = (unsigned)(slot - client->slots);
    client->ops->completed(client->owner, &slot->request);
    return 1;
}
