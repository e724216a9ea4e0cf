/* A client of the control socket that sends anything.
 *
 * The input: one byte (how many bytes come with each receive, 0: all; bit 7: the client reads
 * nothing), then what the client sends.  Whatever comes, each call is answered once and in order,
 * no more than one message is kept, and what is put out is JSON.
 *
 * How to build and run it: see fuzz-handshake.c. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/control/varlink-connection.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REPLY_BYTES_MAX (1u << 22)

struct client {
    struct varlink_connection varlink;
    unsigned calls, replies;
    bool closed;
};

/* "m..." gets two replies, "e..." an error, others one with what they said. */
static void called(struct varlink_connection *connection)
{
    struct client *client = container_of(connection, struct client, varlink);
    struct varlink_call *call = &connection->call;

    EXPECT(connection->busy && call->method != NULL && call->method[0] != '\0');
    EXPECT(varlink_unsent_bytes(connection) == 0);
    client->calls++;
    if (call->method[0] == 'e') {
        varlink_error(connection, "org.example.Error", json_object_get(call->parameters));
        return;
    }
    if (call->method[0] == 'm' && call->more)
        varlink_reply(connection, NULL, true);
    varlink_reply(connection, json_object_get(call->parameters), false);
}

static void writable(struct varlink_connection *connection)
{
    EXPECT(connection->busy);
}

static void ended(struct varlink_connection *connection)
{
    EXPECT(connection->busy);
}

static void closed(struct varlink_connection *connection)
{
    struct client *client = container_of(connection, struct client, varlink);

    EXPECT(!client->closed);
    client->closed = true;
    varlink_release(connection);
}

static const struct varlink_ops ops = { called, writable, ended, closed };

static void check_replies(const char *text, size_t length_bytes)
{
    const char *end = text + length_bytes;

    while (text < end) {
        const char *nul = memchr(text, '\0', (size_t)(end - text));

        if (nul == NULL)
            return; /* the connection ended */
        struct json_object *reply = json_tokener_parse(text);
        EXPECT(json_object_is_type(reply, json_type_object));
        EXPECT(json_object_is_type(json_object_object_get(reply, "parameters"), json_type_object));
        json_object_put(reply);
        text = nul + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char replies[REPLY_BYTES_MAX];
    struct loop_config config = { .entries = 4 };
    struct client client = { 0 };
    struct loop *loop;

    if (size == 0 || loop_create(&loop, &config, NULL) < 0)
        return 0;
    int fd = fake_socket_create(loop);
    fake_socket_chunk(loop, fd, data[0] & 0x7f, 0);
    varlink_open(&client.varlink, &ops, loop, fd);
    fake_socket_feed(loop, fd, data + 1, size - 1);
    fake_loop_run(loop);
    EXPECT(client.closed || client.varlink.input_room_bytes <= VARLINK_MESSAGE_BYTES_MAX + 1);
    if ((data[0] & 0x80) == 0)
        check_replies(replies, fake_socket_take(loop, fd, replies, sizeof replies));
    fake_socket_end(loop, fd);
    fake_loop_run(loop);
    if (!client.closed)
        fake_socket_reset(loop, fd);
    fake_loop_run(loop);
    EXPECT(client.closed);
    loop_destroy(loop);
    return 0;
}

#ifdef FUZZ_STANDALONE

#define RANDOM_INPUTS 20000u

/* What calls are made of, and what none is made of. */
static const char *const pieces[] = {
    "{",
    "}",
    "[",
    "]",
    "\"method\":\"m.A\"",
    "\"parameters\":{}",
    "\"more\":true",
    ",",
    ":",
    "\"",
    "\\",
    "\"oneway\":true",
    "\"x\":[1,2]",
    "null",
    "1e99",
    "\xff",
    "\\u0000",
    "\\ud800",
    "\"method\":\"e.B\"",
    "'",
    "/*",
    "NaN",
    "-",
};
static const char *const calls[] = {
    "{\"method\":\"m.A\",\"more\":true}",
    "{\"method\":\"e.B\",\"parameters\":{\"a\":\"b\"}}",
    "{\"method\":\"org.example.C\",\"parameters\":{\"a\":[1,2,{}]},\"oneway\":true}",
    "{\"method\":\"org.example.D\",\"x\":null}",
};

static size_t put_piece(uint8_t *at, unsigned *seed)
{
    bool whole = rand_r(seed) % 2 == 0;
    const char *text = whole ? calls[(size_t)rand_r(seed) % (sizeof calls / sizeof calls[0])]
                             : pieces[(size_t)rand_r(seed) % (sizeof pieces / sizeof pieces[0])];
    size_t length_bytes = strlen(text);

    memcpy(at, text, length_bytes + 1);
    if (rand_r(seed) % 64 == 0)
        at[(size_t)rand_r(seed) % length_bytes] ^= (uint8_t)(1 << rand_r(seed) % 8);
    return length_bytes + (whole || rand_r(seed) % 8 == 0); /* with its NUL */
}

static void run_file(const char *folder, const char *name)
{
    uint8_t input[65536];
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    EXPECT(file != NULL);
    size_t size = fread(input, 1, sizeof input, file);
    fclose(file);
    LLVMFuzzerTestOneInput(input, size);
}

/* What the fuzzer has found to be worth keeping. */
static void run_corpus(const char *sources)
{
    struct dirent **entries;
    char folder[2048];

    snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus/control", sources);
    int count = scandir(folder, &entries, NULL, alphasort);
    EXPECT(count > 40); /* with "." and ".." */
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            run_file(folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

int main(void)
{
    const char *sources = getenv("top_srcdir");
    uint8_t input[4000];
    unsigned seed = 1;

    run_corpus(sources != NULL ? sources : ".");

    for (unsigned i = 0; i < RANDOM_INPUTS; i++) {
        size_t used = 1, count = (size_t)rand_r(&seed) % 40;

        input[0] = (uint8_t)rand_r(&seed);
        for (size_t k = 0; k < count; k++)
            used += put_piece(input + used, &seed);
        LLVMFuzzerTestOneInput(input, used);
    }
    return EXIT_SUCCESS;
}

#endif
