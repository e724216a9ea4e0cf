/* The codec against bytes typed from the specification, in both directions. */
#include <errno.h>

#include "server/nbd/nbd-wire.h"
#include "tests/support/check.h"

#define BYTES(...) ((const uint8_t[]){ __VA_ARGS__ })

static void greeting_bytes(void)
{
    static const char spec[] = "NBDMAGIC"
                               "IHAVEOPT"
                               "\x00\x03";
    uint8_t bytes[NBD_GREETING_BYTES];
    uint16_t flags;

    nbd_encode_greeting(bytes, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    EXPECT(sizeof spec - 1 == sizeof bytes);
    EXPECT(!memcmp(bytes, spec, sizeof bytes));
    EXPECT(nbd_decode_greeting(bytes, &flags) && flags == 3);
    for (size_t i = 0; i < 16; i++) {
        bytes[i] ^= 1;
        EXPECT(!nbd_decode_greeting(bytes, &flags));
        bytes[i] ^= 1;
    }
}

static void client_flags_bytes(void)
{
    EXPECT(nbd_decode_client_flags(BYTES(0x80, 0x00, 0x00, 0x03)) == 0x80000003u);
}

static void option_header_bytes(void)
{
    static const uint8_t spec[] = { 'I', 'H', 'A', 'V', 'E',  'O',  'P',  'T',
                                    0,   0,   0,   7,   0x00, 0x01, 0x02, 0x03 };
    const struct nbd_option_header header = { .option = NBD_OPT_GO, .length_bytes = 0x00010203 };
    struct nbd_option_header decoded;
    uint8_t bytes[NBD_OPTION_HEADER_BYTES];

    nbd_encode_option_header(bytes, &header);
    EXPECT(sizeof spec == sizeof bytes && !memcmp(bytes, spec, sizeof bytes));
    EXPECT(nbd_decode_option_header(bytes, &decoded));
    EXPECT(decoded.option == 7 && decoded.length_bytes == 0x00010203);
    for (size_t i = 0; i < 8; i++) {
        bytes[i] ^= 0x80;
        EXPECT(!nbd_decode_option_header(bytes, &decoded));
        bytes[i] ^= 0x80;
    }
}

static void option_reply_bytes(void)
{
    static const uint8_t spec[] = { 0x00, 0x03, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9, 0,    0,
                                    0,    3,    0x80, 0,    0,    6,    0,    0,    0x10, 0x00 };
    const struct nbd_option_reply reply = { .option = NBD_OPT_LIST,
                                            .type = NBD_REP_ERR_UNKNOWN,
                                            .length_bytes = 4096 };
    struct nbd_option_reply decoded;
    uint8_t bytes[NBD_OPTION_REPLY_BYTES];

    nbd_encode_option_reply(bytes, &reply);
    EXPECT(sizeof spec == sizeof bytes && !memcmp(bytes, spec, sizeof bytes));
    EXPECT(nbd_decode_option_reply(bytes, &decoded));
    EXPECT(decoded.option == 3 && decoded.type == 0x80000006u && decoded.length_bytes == 4096);
    bytes[7] ^= 1;
    EXPECT(!nbd_decode_option_reply(bytes, &decoded));
}

static void request_bytes(void)
{
    static const uint8_t spec[] = { 0x25, 0x60, 0x95, 0x13, 0x00, 0x01, 0x00, 0x06, 1,    2,
                                    3,    4,    5,    6,    7,    8,    0x10, 0x20, 0x30, 0x40,
                                    0x50, 0x60, 0x70, 0x80, 0xfe, 0xdc, 0xba, 0x98 };
    const struct nbd_request request = {
        .flags = NBD_CMD_FLAG_FUA,
        .command = NBD_CMD_WRITE_ZEROES,
        .cookie = 0x0102030405060708u,
        .offset_bytes = 0x1020304050607080u,
        .length_bytes = 0xfedcba98u,
    };
    struct nbd_request decoded;
    uint8_t bytes[NBD_REQUEST_BYTES];

    nbd_encode_request(bytes, &request);
    EXPECT(sizeof spec == sizeof bytes && !memcmp(bytes, spec, sizeof bytes));
    EXPECT(nbd_decode_request(bytes, &decoded));
    EXPECT(decoded.flags == request.flags && decoded.command == request.command);
    EXPECT(decoded.cookie == request.cookie && decoded.offset_bytes == request.offset_bytes);
    EXPECT(decoded.length_bytes == request.length_bytes);
    /* proto.md names magics that must never be taken for it. */
    nbd_put_u32(bytes, 0x12560953u);
    EXPECT(!nbd_decode_request(bytes, &decoded));
    nbd_put_u32(bytes, 0x25609514u);
    EXPECT(!nbd_decode_request(bytes, &decoded));
}

static void simple_reply_bytes(void)
{
    static const uint8_t spec[] = { 0x67, 0x44, 0x66, 0x98, 0, 0, 0, 28, 8, 7, 6, 5, 4, 3, 2, 1 };
    uint8_t bytes[NBD_SIMPLE_REPLY_BYTES];
    uint32_t error;
    uint64_t cookie;

    nbd_encode_simple_reply(bytes, NBD_ENOSPC, 0x0807060504030201u);
    EXPECT(sizeof spec == sizeof bytes && !memcmp(bytes, spec, sizeof bytes));
    EXPECT(nbd_decode_simple_reply(bytes, &error, &cookie));
    EXPECT(error == 28 && cookie == 0x0807060504030201u);
    nbd_put_u32(bytes, 0x96744668u);
    EXPECT(!nbd_decode_simple_reply(bytes, &error, &cookie));
}

static void chunk_bytes(void)
{
    static const uint8_t spec[] = { 0x66, 0x8e, 0x33, 0xef, 0, 1, 0x80, 0x01, 0, 0,
                                    0,    0,    0,    0,    0, 9, 0,    0,    0, 6 };
    const struct nbd_chunk chunk = {
        .flags = NBD_REPLY_FLAG_DONE, .type = NBD_REPLY_TYPE_ERROR, .cookie = 9, .length_bytes = 6
    };
    struct nbd_chunk decoded;
    uint8_t bytes[NBD_CHUNK_HEADER_BYTES];

    nbd_encode_chunk(bytes, &chunk);
    EXPECT(sizeof spec == sizeof bytes && !memcmp(bytes, spec, sizeof bytes));
    EXPECT(nbd_decode_chunk(bytes, &decoded));
    EXPECT(decoded.flags == 1 && decoded.type == 32769 && decoded.cookie == 9);
    EXPECT(decoded.length_bytes == 6);
    bytes[0] = 0;
    EXPECT(!nbd_decode_chunk(bytes, &decoded));
}

static void integers_at_their_ends(void)
{
    static const uint64_t values[] = { 0,           1,          0x7f,
                                       0x80,        0xff,       0x100,
                                       0x7fff,      0x8000,     0xffff,
                                       0x7fffffff,  0x80000000, 0xffffffff,
                                       0x100000000, INT64_MAX,  (uint64_t)INT64_MAX + 1,
                                       UINT64_MAX };

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint8_t bytes[9] = { 0 }; /* one more, to see that nothing is written behind */

        nbd_put_u64(bytes, values[i]);
        EXPECT(nbd_get_u64(bytes) == values[i] && bytes[8] == 0);
        nbd_put_u32(bytes, (uint32_t)values[i]);
        EXPECT(nbd_get_u32(bytes) == (uint32_t)values[i]);
        nbd_put_u16(bytes, (uint16_t)values[i]);
        EXPECT(nbd_get_u16(bytes) == (uint16_t)values[i]);
    }
}

static void cursor_takes_all(void)
{
    struct nbd_cursor cursor = { BYTES(0x12, 0x34, 0, 0, 0, 2, 'a', 'b'), 8 };
    const uint8_t *text;
    uint16_t number;
    uint32_t length;

    EXPECT(nbd_take_u16(&cursor, &number) && number == 0x1234);
    EXPECT(nbd_take_u32(&cursor, &length) && length == 2);
    EXPECT(nbd_take_bytes(&cursor, length, &text) && !memcmp(text, "ab", 2));
    EXPECT(cursor.left_bytes == 0);
    EXPECT(nbd_take_bytes(&cursor, 0, &text));
}

/* Memory of exactly the size, so that a sanitizer sees a read behind it. */
static void cursor_never_reads_past(void)
{
    for (size_t size = 0; size < 4; size++) {
        uint8_t *bytes = calloc(1, size + (size == 0));
        struct nbd_cursor cursor = { bytes, size };
        const uint8_t *text;
        uint16_t number;
        uint32_t length;

        EXPECT(!nbd_take_u32(&cursor, &length));
        EXPECT(!nbd_take_bytes(&cursor, size + 1, &text));
        EXPECT(!nbd_take_bytes(&cursor, UINT32_MAX, &text));
        EXPECT(!nbd_take_bytes(&cursor, SIZE_MAX, &text));
        EXPECT(cursor.at == bytes && cursor.left_bytes == size);
        EXPECT(nbd_take_u16(&cursor, &number) == (size >= 2));
        free(bytes);
    }
}

#define VALID(text) nbd_string_is_valid((const uint8_t *)(text), sizeof text - 1)

static void strings_that_are_valid(void)
{
    static uint8_t longest[NBD_STRING_BYTES_MAX];

    memset(longest, 'x', sizeof longest);
    EXPECT(VALID(""));
    EXPECT(VALID("disk 1"));
    EXPECT(VALID("\x7f\n"));
    EXPECT(VALID("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xef\xbf\xbf"));
    EXPECT(VALID("\xed\x9f\xbf \xee\x80\x80"));         /* around the surrogates */
    EXPECT(VALID("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf")); /* U+10000, U+10FFFF */
    EXPECT(nbd_string_is_valid(longest, sizeof longest));
}

static void strings_that_are_not(void)
{
    static uint8_t too_long[NBD_STRING_BYTES_MAX + 1];

    memset(too_long, 'x', sizeof too_long);
    EXPECT(!nbd_string_is_valid(too_long, sizeof too_long));
    EXPECT(!VALID("a\0b"));
    EXPECT(!VALID("\x80"));
    EXPECT(!VALID("\xc0\x80")); /* overlong NUL */
    EXPECT(!VALID("\xc1\xbf"));
    EXPECT(!VALID("\xe0\x9f\xbf"));
    EXPECT(!VALID("\xed\xa0\x80")); /* a surrogate */
    EXPECT(!VALID("\xf0\x8f\xbf\xbf"));
    EXPECT(!VALID("\xf4\x90\x80\x80")); /* U+110000 */
    EXPECT(!VALID("\xf5\x80\x80\x80"));
    EXPECT(!VALID("\xff"));
    EXPECT(!VALID("\xc3")); /* the end is missing */
    EXPECT(!VALID("\xe2\x82"));
    EXPECT(!VALID("\xf0\x9f\x98"));
    EXPECT(!VALID("\xe2(\xa1"));
}

static void errno_as_nbd_error(void)
{
    static const struct {
        int error;
        uint32_t nbd;
    } rows[] = {
        { 0, 0 },       { EPERM, 1 },      { EROFS, 1 },    { EIO, 5 },
        { ENOMEM, 12 }, { EINVAL, 22 },    { ENOSPC, 28 },  { EDQUOT, 28 },
        { EFBIG, 28 },  { EOVERFLOW, 75 }, { ENOTSUP, 95 }, { ESHUTDOWN, 108 },
        { EBADF, 5 },   { ETIMEDOUT, 5 },  { 12345, 5 },    { -1, 5 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        EXPECT(nbd_error_from_errno(rows[i].error) == rows[i].nbd);
}

static void names_of_numbers(void)
{
    EXPECT_TEXT(nbd_option_name(NBD_OPT_EXPORT_NAME), "EXPORT_NAME");
    EXPECT_TEXT(nbd_option_name(NBD_OPT_SET_META_CONTEXT), "SET_META_CONTEXT");
    EXPECT_TEXT(nbd_option_name(0), "UNKNOWN");
    EXPECT_TEXT(nbd_option_name(12), "UNKNOWN");
    EXPECT_TEXT(nbd_option_name(UINT32_MAX), "UNKNOWN");
    EXPECT_TEXT(nbd_command_name(NBD_CMD_READ), "READ");
    EXPECT_TEXT(nbd_command_name(NBD_CMD_BLOCK_STATUS), "BLOCK_STATUS");
    EXPECT_TEXT(nbd_command_name(8), "UNKNOWN");
}

static const struct check checks[] = {
    { "a greeting is 18 bytes with two magics", greeting_bytes },
    { "client flags are 32 bits, big endian", client_flags_bytes },
    { "an option header is 16 bytes with its magic", option_header_bytes },
    { "an option reply is 20 bytes with its magic", option_reply_bytes },
    { "a request is 28 bytes with its magic", request_bytes },
    { "a simple reply is 16 bytes with its magic", simple_reply_bytes },
    { "a chunk header is 20 bytes with its magic", chunk_bytes },
    { "integers keep their value at the ends of their range", integers_at_their_ends },
    { "a cursor takes all there is", cursor_takes_all },
    { "a cursor never reads past the end, and takes nothing then", cursor_never_reads_past },
    { "UTF-8 strings of up to 4096 bytes are valid", strings_that_are_valid },
    { "NUL, broken UTF-8 and more than 4096 bytes are not valid", strings_that_are_not },
    { "each errno has its NBD error, unknown ones are EIO", errno_as_nbd_error },
    { "options and commands have names", names_of_numbers },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
