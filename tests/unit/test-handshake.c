/* The handshake as a client sees it: a claim for each rule of the specification (proto.md). */
#include "tests/support/handshake-client.h"

#define INFOS(...) ((const int[]){ __VA_ARGS__, -1 })
#define NO_INFOS ((const int[]){ -1 })
#define QUERIES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define NO_QUERIES ((const char *const[]){ NULL })

static struct client client;

/* The handshake goes on: an option that every server answers is answered. */
static void expect_goes_on(void)
{
    client_info(&client, NBD_OPT_INFO, "no such export", NO_INFOS);
    client_expect_only(&client, NBD_OPT_INFO, NBD_REP_ERR_UNKNOWN);
    client_expect_silence(&client);
}

static void want_structured_replies(void)
{
    client_option_empty(&client, NBD_OPT_STRUCTURED_REPLY);
    client_expect_only(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
}

/* GO, whose replies are thrown away. */
static void go(const char *name)
{
    struct reply reply;

    client_info(&client, NBD_OPT_GO, name, NO_INFOS);
    do
        client_take(&client, NBD_OPT_GO, &reply);
    while (reply.type == NBD_REP_INFO);
    EXPECT(reply.type == NBD_REP_ACK);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
}

/* ---- greeting and flags ---- */

static void greeting(void)
{
    static const char spec[] = "NBDMAGICIHAVEOPT\0\3";
    uint8_t bytes[64];

    client_open(&client);
    fake_loop_run(client.loop);
    EXPECT(fake_socket_take(client.loop, client.fd, bytes, sizeof bytes) == 18);
    EXPECT(!memcmp(bytes, spec, 18));
    client_expect_silence(&client);
    client_close(&client);
}

static void unknown_client_flags(void)
{
    for (unsigned bit = 2; bit < 32; bit++) {
        client_open(&client);
        client_greet(&client, CLIENT_FLAGS_ALL | 1u << bit);
        client_expect_end(&client, HANDSHAKE_ABORT);
        client_close(&client);
    }
}

static void known_client_flags(void)
{
    for (uint32_t flags = 0; flags <= CLIENT_FLAGS_ALL; flags++) {
        client_open(&client);
        client_greet(&client, flags);
        client_expect_silence(&client);
        client_close(&client);
    }
}

static void not_fixed_newstyle(void)
{
    for (uint32_t option = 2; option < 14; option++) {
        client_open(&client);
        client_greet(&client, 0);
        client_option_empty(&client, option);
        client_expect_end(&client, HANDSHAKE_ABORT);
        client_close(&client);
    }
}

static void bad_option_magic(void)
{
    for (size_t i = 0; i < 8; i++) {
        uint8_t header[] = "IHAVEOPT\0\0\0\3\0\0\0";

        client_start(&client);
        header[i] ^= 0x20;
        fake_socket_feed(client.loop, client.fd, header, sizeof header);
        fake_loop_run(client.loop);
        client_expect_end(&client, HANDSHAKE_ABORT);
        client_close(&client);
    }
}

/* ---- EXPORT_NAME ---- */

static void export_name(uint32_t flags, size_t expected_bytes)
{
    uint8_t bytes[256];

    client_open(&client);
    client_greet(&client, flags);
    client_send(&client, NBD_OPT_EXPORT_NAME, "db1", 3);
    fake_loop_run(client.loop);
    EXPECT(fake_socket_take(client.loop, client.fd, bytes, sizeof bytes) == expected_bytes);
    EXPECT(nbd_get_u64(bytes) == 0x123456789000u);
    EXPECT(nbd_get_u16(bytes + 8) == handshake_transmission_flags(&client_exports[0], false));
    for (size_t i = 10; i < expected_bytes; i++)
        EXPECT(bytes[i] == 0);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    EXPECT(client.talk.export == &client_exports[0]);
    client_close(&client);
}

static void export_name_with_zeroes(void)
{
    export_name(NBD_FLAG_C_FIXED_NEWSTYLE, 134);
    export_name(0, 134);
}

static void export_name_without_zeroes(void)
{
    export_name(CLIENT_FLAGS_ALL, 10);
    export_name(NBD_FLAG_C_NO_ZEROES, 10);
}

static void export_name_refused(void)
{
    static uint8_t long_name[4097];
    static const struct {
        const void *name;
        size_t bytes;
    } rows[] = {
        { "db", 2 },   { "db11", 4 },       { "", 0 },           { "db1", 4 },
        { "\xff", 1 }, { long_name, 4096 }, { long_name, 4097 },
    };

    memset(long_name, 'x', sizeof long_name);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        client_start(&client);
        client_send(&client, NBD_OPT_EXPORT_NAME, rows[i].name, rows[i].bytes);
        fake_loop_run(client.loop);
        client_expect_end(&client, HANDSHAKE_ABORT);
        EXPECT(client.talk.export == NULL);
        client_close(&client);
    }
}

static void default_export(void)
{
    uint8_t bytes[10];

    client_open_with(&client, client_exports, 1);
    client_greet(&client, CLIENT_FLAGS_ALL);
    client_option_empty(&client, NBD_OPT_EXPORT_NAME);
    EXPECT(fake_socket_take(client.loop, client.fd, bytes, sizeof bytes) == 10);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    client_close(&client);
}

/* ---- ABORT, LIST, STARTTLS, STRUCTURED_REPLY, unknown options ---- */

static void abort_is_acknowledged(void)
{
    client_start(&client);
    client_option_empty(&client, NBD_OPT_ABORT);
    client_expect_only(&client, NBD_OPT_ABORT, NBD_REP_ACK);
    client_expect_end(&client, HANDSHAKE_CLOSE);
    client_close(&client);
}

static void abort_data_is_ignored(void)
{
    static const uint8_t data[100000];

    client_start(&client);
    client_send(&client, NBD_OPT_ABORT, data, sizeof data);
    fake_loop_run(client.loop);
    client_expect_only(&client, NBD_OPT_ABORT, NBD_REP_ACK);
    client_expect_end(&client, HANDSHAKE_CLOSE);
    client_close(&client);
}

static void list_names_all(void)
{
    struct reply reply;

    client_start(&client);
    client_option_empty(&client, NBD_OPT_LIST);
    for (size_t i = 0; i < 3; i++) {
        const struct export *ex = &client_exports[i];
        size_t name = strlen(ex->name),
               text = ex->description != NULL ? strlen(ex->description) : 0;

        client_take(&client, NBD_OPT_LIST, &reply);
        EXPECT(reply.type == NBD_REP_SERVER && reply.length_bytes == 4 + name + text);
        EXPECT(nbd_get_u32(reply.data) == name && !memcmp(reply.data + 4, ex->name, name));
        EXPECT(text == 0 || !memcmp(reply.data + 4 + name, ex->description, text));
    }
    client_expect_only(&client, NBD_OPT_LIST, NBD_REP_ACK);
    expect_goes_on();
    client_close(&client);
}

/* Names and descriptions of the longest: 8 KiB each, more than any buffer holds at once. */
static void list_is_long(void)
{
    static char text[4097];
    struct export *exports = calloc(500, sizeof *exports);

    memset(text, 't', 4096);
    for (size_t i = 0; i < 500; i++)
        exports[i] = (struct export){ .name = text, .description = text };
    client_open_with(&client, exports, 500);
    client_greet(&client, CLIENT_FLAGS_ALL);
    for (int round = 0; round < 2; round++) {
        client_option_empty(&client, NBD_OPT_LIST);
        for (size_t i = 0; i < 500; i++)
            client_expect(&client, NBD_OPT_LIST, NBD_REP_SERVER);
        client_expect_only(&client, NBD_OPT_LIST, NBD_REP_ACK);
    }
    client_close(&client);
    free(exports);
}

static void list_of_nothing(void)
{
    client_open_with(&client, NULL, 0);
    client_greet(&client, CLIENT_FLAGS_ALL);
    client_option_empty(&client, NBD_OPT_LIST);
    client_expect_only(&client, NBD_OPT_LIST, NBD_REP_ACK);
    client_close(&client);
}

static void data_where_none_belongs(void)
{
    static const uint32_t options[] = { NBD_OPT_LIST, NBD_OPT_STARTTLS, NBD_OPT_STRUCTURED_REPLY };

    for (size_t i = 0; i < 3; i++) {
        client_start(&client);
        client_send(&client, options[i], "x", 1);
        fake_loop_run(client.loop);
        client_expect_only(&client, options[i], NBD_REP_ERR_INVALID);
        EXPECT(!client.talk.negotiated.structured_replies);
        expect_goes_on();
        client_close(&client);
    }
}

static void starttls_is_unsupported(void)
{
    client_start(&client);
    client_option_empty(&client, NBD_OPT_STARTTLS);
    client_expect_only(&client, NBD_OPT_STARTTLS, NBD_REP_ERR_UNSUP);
    expect_goes_on();
    client_close(&client);
}

static void unknown_options(void)
{
    static const uint32_t options[] = { 0, NBD_OPT_PEEK_EXPORT, 12, 0x7fffffff, 0xffffffff };
    static uint8_t data[5000];

    memset(data, 'I', sizeof data);
    client_start(&client);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        client_option_empty(&client, options[i]);
        client_expect_only(&client, options[i], NBD_REP_ERR_UNSUP);
        client_send(&client, options[i], data, sizeof data);
        fake_loop_run(client.loop);
        client_expect_only(&client, options[i], NBD_REP_ERR_UNSUP);
    }
    expect_goes_on();
    client_close(&client);
}

static void structured_replies(void)
{
    client_start(&client);
    EXPECT(!client.talk.negotiated.structured_replies);
    want_structured_replies();
    EXPECT(client.talk.negotiated.structured_replies);
    want_structured_replies();
    go("db1");
    EXPECT(client.talk.negotiated.structured_replies);
    client_close(&client);
}

/* ---- INFO and GO ---- */

static void info_export(struct reply *reply, const struct export *ex, bool structured)
{
    EXPECT(reply->type == NBD_REP_INFO && reply->length_bytes == 12);
    EXPECT(nbd_get_u16(reply->data) == NBD_INFO_EXPORT);
    EXPECT(nbd_get_u64(reply->data + 2) == ex->limits.size_bytes);
    EXPECT(nbd_get_u16(reply->data + 10) == handshake_transmission_flags(ex, structured));
}

/* The infos that came, as bits; ends with ACK. */
static unsigned take_infos(uint32_t option, const struct export *ex)
{
    struct reply reply;
    unsigned seen = 0;

    for (client_take(&client, option, &reply); reply.type == NBD_REP_INFO;
         client_take(&client, option, &reply)) {
        unsigned info = nbd_get_u16(reply.data);

        EXPECT(info < 4 && !(seen & 1u << info));
        seen |= 1u << info;
        if (info == NBD_INFO_EXPORT)
            info_export(&reply, ex, false);
        if (info == NBD_INFO_NAME)
            EXPECT(!memcmp(reply.data + 2, ex->name, strlen(ex->name)) &&
                   reply.length_bytes == 2 + strlen(ex->name));
        if (info == NBD_INFO_DESCRIPTION)
            EXPECT(!memcmp(reply.data + 2, ex->description, strlen(ex->description)) &&
                   reply.length_bytes == 2 + strlen(ex->description));
        if (info == NBD_INFO_BLOCK_SIZE)
            EXPECT(reply.length_bytes == 14);
    }
    EXPECT(reply.type == NBD_REP_ACK);
    return seen;
}

#define INFO_BIT(info) (1u << (info))

static void info_always_names_the_export(void)
{
    client_start(&client);
    client_info(&client, NBD_OPT_INFO, "db1", NO_INFOS);
    EXPECT(take_infos(NBD_OPT_INFO, &client_exports[0]) & INFO_BIT(NBD_INFO_EXPORT));
    client_expect_silence(&client);
    EXPECT(client.talk.export == NULL);
    client_close(&client);
}

static void info_gives_what_was_asked(void)
{
    client_start(&client);
    client_info(&client, NBD_OPT_INFO, "db1",
                INFOS(NBD_INFO_DESCRIPTION, NBD_INFO_NAME, NBD_INFO_BLOCK_SIZE, NBD_INFO_EXPORT));
    EXPECT(take_infos(NBD_OPT_INFO, &client_exports[0]) == 15);
    client_info(&client, NBD_OPT_INFO, "big", INFOS(NBD_INFO_DESCRIPTION, NBD_INFO_NAME));
    EXPECT(!(take_infos(NBD_OPT_INFO, &client_exports[2]) & INFO_BIT(NBD_INFO_DESCRIPTION)));
    client_close(&client);
}

static void info_ignores_unknown_requests(void)
{
    client_start(&client);
    client_info(&client, NBD_OPT_INFO, "db1", INFOS(4, 31, 32, 0x7fff, 0xffff, NBD_INFO_NAME));
    EXPECT(take_infos(NBD_OPT_INFO, &client_exports[0]) & INFO_BIT(NBD_INFO_NAME));
    client_info(&client, NBD_OPT_INFO, "db1", INFOS(NBD_INFO_NAME, NBD_INFO_NAME, NBD_INFO_NAME));
    take_infos(NBD_OPT_INFO, &client_exports[0]);
    client_expect_silence(&client);
    client_close(&client);
}

static void block_sizes(const char *name, uint32_t least, uint32_t preferred)
{
    struct reply reply;

    client_info(&client, NBD_OPT_INFO, name, INFOS(NBD_INFO_BLOCK_SIZE));
    client_expect(&client, NBD_OPT_INFO, NBD_REP_INFO);
    client_take(&client, NBD_OPT_INFO, &reply);
    EXPECT(nbd_get_u16(reply.data) == NBD_INFO_BLOCK_SIZE);
    EXPECT(nbd_get_u32(reply.data + 2) == least);
    EXPECT(nbd_get_u32(reply.data + 6) == preferred);
    EXPECT(nbd_get_u32(reply.data + 10) == 32u << 20);
    client_expect_only(&client, NBD_OPT_INFO, NBD_REP_ACK);
}

static void block_size_constraints(void)
{
    client_start(&client);
    block_sizes("db1", 1, 4096);
    block_sizes("protokolle \xc3\xa4", 512, 4096);
    block_sizes("big", 65536, 1u << 20);
    client_close(&client);
}

static void go_enters_transmission(void)
{
    unsigned told;

    client_start(&client);
    client_info(&client, NBD_OPT_INFO, "db1", INFOS(NBD_INFO_NAME));
    told = take_infos(NBD_OPT_INFO, &client_exports[0]);
    client_info(&client, NBD_OPT_GO, "db1", INFOS(NBD_INFO_NAME));
    EXPECT(take_infos(NBD_OPT_GO, &client_exports[0]) == told);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION); /* no padding behind the ACK */
    EXPECT(client.talk.export == &client_exports[0]);
    client_close(&client);
}

/* A client may send its first request right behind GO. */
static void bytes_behind_go_stay(void)
{
    static const char request[] = "the first request";
    char received[sizeof request];
    struct payload payload = { .length_bytes = 0 };

    client_start(&client);
    payload_string(&payload, "db1");
    payload_u16(&payload, 0);
    client_send(&client, NBD_OPT_GO, payload.data, payload.length_bytes);
    fake_socket_feed(client.loop, client.fd, request, sizeof request);
    fake_loop_run(client.loop);
    take_infos(NBD_OPT_GO, &client_exports[0]);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    EXPECT(client.talk.transport->ops->recv(client.talk.transport, received, sizeof received));
    EXPECT_TEXT(received, request);
    client_close(&client);
}

static void unknown_export(void)
{
    static const uint32_t options[] = { NBD_OPT_INFO, NBD_OPT_GO };

    client_start(&client);
    for (size_t i = 0; i < 2; i++) {
        client_info(&client, options[i], "db", INFOS(NBD_INFO_NAME));
        client_expect_only(&client, options[i], NBD_REP_ERR_UNKNOWN);
        client_info(&client, options[i], "", NO_INFOS);
        client_expect_only(&client, options[i], NBD_REP_ERR_UNKNOWN);
    }
    client_expect_silence(&client);
    client_close(&client);
}

/* The sentence quotes the name, so it must be cut: at 4096 bytes of two-byte characters. */
static void unknown_export_with_the_longest_name(void)
{
    char name[4097] = "";
    struct reply reply;

    for (size_t i = 0; i < 4096; i += 2)
        memcpy(name + i, "\xc3\xa4", 3);
    client_start(&client);
    client_info(&client, NBD_OPT_INFO, name, NO_INFOS);
    client_take(&client, NBD_OPT_INFO, &reply);
    EXPECT(reply.type == NBD_REP_ERR_UNKNOWN && reply.length_bytes < 200);
    name[0] = 'x'; /* the cut falls into a character now */
    name[1] = 'x';
    name[2] = 'x';
    memmove(name + 3, name + 4, 4093);
    client_info(&client, NBD_OPT_INFO, name, NO_INFOS);
    client_expect_only(&client, NBD_OPT_INFO, NBD_REP_ERR_UNKNOWN);
    client_close(&client);
}

#define RAW(text)             \
    {                         \
        sizeof text - 1, text \
    }

static void malformed_info(void)
{
    static const struct payload payloads[] = {
        RAW(""),
        RAW("\0\0\0"),
        RAW("\0\0\0\3db1"), /* no count */
        RAW("\0\0\0\3db1\0"),
        RAW("\0\0\0\3db1\0\1"), /* a request is missing */
        RAW("\0\0\0\3db1\0\1\0"),
        RAW("\0\0\0\3db1\0\1\0\1\0"), /* more than was counted */
        RAW("\0\0\0\3db1\0\0\0\0"),
        RAW("\0\0\0\7db1\0\0"), /* the name reaches beyond the end */
        RAW("\0\0\0\6db1\0\0"),
        RAW("\377\377\377\377db1\0\0"),
        RAW("\377\377\377\374db1\0\0"),
        RAW("\0\0\0\3d\0001\0\0"), /* NUL */
        RAW("\0\0\0\3d\xff"
            "1\0\0"), /* not UTF-8 */
        RAW("\0\0\0\2\xe2\x82\0\0"),
    };

    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        client_start(&client);
        client_option(&client, NBD_OPT_INFO, &payloads[i]);
        client_expect_only(&client, NBD_OPT_INFO, NBD_REP_ERR_INVALID);
        client_option(&client, NBD_OPT_GO, &payloads[i]);
        client_expect_only(&client, NBD_OPT_GO, NBD_REP_ERR_INVALID);
        expect_goes_on();
        client_close(&client);
    }
}

static void name_longer_than_a_string(void)
{
    static char name[4098];

    memset(name, 'x', 4097);
    client_start(&client);
    client_info(&client, NBD_OPT_GO, name, NO_INFOS);
    client_expect_only(&client, NBD_OPT_GO, NBD_REP_ERR_INVALID);
    name[4096] = '\0';
    client_info(&client, NBD_OPT_GO, name, NO_INFOS);
    client_expect_only(&client, NBD_OPT_GO, NBD_REP_ERR_UNKNOWN);
    client_close(&client);
}

/* ---- sizes and numbers ---- */

static void payload_too_big(void)
{
    static const uint32_t options[] = { NBD_OPT_INFO, NBD_OPT_GO, NBD_OPT_LIST_META_CONTEXT,
                                        NBD_OPT_SET_META_CONTEXT };
    static uint8_t data[1024 * 1024];

    client_start(&client);
    for (size_t i = 0; i < 4; i++) {
        client_send(&client, options[i], data, 32769);
        fake_loop_run(client.loop);
        client_expect_only(&client, options[i], NBD_REP_ERR_TOO_BIG);
        client_send(&client, options[i], data, sizeof data);
        fake_loop_run(client.loop);
        client_expect_only(&client, options[i], NBD_REP_ERR_TOO_BIG);
    }
    expect_goes_on();
    client_close(&client);
}

static void payload_absurd(void)
{
    static const uint32_t lengths[] = { 1024 * 1024 + 1, 0x7fffffff, 0x80000000, 0xffffffff };

    for (size_t i = 0; i < 4; i++) {
        for (uint32_t option = 0; option < 13; option++) {
            const struct nbd_option_header header = { option, lengths[i] };
            uint8_t bytes[NBD_OPTION_HEADER_BYTES];

            client_start(&client);
            nbd_encode_option_header(bytes, &header);
            fake_socket_feed(client.loop, client.fd, bytes, sizeof bytes);
            fake_loop_run(client.loop);
            client_expect_end(&client, HANDSHAKE_ABORT);
            client_close(&client);
        }
    }
}

static void number_of_options(void)
{
    const size_t most = HANDSHAKE_OPTIONS_MAX + 3 * HANDSHAKE_OPTIONS_PER_EXPORT;

    client_start(&client);
    for (size_t i = 0; i < most; i++) {
        client_option_empty(&client, NBD_OPT_STRUCTURED_REPLY);
        client_expect_only(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
    }
    client_option_empty(&client, NBD_OPT_STRUCTURED_REPLY);
    client_expect_only(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_POLICY);
    client_expect_end(&client, HANDSHAKE_CLOSE);
    client_close(&client);
}

/* Refused options count too. */
static void number_of_bad_options(void)
{
    client_start(&client);
    for (size_t i = 0; client.ends == 0; i++) {
        client_send(&client, 99, "payload", 7);
        fake_loop_run(client.loop);
        EXPECT(i < 100);
    }
    client_expect(&client, 99, NBD_REP_ERR_UNSUP);
    client_break(&client);
}

static void options_may_come_at_once(void)
{
    struct payload payload = { .length_bytes = 0 };

    payload_string(&payload, "db1");
    payload_u16(&payload, 0);
    client_start(&client);
    client_send(&client, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    client_send(&client, 77, "unknown", 7);
    client_send(&client, NBD_OPT_GO, payload.data, payload.length_bytes);
    fake_loop_run(client.loop);
    client_expect(&client, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
    client_expect(&client, 77, NBD_REP_ERR_UNSUP);
    client_expect(&client, NBD_OPT_GO, NBD_REP_INFO);
    client_expect(&client, NBD_OPT_GO, NBD_REP_INFO);
    client_expect_only(&client, NBD_OPT_GO, NBD_REP_ACK);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    client_close(&client);
}

/* ---- going down ---- */

static void shutdown_refuses_options(void)
{
    static const uint32_t options[] = { NBD_OPT_LIST,
                                        NBD_OPT_STARTTLS,
                                        NBD_OPT_INFO,
                                        NBD_OPT_GO,
                                        NBD_OPT_STRUCTURED_REPLY,
                                        NBD_OPT_LIST_META_CONTEXT,
                                        NBD_OPT_SET_META_CONTEXT,
                                        99 };

    client_start(&client);
    handshake_shutdown(client.handshake);
    client_expect_silence(&client);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        client_send(&client, options[i], "\0\0\0\3db1\0\0", 9);
        fake_loop_run(client.loop);
        client_expect_only(&client, options[i], NBD_REP_ERR_SHUTDOWN);
    }
    client_option_empty(&client, NBD_OPT_ABORT);
    client_expect_only(&client, NBD_OPT_ABORT, NBD_REP_ACK);
    client_expect_end(&client, HANDSHAKE_CLOSE);
    client_close(&client);
}

static void shutdown_within_a_payload(void)
{
    client_start(&client);
    fake_socket_feed(client.loop, client.fd, "IHAVEOPT\0\0\0\7\0\0\0\x09\0\0\0\3d", 21);
    fake_loop_run(client.loop);
    handshake_shutdown(client.handshake);
    fake_socket_feed(client.loop, client.fd, "b1\0\0", 4);
    fake_loop_run(client.loop);
    client_expect_only(&client, NBD_OPT_GO, NBD_REP_ERR_SHUTDOWN);
    client_close(&client);

    client_start(&client);
    fake_socket_feed(client.loop, client.fd, "IHAVEOPT\0\0\0\1\0\0\0\3d", 17);
    fake_loop_run(client.loop);
    handshake_shutdown(client.handshake);
    fake_socket_feed(client.loop, client.fd, "b1", 2);
    fake_loop_run(client.loop);
    client_expect_end(&client, HANDSHAKE_ABORT);
    client_close(&client);
}

static const struct check checks[] = {
    { "the greeting offers fixed newstyle and no zeroes", greeting },
    { "an unknown client flag drops the connection", unknown_client_flags },
    { "every mix of known client flags is fine", known_client_flags },
    { "without fixed newstyle, nothing but EXPORT_NAME is taken", not_fixed_newstyle },
    { "a wrong option magic drops the connection", bad_option_magic },
    { "EXPORT_NAME sends 124 zero bytes", export_name_with_zeroes },
    { "EXPORT_NAME sends none of them after NO_ZEROES", export_name_without_zeroes },
    { "EXPORT_NAME of what is not there drops the connection", export_name_refused },
    { "the empty name is the only export", default_export },
    { "ABORT is acknowledged", abort_is_acknowledged },
    { "ABORT may carry data, which is ignored", abort_data_is_ignored },
    { "LIST names every export, with its description", list_names_all },
    { "LIST is complete however long it is", list_is_long },
    { "LIST of no exports is an ACK", list_of_nothing },
    { "data for LIST, STARTTLS, STRUCTURED_REPLY is ERR_INVALID", data_where_none_belongs },
    { "STARTTLS is ERR_UNSUP", starttls_is_unsupported },
    { "unknown options are ERR_UNSUP, their data is skipped", unknown_options },
    { "STRUCTURED_REPLY is acknowledged and remembered", structured_replies },
    { "INFO sends INFO_EXPORT even when not asked", info_always_names_the_export },
    { "INFO sends name, description and block sizes as asked", info_gives_what_was_asked },
    { "INFO ignores unknown and repeated requests", info_ignores_unknown_requests },
    { "block sizes are the limits, 4096 preferred, 32 MiB at most", block_size_constraints },
    { "GO tells the same as INFO, then transmission begins", go_enters_transmission },
    { "bytes behind GO are kept for transmission", bytes_behind_go_stay },
    { "INFO and GO of an unknown export are ERR_UNKNOWN", unknown_export },
    { "an error about the longest name is cut", unknown_export_with_the_longest_name },
    { "malformed INFO and GO are ERR_INVALID", malformed_info },
    { "a name of 4097 bytes is ERR_INVALID, one of 4096 is not", name_longer_than_a_string },
    { "too much data is ERR_TOO_BIG, and skipped", payload_too_big },
    { "more than 1 MiB of data drops the connection", payload_absurd },
    { "too many options are ERR_POLICY, then the end", number_of_options },
    { "refused options count as well", number_of_bad_options },
    { "options that come at once are answered in order", options_may_come_at_once },
    { "going down, options are ERR_SHUTDOWN and ABORT is not", shutdown_refuses_options },
    { "going down within the data of an option", shutdown_within_a_payload },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
