/* One connection of the load generator against a server that the test plays, on the fake loop:
 * every form of reply, cut at any byte, and everything that can go wrong. */
#include "bench/bench-client.h"

#include <errno.h>

#include "bench/reply-header.h"
#include "server/nbd/nbd-wire.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

#define DEPTH 4u
#define BLOCK 1000u /* of a READ in these tests */
#define REQUESTS 10u

static struct loop *loop;
static struct scratch scratch;
static struct bench_client *client;
static int fd;

/* ---- the owner ---- */

static unsigned asked, answered, ended_count;
static uint16_t command_to_ask;
static struct error failure;

static void owner_batch(void *owner)
{
    (void)owner;
}

static enum client_next owner_next(void *owner, struct client_request *request)
{
    (void)owner;
    if (asked == REQUESTS)
        return CLIENT_END;
    request->command = command_to_ask;
    request->offset_bytes = 1000000ull * asked++;
    request->length_bytes = BLOCK;
    if (request->data != NULL && command_to_ask == NBD_CMD_WRITE)
        memset(request->data, (int)asked, BLOCK);
    else if (request->data != NULL)
        memset(request->data, 0xee, BLOCK);
    return CLIENT_REQUEST;
}

static uint8_t byte_of(uint64_t offset_bytes)
{
    return (uint8_t)(offset_bytes * 7 + offset_bytes / 1000000);
}

/* Bytes 300 to 399 are what the server calls a hole. */
static void owner_completed(void *owner, struct client_request *request)
{
    (void)owner;
    answered++;
    if (request->data == NULL || request->command != NBD_CMD_READ)
        return;
    for (unsigned i = 0; i < BLOCK; i++) {
        uint8_t expected = byte_of(request->offset_bytes + i);

        EXPECT(request->data[i] == expected || (request->data[i] == 0 && i >= 300 && i < 400));
    }
}

static void owner_ended(void *owner, const struct error *err)
{
    (void)owner;
    ended_count++;
    failure.text[0] = '\0';
    if (err != NULL)
        failure = *err;
    loop_stop(loop);
}

static const struct client_owner_ops owner_ops = {
    .batch = owner_batch,
    .next = owner_next,
    .completed = owner_completed,
    .ended = owner_ended,
};

static void begin(uint16_t command, bool keep_data)
{
    struct loop_config loop_config = { .entries = 8 };
    struct bench_client_config config = { .depth = DEPTH,
                                          .block_max_bytes = BLOCK,
                                          .keep_data = keep_data };
    struct error err;

    asked = answered = ended_count = 0;
    command_to_ask = command;
    EXPECT(loop_create(&loop, &loop_config, &err) == 0);
    EXPECT(scratch_create(&scratch, &err) == 0);
    fd = config.fd = fake_socket_create(loop);
    EXPECT(bench_client_create(&client, &config, &err) == 0);
    bench_client_attach(client, loop, &scratch, &owner_ops, NULL);
}

static void finish(void)
{
    EXPECT(ended_count == 1);
    bench_client_detach(client);
    bench_client_destroy(client);
    scratch_destroy(&scratch);
    loop_destroy(loop);
}

/* ---- the server ---- */

static void feed(const void *data, size_t length_bytes)
{
    fake_socket_feed(loop, fd, data, length_bytes);
}

static void feed_pattern(uint64_t offset_bytes, uint32_t length_bytes)
{
    uint8_t data[BLOCK];

    for (uint32_t i = 0; i < length_bytes; i++)
        data[i] = byte_of(offset_bytes + i);
    feed(data, length_bytes);
}

static void feed_simple(const struct nbd_request *request, uint32_t error)
{
    uint8_t header[NBD_SIMPLE_REPLY_BYTES];

    nbd_encode_simple_reply(header, error, request->cookie);
    feed(header, sizeof header);
    if (request->command == NBD_CMD_READ && error == 0)
        feed_pattern(request->offset_bytes, (uint32_t)request->length_bytes);
}

static void feed_chunk(const struct nbd_request *request, uint16_t type, bool done,
                       uint32_t length_bytes)
{
    uint8_t header[NBD_CHUNK_HEADER_BYTES];

    nbd_encode_chunk(header, &(struct nbd_chunk){
                                 .flags = done ? NBD_REPLY_FLAG_DONE : 0,
                                 .type = type,
                                 .cookie = request->cookie,
                                 .length_bytes = length_bytes,
                             });
    feed(header, sizeof header);
}

static void feed_data(const struct nbd_request *request, uint32_t start, uint32_t length_bytes,
                      bool done)
{
    uint8_t offset[8];

    feed_chunk(request, NBD_REPLY_TYPE_OFFSET_DATA, done, length_bytes + 8);
    nbd_put_u64(offset, request->offset_bytes + start);
    feed(offset, sizeof offset);
    feed_pattern(request->offset_bytes + start, length_bytes);
}

static void feed_hole(const struct nbd_request *request, uint32_t start, uint32_t length_bytes,
                      bool done)
{
    uint8_t hole[12];

    feed_chunk(request, NBD_REPLY_TYPE_OFFSET_HOLE, done, sizeof hole);
    nbd_put_u64(hole, request->offset_bytes + start);
    nbd_put_u32(hole + 8, length_bytes);
    feed(hole, sizeof hole);
}

static void feed_error(const struct nbd_request *request, uint32_t error, const char *text,
                       bool done)
{
    uint8_t payload[6];

    feed_chunk(request, NBD_REPLY_TYPE_ERROR, done, (uint32_t)(sizeof payload + strlen(text)));
    nbd_put_u32(payload, error);
    nbd_put_u16(payload + 4, (uint16_t)strlen(text));
    feed(payload, sizeof payload);
    feed(text, strlen(text));
}

/* Requests that have come; payloads of writes are taken away. */
static unsigned take_requests(struct nbd_request requests[DEPTH])
{
    uint8_t data[BLOCK];
    unsigned count = 0;

    while (fake_socket_ready(loop, fd) >= NBD_REQUEST_BYTES) {
        EXPECT(count < DEPTH);
        EXPECT(fake_socket_take(loop, fd, data, NBD_REQUEST_BYTES) == NBD_REQUEST_BYTES);
        EXPECT(nbd_decode_request(data, &requests[count]));
        EXPECT(requests[count].command == command_to_ask);
        EXPECT(requests[count].length_bytes == BLOCK);
        if (command_to_ask == NBD_CMD_WRITE)
            EXPECT(fake_socket_take(loop, fd, data, BLOCK) == BLOCK);
        count++;
    }
    return count;
}

/* In the reverse order, each in another form. */
static void answer_all(bool structured)
{
    struct nbd_request requests[DEPTH];
    unsigned count;

    while (fake_loop_run(loop), (count = take_requests(requests)) > 0) {
        while (count-- > 0) {
            const struct nbd_request *request = &requests[count];

            if (!structured) {
                feed_simple(request, 0);
            } else if (request->command != NBD_CMD_READ) {
                feed_chunk(request, NBD_REPLY_TYPE_NONE, true, 0);
            } else if (count % 2 == 0) {
                feed_data(request, 0, BLOCK, true);
            } else {
                feed_data(request, 400, BLOCK - 400, false);
                feed_hole(request, 300, 100, false);
                feed_data(request, 0, 300, false);
                feed_chunk(request, NBD_REPLY_TYPE_NONE, true, 0);
            }
        }
    }
}

static void expect_all_answered(void)
{
    EXPECT(answered == REQUESTS);
    EXPECT_TEXT(failure.text, "");
}

/* ---- what works ---- */

static void every_form_of_reply(void)
{
    static const uint16_t commands[] = { NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_TRIM };

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned variant = 0; variant < 4; variant++) {
            begin(commands[i], variant / 2 == 1);
            answer_all(variant % 2 == 1);
            expect_all_answered();
            finish();
        }
    }
}

static void any_cut(void)
{
    for (size_t chunk = 1; chunk < 300; chunk++) {
        for (unsigned variant = 0; variant < 4; variant++) {
            begin(variant / 2 == 0 ? NBD_CMD_READ : NBD_CMD_WRITE, chunk % 2 == 0);
            fake_socket_chunk(loop, fd, chunk, 301 - chunk);
            answer_all(variant % 2 == 1);
            expect_all_answered();
            finish();
        }
    }
}

static void one_message_for_all(void)
{
    begin(NBD_CMD_READ, false);
    fake_loop_fail(loop, 0, 0);
    fake_loop_run(loop);
    /* One send for the whole depth, one receive that waits. */
    EXPECT(fake_loop_operations(loop) == 2);
    EXPECT(fake_socket_ready(loop, fd) == DEPTH * NBD_REQUEST_BYTES);
    answer_all(false);
    finish();
}

static void again_on_another_loop(void)
{
    struct loop_config config = { .entries = 8 };
    struct loop *first = loop;
    struct error err;

    begin(NBD_CMD_READ, false);
    first = loop;
    answer_all(true);
    bench_client_detach(client);
    asked = answered = ended_count = 0;
    EXPECT(loop_create(&loop, &config, &err) == 0);
    (void)fake_socket_create(loop); /* the number of the first socket of each loop is the same */
    bench_client_attach(client, loop, &scratch, &owner_ops, NULL);
    answer_all(true);
    expect_all_answered();
    finish();
    loop_destroy(first);
}

/* ---- what does not ---- */

static void expect_failure(const char *part)
{
    fake_loop_run(loop);
    if (ended_count != 1 || strstr(failure.text, part) == NULL)
        EXPECT_TEXT(failure.text, part);
    finish();
}

static struct nbd_request first_of(uint16_t command)
{
    struct nbd_request requests[DEPTH];

    begin(command, true);
    fake_loop_run(loop);
    EXPECT(take_requests(requests) == DEPTH);
    return requests[0];
}

static void errors_of_requests(void)
{
    struct nbd_request request = first_of(NBD_CMD_READ);

    feed_simple(&request, NBD_EIO);
    expect_failure("READ of 1000 bytes at offset 0 with EIO");

    request = first_of(NBD_CMD_WRITE);
    feed_error(&request, NBD_ENOSPC, "the disk is full, sorry", true);
    expect_failure("WRITE of 1000 bytes at offset 0 with ENOSPC");

    request = first_of(NBD_CMD_READ);
    feed_data(&request, 0, 500, false);
    feed_error(&request, NBD_EIO, "", false);
    feed_chunk(&request, NBD_REPLY_TYPE_NONE, true, 0);
    expect_failure("READ of 1000 bytes at offset 0 with EIO");
}

static void broken_replies(void)
{
    struct nbd_request request = first_of(NBD_CMD_READ), other;

    feed("HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    expect_failure("what it sends is no reply");

    request = first_of(NBD_CMD_READ);
    other = request;
    other.cookie += 1ull << 40;
    feed_simple(&other, 0);
    expect_failure("a request that was not made");

    request = first_of(NBD_CMD_TRIM);
    feed_simple(&request, 0);
    feed_simple(&request, 0);
    expect_failure("a request that was not made");

    request = first_of(NBD_CMD_TRIM);
    feed_data(&request, 0, 10, true);
    expect_failure("what was no READ");

    request = first_of(NBD_CMD_READ);
    feed_data(&request, 0, 999, true);
    expect_failure("too little data");

    request = first_of(NBD_CMD_READ);
    feed_data(&request, 0, 600, false);
    feed_data(&request, 300, 600, true); /* the sum is too much */
    expect_failure("data that was not asked for");

    request = first_of(NBD_CMD_READ);
    feed_hole(&request, 990, 11, true);
    expect_failure("data that was not asked for");

    request = first_of(NBD_CMD_READ);
    request.offset_bytes -= 1;
    feed_data(&request, 0, 10, true);
    expect_failure("data that was not asked for");

    request = first_of(NBD_CMD_READ);
    feed_chunk(&request, NBD_REPLY_TYPE_BLOCK_STATUS, true, 12);
    feed("            ", 12);
    expect_failure("what it sends is no reply");
}

static void lost_connections(void)
{
    struct nbd_request request = first_of(NBD_CMD_READ);

    fake_socket_end(loop, fd);
    expect_failure("closed the connection while 4 requests were in flight");

    request = first_of(NBD_CMD_READ);
    feed_data(&request, 0, 500, false);
    fake_socket_end(loop, fd);
    expect_failure("closed the connection");

    (void)first_of(NBD_CMD_READ);
    fake_socket_reset(loop, fd);
    expect_failure("closed the connection");

    (void)first_of(NBD_CMD_READ);
    bench_client_abort(client, &(struct error){ "the owner has had enough" });
    expect_failure("the owner has had enough");
}

/* However far it came: it ends once, with a reason. */
static void every_operation_fails_once(void)
{
    for (unsigned fail_at = 1;; fail_at++) {
        begin(fail_at % 2 == 0 ? NBD_CMD_WRITE : NBD_CMD_READ, true);
        fake_loop_fail(loop, fail_at, EIO);
        answer_all(true);
        fake_loop_run(loop);
        bool fired = fake_loop_operations(loop) >= fail_at;
        if (fired)
            EXPECT(strstr(failure.text, "Input/output error") != NULL);
        else
            expect_all_answered();
        finish();
        if (!fired)
            return;
    }
}

static const struct check checks[] = {
    { "simple and structured replies to all commands are taken, in any order",
      every_form_of_reply },
    { "replies and requests may be cut at any byte", any_cut },
    { "requests that are ready leave in one message", one_message_for_all },
    { "a client can be used on a second loop", again_on_another_loop },
    { "errors that the server tells end the client with a sentence", errors_of_requests },
    { "replies that break the protocol end the client with a sentence", broken_replies },
    { "a connection that ends is a failure, however far it came", lost_connections },
    { "each operation may fail: the client ends once, with the reason",
      every_operation_fails_once },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
