/* A remote NBD server that answers anything.
 *
 * The input: one byte (bit 0: structured replies; bit 1: extended headers; bit 2: two metadata
 * contexts; bit 3: commands name theirs; bits 4 to 7: how many bytes come with each receive, 0:
 * all), then steps of an operation, a length and its bytes: a command is sent, a reply to one comes
 * in the right frame with any content, or raw bytes. Whatever comes, no byte that the server has
 * not sent is taken for data, extents stay in their range, nothing is answered twice, and nothing
 * is written beside the buffers.
 *
 * How to build and run it: see fuzz-handshake.c. */
#include <stdint.h>
#include <stdlib.h>

#include "plugins/remote/remote-stream.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 4u
#define DATA_BYTES_MAX 2048u
#define EXTENTS_MAX 3u
#define UNSENT 0xee /* a byte that is never sent */

struct server {
    struct loop *loop;
    int fd;
    struct remote_stream stream;
    struct remote_slot slots[SLOTS];
    struct request requests[SLOTS];
    uint64_t commands;
    bool failed;
};

static struct server server;

/* ---- the stream's owner ---- */

static void check_read(const struct view *view)
{
    EXPECT(memchr(view->data, UNSENT, view->length_bytes) == NULL);
}

static void check_extents(const struct view *view)
{
    const struct extent_list *list = (const struct extent_list *)(const void *)view->data;
    uint64_t total_bytes = 0;

    EXPECT(list->count > 0 && list->count <= EXTENTS_MAX);
    for (uint32_t i = 0; i < list->count; i++)
        total_bytes += list->extents[i].length_bytes;
    EXPECT(total_bytes > 0 && total_bytes <= view->length_bytes);
}

static void finished(struct remote_stream *stream, struct remote_slot *slot)
{
    struct request *req = slot->req;

    EXPECT(!stream->failed && req != NULL);
    if (slot->error == 0 && req->view.op == REQUEST_READ)
        check_read(&req->view);
    if (slot->error == 0 && req->view.op == REQUEST_EXTENTS)
        check_extents(&req->view);
    free(req->view.data);
    slot->req = NULL;
}

static void complaint(struct remote_stream *stream, const struct remote_slot *slot,
                      const char *text)
{
    EXPECT(!stream->failed && slot->error != 0 && *text != '\0');
}

static void failed(struct remote_stream *stream, const char *reason)
{
    EXPECT(reason != NULL && !server.failed && stream == &server.stream);
    server.failed = true;
}

static void idle(struct remote_stream *stream)
{
    EXPECT(remote_stream_is_idle(stream));
}

static const struct remote_stream_owner owner = { finished, complaint, failed, idle };

/* ---- steps ---- */

static void send_command(uint8_t kind, uint8_t length)
{
    static const enum request_op ops[] = { REQUEST_READ, REQUEST_READ, REQUEST_WRITE,
                                           REQUEST_EXTENTS, REQUEST_FLUSH };
    static const struct remote_features features = { .block_min_bytes = 4,
                                                     .payload_max_bytes = DATA_BYTES_MAX };
    struct remote_slot *slot = &server.slots[kind / 8 % SLOTS];
    struct request *req = &server.requests[slot - server.slots];

    if (slot->req != NULL)
        return;
    *req = (struct request){
        .context = server.stream.replies.terms.contexts.present == 3 ? kind / 64u % 2 : 0,
        .view = { .op = ops[kind % 5], .offset_bytes = 4096, .length_bytes = length * 8u + 1 }
    };
    size_t room_bytes = req->view.op == REQUEST_EXTENTS
                            ? sizeof(struct extent_list) + EXTENTS_MAX * sizeof(struct extent)
                            : req->view.length_bytes;
    req->view.data = malloc(room_bytes);
    EXPECT(req->view.data != NULL);
    memset(req->view.data, UNSENT, room_bytes);
    if (req->view.op == REQUEST_EXTENTS)
        ((struct extent_list *)(void *)req->view.data)->capacity = EXTENTS_MAX;
    slot->req = req;
    slot->cookie = server.commands++ * SLOTS + (uint64_t)(slot - server.slots);
    EXPECT(remote_command_prepare(slot, &features, &server.stream.replies.terms) == 0);
    remote_stream_add(&server.stream, slot);
    remote_stream_flush(&server.stream);
}

static void feed(const uint8_t *data, size_t length_bytes)
{
    uint8_t clean[512];

    for (size_t i = 0; i < length_bytes; i++)
        clean[i] = data[i] == UNSENT ? 0 : data[i];
    fake_socket_feed(server.loop, server.fd, clean, length_bytes);
}

/* The first byte tells the type and the flags; an offset in the payload is put where it may be
 * right. */
static void feed_chunk(const uint8_t *data, size_t length_bytes)
{
    static const uint16_t types[] = { 0, 1, 1, 2, 5, 6, 0x8001, 0x8002, 0x8003, 77 };
    uint8_t header[NBD_EXTENDED_CHUNK_HEADER_BYTES], payload[255];
    const struct remote_slot *slot = &server.slots[data[0] / 64];
    uint16_t type = types[data[0] / 2 % 16 % (sizeof types / sizeof types[0])];

    length_bytes--;
    if (length_bytes > 0)
        memcpy(payload, data + 1, length_bytes);
    if ((type == 1 || type == 2) && length_bytes >= 8) {
        memset(payload, 0, 6);
        payload[6] = (uint8_t)(16 + payload[6] % 8);
    }
    if (type == 2 && length_bytes >= 12)
        memset(payload + 8, 0, 2);
    const struct nbd_chunk chunk = { data[0] % 2, type, slot->cookie, (uint32_t)length_bytes };
    if (server.stream.replies.terms.extended_headers) {
        nbd_encode_extended_chunk(header, &chunk, 4096);
        feed(header, NBD_EXTENDED_CHUNK_HEADER_BYTES);
    } else {
        nbd_encode_chunk(header, &chunk);
        feed(header, NBD_CHUNK_HEADER_BYTES);
    }
    feed(payload, length_bytes);
}

static void feed_simple(const uint8_t *data, size_t length_bytes)
{
    uint8_t header[NBD_SIMPLE_REPLY_BYTES];

    nbd_encode_simple_reply(header, data[0] % 8 * (data[0] % 2), server.slots[data[0] / 64].cookie);
    feed(header, sizeof header);
    feed(data + 1, length_bytes - 1);
}

static size_t step(const uint8_t *data, size_t size)
{
    size_t length = data[1], rest = size - 2;

    if (length > rest)
        length = rest;
    switch (data[0] % 8) {
    case 0:
    case 1:
        send_command(data[0], data[1]);
        return 2;
    case 2:
    case 3:
    case 4:
        if (length > 0)
            feed_chunk(data + 2, length);
        return 2 + length;
    case 5:
        if (length > 0)
            feed_simple(data + 2, length);
        return 2 + length;
    case 6:
        feed(data + 2, length);
        return 2 + length;
    default: /* much that is the same: the rest of a long payload */
        for (unsigned i = 0; i < 8; i++)
            feed(data + 2, length);
        return 2 + length;
    }
}

/* ---- all of it ---- */

static void begin(uint8_t flags)
{
    struct loop_config config = { .entries = 8 };
    struct transport *transport;
    struct error err;

    memset(&server, 0, sizeof server);
    EXPECT(loop_create(&server.loop, &config, &err) == 0);
    server.fd = fake_socket_create(server.loop);
    fake_socket_chunk(server.loop, server.fd, flags / 16, 0);
    EXPECT(transport_plain_create(&transport, server.loop, server.fd, &err) == 0);
    remote_stream_init(&server.stream, &owner, server.slots, SLOTS);
    remote_stream_start(
        &server.stream, transport,
        &(struct remote_connection){
            .fd = server.fd,
            .terms = { .structured_replies = flags & 3,
                       .extended_headers = flags & 2,
                       .status_payload = flags & 2 && flags & 8,
                       .contexts = { .present = flags & 4 ? 3 : 1, .id = { 0, 1 } } },
        });
}

static void end(void)
{
    remote_stream_abort(&server.stream);
    fake_loop_run(server.loop);
    remote_stream_close(&server.stream);
    for (unsigned i = 0; i < SLOTS; i++)
        if (server.slots[i].req != NULL)
            free(server.slots[i].req->view.data);
    loop_destroy(server.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t used = 1;

    if (size < 1)
        return 0;
    begin(data[0]);
    while (used + 2 < size && !server.failed) {
        used += step(data + used, size - used);
        fake_loop_run(server.loop);
    }
    end();
    return 0;
}

#ifdef FUZZ_STANDALONE

#define RANDOM_INPUTS 20000u

int main(void)
{
    uint8_t input[1000];
    unsigned seed = 1;

    for (unsigned i = 0; i < RANDOM_INPUTS; i++) {
        for (size_t k = 0; k < sizeof input; k++)
            input[k] = (uint8_t)(rand_r(&seed) % (k % 3 == 1 ? 32 : 256));
        LLVMFuzzerTestOneInput(input, (size_t)rand_r(&seed) % sizeof input);
    }
    return EXIT_SUCCESS;
}

#endif
