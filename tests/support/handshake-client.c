#include "tests/support/handshake-client.h"

#include <assert.h>
#include <stdlib.h>

#define OPS_ALL ((1u << REQUEST_OP_COUNT) - 1)

struct export client_exports[3] = {
    {
        .name = "db1",
        .description = "the database",
        .limits = { .size_bytes = 0x123456789000u,
                    .block_min_bytes = 1,
                    .block_preferred_bytes = 4096,
                    .phase_bytes = 1,
                    .ops = OPS_ALL,
                    .fua = true,
                    .multi_conn = true },
    },
    {
        .name = "protokolle \xc3\xa4",
        .limits = { .size_bytes = 512,
                    .block_min_bytes = 512,
                    .block_preferred_bytes = 512,
                    .phase_bytes = 1,
                    .ops = OP_BIT(REQUEST_READ),
                    .read_only = true },
    },
    {
        .name = "big",
        .limits = { .size_bytes = INT64_MAX,
                    .block_min_bytes = 65536,
                    .block_preferred_bytes = 1u << 20,
                    .phase_bytes = 1,
                    .ops = OPS_ALL,
                    .fua = true,
                    .rotational = true },
    },
};

/* ---- in place of connection.c ---- */

static void ended(struct io_event *ev, int result)
{
    struct client *client = container_of(ev, struct client, ended);

    EXPECT(client->ends == 0);
    client->ends++;
    client->result = (enum handshake_result)result;
    handshake_free(client->handshake);
    client->handshake = NULL;
}

/* ---- payloads ---- */

void payload_bytes(struct payload *payload, const void *data, size_t length_bytes)
{
    assert(length_bytes <= sizeof payload->data - payload->length_bytes);
    memcpy(payload->data + payload->length_bytes, data, length_bytes);
    payload->length_bytes += length_bytes;
}

void payload_u16(struct payload *payload, unsigned value)
{
    uint8_t bytes[2];

    nbd_put_u16(bytes, (uint16_t)value);
    payload_bytes(payload, bytes, sizeof bytes);
}

void payload_u32(struct payload *payload, size_t value)
{
    uint8_t bytes[4];

    nbd_put_u32(bytes, (uint32_t)value);
    payload_bytes(payload, bytes, sizeof bytes);
}

void payload_string(struct payload *payload, const char *text)
{
    payload_u32(payload, strlen(text));
    payload_bytes(payload, text, strlen(text));
}

/* ---- the connection ---- */

/* The loop is there, and nothing has been asked of it. */
static void prepare(struct client *client, struct export *exports, size_t count)
{
    const struct loop_config config = { .entries = 8 };
    struct error err;

    struct export **pointers = calloc(count + 1, sizeof *pointers);

    assert(pointers != NULL);
    for (size_t i = 0; i < count; i++) {
        exports[i].id = i + 1;
        pointers[i] = &exports[i];
    }
    *client = (struct client){ 0 };
    EXPECT(export_set_create(&client->set, pointers, count, &err) == 0);
    free(pointers);
    EXPECT(loop_create(&client->loop, &config, &err) == 0);
}

static void accept_it(struct client *client)
{
    struct error err;

    client->fd = fake_socket_create(client->loop);
    client->worker.loop = client->loop;
    client->worker.exports = client->set;
    client->talk.worker = &client->worker;
    snprintf(client->talk.peer.text, sizeof client->talk.peer.text, "test client");
    EXPECT(transport_plain_create(&client->talk.transport, client->loop, client->fd, &err) == 0);
    client->ended.fn = ended;
    client->handshake = handshake_start(&client->talk, &client->ended);
    EXPECT(client->handshake);
    EXPECT(client->ends == 0);
}

void client_open_with(struct client *client, struct export *exports, size_t count)
{
    prepare(client, exports, count);
    accept_it(client);
}

void client_open(struct client *client)
{
    client_open_with(client, client_exports, 3);
}

void client_open_failing(struct client *client, unsigned nth, int error)
{
    prepare(client, client_exports, 3);
    fake_loop_fail(client->loop, nth, error);
    accept_it(client);
}

static void free_all(struct client *client)
{
    EXPECT(client->ends == 1);
    EXPECT(fake_loop_pending(client->loop) == 0);
    client->talk.transport->ops->close(client->talk.transport);
    negotiated_reset(&client->talk.negotiated);
    loop_destroy(client->loop);
    export_set_free(client->set);
}

void client_close(struct client *client)
{
    if (client->ends == 0) {
        fake_socket_end(client->loop, client->fd);
        fake_loop_run(client->loop);
        EXPECT(client->result == HANDSHAKE_ABORT);
    }
    EXPECT(fake_socket_ready(client->loop, client->fd) == 0);
    free_all(client);
}

void client_break(struct client *client)
{
    fake_socket_reset(client->loop, client->fd);
    fake_loop_run(client->loop);
    free_all(client);
}

void client_greet(struct client *client, uint32_t flags)
{
    uint8_t bytes[NBD_GREETING_BYTES];
    uint16_t offered;

    fake_loop_run(client->loop);
    EXPECT(fake_socket_take(client->loop, client->fd, bytes, sizeof bytes) == sizeof bytes);
    EXPECT(fake_socket_ready(client->loop, client->fd) == 0);
    EXPECT(nbd_decode_greeting(bytes, &offered));
    EXPECT(offered == (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES));
    nbd_put_u32(bytes, flags);
    fake_socket_feed(client->loop, client->fd, bytes, 4);
    fake_loop_run(client->loop);
}

void client_start(struct client *client)
{
    client_open(client);
    client_greet(client, CLIENT_FLAGS_ALL);
}

/* ---- options ---- */

void client_send(struct client *client, uint32_t option, const void *data, size_t length_bytes)
{
    const struct nbd_option_header header = { option, (uint32_t)length_bytes };
    uint8_t bytes[NBD_OPTION_HEADER_BYTES];

    nbd_encode_option_header(bytes, &header);
    fake_socket_feed(client->loop, client->fd, bytes, sizeof bytes);
    fake_socket_feed(client->loop, client->fd, data, length_bytes);
}

void client_option(struct client *client, uint32_t option, const struct payload *payload)
{
    client_send(client, option, payload->data, payload->length_bytes);
    fake_loop_run(client->loop);
}

void client_option_empty(struct client *client, uint32_t option)
{
    client_send(client, option, NULL, 0);
    fake_loop_run(client->loop);
}

void client_info(struct client *client, uint32_t option, const char *name, const int *infos)
{
    struct payload payload = { .length_bytes = 0 };
    unsigned count = 0;

    while (infos[count] >= 0)
        count++;
    payload_string(&payload, name);
    payload_u16(&payload, count);
    for (unsigned i = 0; i < count; i++)
        payload_u16(&payload, (unsigned)infos[i]);
    client_option(client, option, &payload);
}

void client_contexts(struct client *client, uint32_t option, const char *name,
                     const char *const *queries)
{
    struct payload payload = { .length_bytes = 0 };
    size_t count = 0;

    while (queries[count])
        count++;
    payload_string(&payload, name);
    payload_u32(&payload, count);
    for (size_t i = 0; i < count; i++)
        payload_string(&payload, queries[i]);
    client_option(client, option, &payload);
}

/* ---- replies ---- */

void client_take(struct client *client, uint32_t option, struct reply *reply)
{
    uint8_t header[NBD_OPTION_REPLY_BYTES];
    struct nbd_option_reply decoded;

    EXPECT(fake_socket_take(client->loop, client->fd, header, sizeof header) == sizeof header);
    EXPECT(nbd_decode_option_reply(header, &decoded));
    EXPECT(decoded.option == option);
    EXPECT(decoded.length_bytes <= sizeof reply->data);
    EXPECT(fake_socket_take(client->loop, client->fd, reply->data, decoded.length_bytes) ==
           decoded.length_bytes);
    reply->type = decoded.type;
    reply->length_bytes = decoded.length_bytes;
    if (reply->type == NBD_REP_ACK)
        EXPECT(reply->length_bytes == 0);
    if (reply->type >> 31) {
        EXPECT(reply->length_bytes > 0 && reply->length_bytes <= NBD_STRING_BYTES_MAX);
        EXPECT(nbd_string_is_valid(reply->data, reply->length_bytes));
        EXPECT(reply->type != NBD_REP_ERR_TLS_REQD);
    }
}

void client_expect(struct client *client, uint32_t option, uint32_t type)
{
    struct reply reply;

    client_take(client, option, &reply);
    EXPECT(reply.type == type);
}

void client_expect_only(struct client *client, uint32_t option, uint32_t type)
{
    client_expect(client, option, type);
    EXPECT(fake_socket_ready(client->loop, client->fd) == 0);
}

void client_expect_silence(struct client *client)
{
    EXPECT(fake_socket_ready(client->loop, client->fd) == 0);
    EXPECT(client->ends == 0);
    EXPECT(fake_loop_pending(client->loop) == 1);
}

void client_expect_end(struct client *client, enum handshake_result result)
{
    EXPECT(fake_socket_ready(client->loop, client->fd) == 0);
    EXPECT(client->ends == 1);
    EXPECT(client->result == result);
}
