/* What a server may answer to `nbdcrypt list`: replies that are drawn from the input, most of them
 * of the option that was asked.  What is kept of them is clean, and no more than there may be.
 *
 * A record of the input: 8 bits kind of reply and how it is wrong, 8 bits length, the payload.
 *
 * With libFuzzer: see docs/hacking.md.  Without (FUZZ_STANDALONE) it is a unit test of random
 * input. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"
#include "server/client/client-list.h"
#include "server/nbd/nbd-wire.h"

#define REPLY_BYTES_MAX 16384u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Both ends of the connection. */
struct server {
    const uint8_t *at, *end; /* of the input */
    uint32_t option;         /* that was asked last */
    uint8_t reply[REPLY_BYTES_MAX];
    size_t reply_start, reply_end; /* what was not received yet */
};

static uint8_t take_byte(struct server *server)
{
    return server->at < server->end ? *server->at++ : 0;
}

static ssize_t client_sends(struct channel *channel, const void *data, size_t length_bytes,
                            short *events, struct error *err)
{
    struct server *server = channel->context;
    const uint8_t *bytes = data;

    (void)events;
    (void)err;
    if (length_bytes == NBD_OPTION_HEADER_BYTES)
        server->option = nbd_get_u32(bytes + 8);
    return (ssize_t)length_bytes;
}

static void make_reply(struct server *server)
{
    static const uint32_t types[8] = { NBD_REP_ACK,          NBD_REP_SERVER,     NBD_REP_INFO,
                                       NBD_REP_META_CONTEXT, NBD_REP_ERR_UNSUP,  NBD_REP_ERR_POLICY,
                                       NBD_REP_ERR_TLS_REQD, NBD_REP_ERR_UNKNOWN };
    uint8_t kind = take_byte(server);
    size_t length = take_byte(server), left = (size_t)(server->end - server->at);
    uint8_t *payload = server->reply + NBD_OPTION_REPLY_BYTES;

    if ((kind & 0x80) != 0)
        length *= 40;
    if ((kind & 0x40) != 0 && (kind & 7) == 2)
        length = kind & 0x80 ? 14 : 12;
    memset(payload, 'x', length);
    memcpy(payload, server->at, length < left ? length : left);
    server->at += length < left ? length : left;
    /* The length of a name, and the type of an information, that make sense. */
    if ((kind & 0x40) != 0 && (kind & 7) == 1 && length >= 4)
        nbd_put_u32(payload, (uint32_t)(length - 4) / 2);
    if ((kind & 0x40) != 0 && (kind & 7) == 2)
        nbd_put_u16(payload, kind & 0x80 ? NBD_INFO_BLOCK_SIZE : NBD_INFO_EXPORT);
    nbd_encode_option_reply(server->reply, &(struct nbd_option_reply){
                                               .option = server->option ^ ((kind & 0x38) == 0x38),
                                               .type = types[kind & 7],
                                               .length_bytes = (uint32_t)length,
                                           });
    server->reply_start = 0;
    server->reply_end = NBD_OPTION_REPLY_BYTES + length;
}

static ssize_t client_receives(struct channel *channel, void *data, size_t length_bytes,
                               short *events, struct error *err)
{
    struct server *server = channel->context;

    (void)events;
    (void)err;
    if (server->reply_start == server->reply_end) {
        if (server->at == server->end)
            return 0;
        make_reply(server);
    }
    size_t count = server->reply_end - server->reply_start;
    if (count > length_bytes)
        count = length_bytes;
    memcpy(data, server->reply + server->reply_start, count);
    server->reply_start += count;
    return (ssize_t)count;
}

static const struct channel_protection pipes = { client_sends, client_receives };

static void check(const struct client_list *list, bool whole)
{
    assert(list->list_refused == NULL || utf8_is_clean(list->list_refused));
    for (unsigned i = 0; i < list->export_count; i++) {
        const struct client_list_export *export = &list->exports[i];

        assert(utf8_is_clean(export->name));
        assert(export->wire_name == NULL || strlen(export->wire_name) <= NBD_STRING_BYTES_MAX);
        assert(export->description == NULL || utf8_is_clean(export->description));
        assert(export->why_not == NULL || utf8_is_clean(export->why_not));
        assert(!whole || export->why_not != NULL || export->info.size_bytes <= INT64_MAX);
        for (unsigned k = 0; k < export->context_count; k++)
            assert(utf8_is_clean(export->contexts[k]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct server server;
    struct channel channel = {
        .fd = -1, .end_ms = channel_clock_ms() + 60000, .protection = &pipes, .context = &server
    };
    struct client_wishes wishes = { .export_name = "" };
    struct client_list list = { .export_count = 0 };
    struct error err = { .text = "" };

    server = (struct server){ .at = data, .end = data + size, .reply_end = NBD_GREETING_BYTES };
    nbd_encode_greeting(server.reply, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    if (take_byte(&server) % 4 == 0)
        wishes.export_name = "one";
    int result = client_list_read(&list, &channel, &wishes, &err);
    assert((result < 0) == (err.text[0] != '\0'));
    check(&list, result == 0);
    client_list_free(&list);
    return 0;
}

#ifdef FUZZ_STANDALONE

#define INPUTS 20000u

int main(void)
{
    unsigned seed = 1;

    for (unsigned i = 0; i < INPUTS; i++) {
        uint8_t input[1024] = { (uint8_t)rand_r(&seed) };
        size_t bytes = 1;

        for (int records = rand_r(&seed) % 24; records > 0; records--) {
            static const uint8_t likely[] = { 0x00, 0x00, 0x41, 0x42, 0xc2, 0x03, 0x02, 0x07 };
            int kind = rand_r(&seed) % 16;
            uint8_t length = (uint8_t)(rand_r(&seed) % 32);

            if (kind == 3 || kind == 4) /* as make_reply() has it */
                length = kind == 3 ? 12 : 14;
            input[bytes++] = (uint8_t)(likely[kind % 8] ^ (kind > 7 && rand_r(&seed) % 9 == 0));
            input[bytes++] = length;
            for (; length > 0; length--)
                input[bytes++] = (uint8_t)(rand_r(&seed) % 3 == 0 ? rand_r(&seed) : 0);
        }
        LLVMFuzzerTestOneInput(input, bytes);
    }
    return 0;
}

#endif
