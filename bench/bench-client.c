#include "bench/bench-client.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/reply-stream.h"
#include "server/client/transport-tls-adopt.h"
#include "server/nbd/nbd-wire.h"

#define STAGED_PAYLOAD_BYTES_MAX (16u << 10) /* the rest of larger ones lands elsewhere */
#define RETRY_MS 1u

/* A cookie: 16 bits number of the slot, 48 bits how often slots were used, so that an answer
 * that comes twice is not taken for that of the next request. */
#define COOKIE_SLOT_BITS 16
#define COOKIE_SLOT_MASK 0xffffu

struct slot {
    struct client_request request;
    uint64_t cookie;
    uint32_t received_bytes; /* of what a READ asked for */
    uint32_t error;          /* the first one that the server told, NBD_E* */
    bool busy;
};

struct bench_client {
    struct bench_client_config config;
    struct loop *loop;
    struct loop_file file;       /* without a transport */
    struct transport *transport; /* under TLS, once it was attached; it owns the socket */
    struct scratch *scratch;
    const struct client_owner_ops *ops;
    void *owner;

    struct slot *slots;
    uint16_t *free_slots; /* a stack: the last one used is still in the cache */
    unsigned free_count;
    uint64_t uses;
    uint8_t *data; /* depth times block_max_bytes, with keep_data */

    struct loop_task issue_task;
    struct loop_timer retry_timer;
    bool retrying, at_end, ended, failing;
    struct error failure;

    struct io_event send_event;
    struct msghdr send_message;
    struct iovec *send_iov;
    unsigned send_iov_room;
    uint8_t *send_headers; /* depth times the longest */
    bool sending;

    struct reply_stream replies;
    struct slot *replied; /* the one that the last header is for */
    bool replied_is_done;
};

/* In the order of a request's life. */
static void issue(struct loop_task *task);
static void sent(struct io_event *ev, int result);
static bool reply_header(void *owner, const struct reply_header *header,
                         struct reply_payload *payload);
static bool reply_payload_end(void *owner);
static bool replies_are_owed(void *owner);
static void replies_begin(void *owner);
static void replies_end(void *owner);
static void replies_failed(void *owner, int result);
static void retry(struct io_event *ev, int result);

static const struct reply_stream_ops reply_ops = {
    .header = reply_header,
    .payload_end = reply_payload_end,
    .is_owed = replies_are_owed,
    .batch_begin = replies_begin,
    .batch_end = replies_end,
    .failed = replies_failed,
};

/* ---- making and ending ---- */

static uint64_t typical_reply_bytes(const struct bench_client_config *config)
{
    uint32_t payload = config->block_max_bytes < STAGED_PAYLOAD_BYTES_MAX
                           ? config->block_max_bytes
                           : STAGED_PAYLOAD_BYTES_MAX;

    return (uint64_t)config->depth * (payload + REPLY_HEADER_BYTES_MAX);
}

/* For a request's header, and its payload in pieces. */
static unsigned iov_needed(uint32_t length_bytes)
{
    return 2 + length_bytes / SCRATCH_SOURCE_BYTES;
}

static bool allocate(struct bench_client *client)
{
    const struct bench_client_config *config = &client->config;
    uint64_t room = (uint64_t)iov_needed(config->block_max_bytes) * config->depth;
    size_t data_bytes = (size_t)config->depth * config->block_max_bytes;

    client->send_iov_room = room < IOV_MAX ? (unsigned)room : IOV_MAX;
    client->slots = calloc(config->depth, sizeof *client->slots);
    client->free_slots = calloc(config->depth, sizeof *client->free_slots);
    client->send_headers = calloc(config->depth, NBD_EXTENDED_REQUEST_BYTES);
    client->send_iov = calloc(client->send_iov_room, sizeof *client->send_iov);
    if (config->keep_data) {
        client->data =
            mmap(NULL, data_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (client->data == MAP_FAILED)
            client->data = NULL;
    }
    return client->slots != NULL && client->free_slots != NULL && client->send_headers != NULL &&
           client->send_iov != NULL && (client->data != NULL || !config->keep_data);
}

static void close_connection(const struct bench_client_config *config, struct transport *transport)
{
    if (transport != NULL) {
        transport->ops->close(transport);
        return;
    }
    tls_client_free(config->tls);
    close(config->fd);
}

static void release(struct bench_client *client)
{
    if (client->data != NULL)
        munmap(client->data, (size_t)client->config.depth * client->config.block_max_bytes);
    reply_stream_destroy(&client->replies);
    free(client->slots);
    free(client->free_slots);
    free(client->send_headers);
    free(client->send_iov);
    close_connection(&client->config, client->transport);
    free(client);
}

static void fill_slots(struct bench_client *client)
{
    const struct bench_client_config *config = &client->config;

    for (unsigned i = 0; i < config->depth; i++) {
        client->free_slots[i] = (uint16_t)(config->depth - 1 - i);
        if (config->keep_data)
            client->slots[i].request.data = client->data + (size_t)i * config->block_max_bytes;
    }
    client->free_count = config->depth;
}

int bench_client_create(struct bench_client **out, const struct bench_client_config *config,
                        struct error *err)
{
    struct bench_client *client = calloc(1, sizeof *client);

    assert(config->depth > 0 && config->depth <= BENCH_CLIENT_DEPTH_MAX);
    if (client == NULL) {
        close_connection(config, NULL);
        return error_no_memory(err, "for a connection");
    }
    client->config = *config;
    if (!allocate(client) || reply_stream_create(&client->replies, typical_reply_bytes(config),
                                                 &reply_ops, client, NULL) != 0) {
        release(client);
        return error_set(err, -ENOMEM,
                         "not enough memory for a connection: take fewer, or less "
                         "depth");
    }
    fill_slots(client);
    client->issue_task.fn = issue;
    client->send_event.fn = sent;
    client->retry_timer.event.fn = retry;
    *out = client;
    return 0;
}

/* How long it is. */
static uint32_t put_header(const struct bench_client *client, uint8_t *header,
                           struct nbd_request *request)
{
    if (!client->config.extended) {
        nbd_encode_request(header, request);
        return NBD_REQUEST_BYTES;
    }
    if (request->command == NBD_CMD_WRITE)
        request->flags |= NBD_CMD_FLAG_PAYLOAD_LEN;
    nbd_encode_extended_request(header, request);
    return NBD_EXTENDED_REQUEST_BYTES;
}

void bench_client_destroy(struct bench_client *client)
{
    uint8_t header[NBD_EXTENDED_REQUEST_BYTES];

    assert(client->loop == NULL);
    if (!client->failing && client->config.tls == NULL) { /* TLS says good-bye itself */
        uint32_t bytes =
            put_header(client, header, &(struct nbd_request){ .command = NBD_CMD_DISC });
        /* Politeness only: without it the server finds the connection closed. */
        (void)!send(client->config.fd, header, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    release(client);
}

/* -errno: TLS can't go on. */
static int attach_transport(struct bench_client *client, struct error *err)
{
    const struct transport_tls_adopt_settings settings = {
        .loop = client->loop,
        .buffers = &client->scratch->tls_buffers,
        .name = client->config.name,
    };

    if (client->transport != NULL) {
        transport_tls_rejoin(client->transport, &settings);
        return 0;
    }
    int result = transport_tls_adopt(&client->transport, client->config.tls, client->config.fd,
                                     &settings, err);
    if (result < 0)
        return result;
    client->transport->send_done = &client->send_event;
    reply_stream_attach_transport(&client->replies, client->transport, client->scratch);
    return 0;
}

static void attach_file(struct bench_client *client)
{
    loop_file_init(client->loop, &client->file, client->config.fd);
    reply_stream_attach(&client->replies, client->loop, &client->file, client->scratch);
}

void bench_client_attach(struct bench_client *client, struct loop *loop, struct scratch *scratch,
                         const struct client_owner_ops *ops, void *owner)
{
    assert(client->loop == NULL && !client->failing);
    client->loop = loop;
    client->scratch = scratch;
    client->ops = ops;
    client->owner = owner;
    client->at_end = client->ended = false;
    if (client->config.tls == NULL)
        attach_file(client);
    else
        client->failing = attach_transport(client, &client->failure) < 0;
    loop_defer(loop, &client->issue_task);
}

void bench_client_detach(struct bench_client *client)
{
    assert(!client->sending && !client->replies.receiving && !client->retrying);
    if (client->config.tls == NULL)
        loop_file_release(client->loop, &client->file);
    else if (client->transport != NULL)
        transport_tls_leave(client->transport);
    client->loop = NULL;
}

unsigned bench_client_in_flight(const struct bench_client *client)
{
    return client->config.depth - client->free_count;
}

void bench_client_abort(struct bench_client *client, const struct error *err)
{
    if (client->failing || client->ended)
        return;
    client->failing = true;
    client->failure = *err;
    if (client->transport != NULL)
        client->transport->ops->abort(client->transport);
    else
        loop_file_shutdown(client->loop, &client->file, SHUT_RDWR);
    loop_defer(client->loop, &client->issue_task);
}

/* ---- requests ---- */

static enum client_next take_next(struct bench_client *client, struct slot **out)
{
    unsigned index = client->free_slots[client->free_count - 1];
    struct slot *slot = &client->slots[index];
    enum client_next next = client->ops->next(client->owner, &slot->request);

    if (next != CLIENT_REQUEST)
        return next;
    client->free_count--;
    slot->cookie = ++client->uses << COOKIE_SLOT_BITS | index;
    slot->received_bytes = 0;
    slot->error = 0;
    slot->busy = true;
    *out = slot;
    return next;
}

/* Adds a request to the message; headers that are neighbours share an entry. */
static unsigned add_request(struct bench_client *client, const struct slot *slot,
                            unsigned header_index, unsigned count)
{
    const struct client_request *request = &slot->request;
    size_t each_bytes = client->config.extended ? NBD_EXTENDED_REQUEST_BYTES : NBD_REQUEST_BYTES;
    uint8_t *header = client->send_headers + header_index * each_bytes;
    struct iovec *iov = client->send_iov;
    uint32_t header_bytes = put_header(client, header,
                                       &(struct nbd_request){
                                           .command = request->command,
                                           .cookie = slot->cookie,
                                           .offset_bytes = request->offset_bytes,
                                           .length_bytes = request->length_bytes,
                                       });

    if (count > 0 && (uint8_t *)iov[count - 1].iov_base + iov[count - 1].iov_len == header)
        iov[count - 1].iov_len += header_bytes;
    else
        iov[count++] = (struct iovec){ .iov_base = header, .iov_len = header_bytes };
    if (request->command != NBD_CMD_WRITE)
        return count;
    uint32_t length_bytes = request->length_bytes;
    bool own = request->data != NULL;
    return count + scratch_spread(iov + count, client->send_iov_room - count,
                                  own ? request->data : client->scratch->source,
                                  own ? length_bytes : SCRATCH_SOURCE_BYTES, &length_bytes);
}

static void transmit(struct bench_client *client)
{
    struct msghdr *message = &client->send_message;
    struct transport *transport = client->transport;

    client->sending = true;
    if (transport != NULL)
        transport->ops->send(transport, message->msg_iov, (unsigned)message->msg_iovlen);
    else
        loop_sendmsg(client->loop, &client->send_event, &client->file, message);
}

static void send_batch(struct bench_client *client)
{
    unsigned needed = iov_needed(client->config.block_max_bytes), count = 0;
    enum client_next next = CLIENT_REQUEST;
    struct slot *slot;

    if (client->free_count > 0)
        client->ops->batch(client->owner);
    for (unsigned i = 0; client->free_count > 0; i++) {
        if (count + needed > client->send_iov_room && count > 0)
            break;
        next = take_next(client, &slot);
        if (next != CLIENT_REQUEST)
            break;
        count = add_request(client, slot, i, count);
    }
    client->at_end = next == CLIENT_END;
    if (next == CLIENT_LATER && bench_client_in_flight(client) == 0 && !client->retrying) {
        client->retrying = true;
        loop_timer_start(client->loop, &client->retry_timer, RETRY_MS);
    }
    if (count == 0)
        return;
    client->send_message = (struct msghdr){ .msg_iov = client->send_iov, .msg_iovlen = count };
    transmit(client);
}

/* Sends what there is to send, receives what there is to receive, or ends. */
static void issue(struct loop_task *task)
{
    struct bench_client *client = container_of(task, struct bench_client, issue_task);

    if (client->ended)
        return;
    if (!client->failing && !client->sending)
        send_batch(client);
    if (!client->failing && bench_client_in_flight(client) > 0) {
        reply_stream_receive(&client->replies);
        return;
    }
    if (client->sending || client->replies.receiving || client->retrying)
        return;
    if (client->failing || client->at_end) {
        client->ended = true;
        client->ops->ended(client->owner, client->failing ? &client->failure : NULL);
    }
}

static void retry(struct io_event *ev, int result)
{
    struct loop_timer *timer = container_of(ev, struct loop_timer, event);
    struct bench_client *client = container_of(timer, struct bench_client, retry_timer);

    (void)result;
    client->retrying = false;
    loop_defer(client->loop, &client->issue_task);
}

static void fail(struct bench_client *client, int result, const char *what)
{
    struct error err;

    if (result == -EPIPE || result == -ECONNRESET || result == 0)
        (void)error_set(&err, -ECONNRESET,
                        "the server closed the connection while %u requests "
                        "were in flight",
                        bench_client_in_flight(client));
    else
        (void)error_set(&err, result, "%s failed: %s", what, strerror(-result));
    bench_client_abort(client, &err);
}

/* What the kernel took of the message is cut off its front; true if something is left. */
static bool cut_front(struct msghdr *message, size_t length_bytes)
{
    while (message->msg_iovlen > 0) {
        struct iovec *iov = message->msg_iov;

        if (length_bytes < iov->iov_len) {
            iov->iov_base = (uint8_t *)iov->iov_base + length_bytes;
            iov->iov_len -= length_bytes;
            return true;
        }
        length_bytes -= iov->iov_len;
        message->msg_iov++;
        message->msg_iovlen--;
    }
    return false;
}

static void sent(struct io_event *ev, int result)
{
    struct bench_client *client = container_of(ev, struct bench_client, send_event);
    bool again = result == -EINTR || result == -EAGAIN;

    client->sending = false;
    if (result < 0 && !again)
        fail(client, result, "sending");
    if (!client->failing && cut_front(&client->send_message, again ? 0 : (size_t)result)) {
        transmit(client);
        return;
    }
    if (client->free_count > 0 || client->failing)
        loop_defer(client->loop, &client->issue_task);
}

/* ---- replies ---- */

static void replies_begin(void *owner)
{
    struct bench_client *client = owner;

    client->ops->batch(client->owner);
}

static bool misbehaved(struct bench_client *client, const char *how)
{
    struct error err;

    (void)error_set(&err, -EPROTO, "the server does not keep to the protocol: %s", how);
    bench_client_abort(client, &err);
    return false;
}

static struct slot *slot_of(struct bench_client *client, uint64_t cookie)
{
    uint64_t index = cookie & COOKIE_SLOT_MASK;
    struct slot *slot = index < client->config.depth ? &client->slots[index] : NULL;

    return slot != NULL && slot->busy && slot->cookie == cookie ? slot : NULL;
}

/* Data or a hole: its place in the request's memory (NULL: none is wanted), or false. */
static bool place_data(struct bench_client *client, uint64_t offset_bytes, uint32_t length_bytes,
                       uint8_t **to)
{
    struct slot *slot = client->replied;
    const struct client_request *request = &slot->request;
    uint64_t start = offset_bytes - request->offset_bytes;

    if (request->command != NBD_CMD_READ)
        return misbehaved(client, "it answers with data what was no READ");
    if (offset_bytes < request->offset_bytes || length_bytes > request->length_bytes ||
        start > request->length_bytes - length_bytes ||
        length_bytes > request->length_bytes - slot->received_bytes)
        return misbehaved(client, "it sends data that was not asked for");
    slot->received_bytes += length_bytes;
    *to = request->data != NULL ? request->data + start : NULL;
    return true;
}

static bool reply_header(void *owner, const struct reply_header *header,
                         struct reply_payload *payload)
{
    struct bench_client *client = owner;
    struct slot *slot = slot_of(client, header->cookie);

    if (slot == NULL)
        return misbehaved(client, "it answers a request that was not made");
    client->replied = slot;
    client->replied_is_done = header->done;
    *payload = (struct reply_payload){ .length_bytes = header->text_bytes };
    if (header->error != 0) {
        slot->error = slot->error != 0 ? slot->error : header->error;
        return true;
    }
    if (header->simple && slot->request.command == NBD_CMD_READ) {
        payload->length_bytes = slot->request.length_bytes;
        return place_data(client, slot->request.offset_bytes, payload->length_bytes, &payload->to);
    }
    if (header->has_data) {
        payload->length_bytes = header->data_bytes;
        return place_data(client, header->data_offset_bytes, header->data_bytes, &payload->to);
    }
    if (header->has_hole) {
        uint8_t *zeros;

        if (!place_data(client, header->data_offset_bytes, header->hole_bytes, &zeros))
            return false;
        if (zeros != NULL)
            memset(zeros, 0, header->hole_bytes);
    }
    return true;
}

static bool request_failed(struct bench_client *client, const struct slot *slot)
{
    struct error err;

    (void)error_set(&err, -EIO, "the server answers %s of %u bytes at offset %" PRIu64 " with %s",
                    nbd_command_name(slot->request.command), slot->request.length_bytes,
                    slot->request.offset_bytes, reply_error_text(slot->error));
    bench_client_abort(client, &err);
    return false;
}

static bool reply_payload_end(void *owner)
{
    struct bench_client *client = owner;
    struct slot *slot = client->replied;

    if (!client->replied_is_done)
        return true;
    if (slot->error != 0)
        return request_failed(client, slot);
    if (slot->request.command == NBD_CMD_READ && slot->received_bytes != slot->request.length_bytes)
        return misbehaved(client, "a READ is answered with too little data");
    slot->busy = false;
    client->free_slots[client->free_count++] = (uint16_t)(slot->cookie & COOKIE_SLOT_MASK);
    client->ops->completed(client->owner, &slot->request);
    return true;
}

static bool replies_are_owed(void *owner)
{
    return bench_client_in_flight(owner) > 0;
}

/* More is issued once for all that came. */
static void replies_end(void *owner)
{
    struct bench_client *client = owner;

    loop_defer(client->loop, &client->issue_task);
}

static void replies_failed(void *owner, int result)
{
    struct bench_client *client = owner;

    if (result == REPLY_STREAM_MALFORMED)
        (void)misbehaved(client, "what it sends is no reply");
    else
        fail(client, result, "receiving");
    loop_defer(client->loop, &client->issue_task);
}
