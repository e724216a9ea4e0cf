/* The client's side of the handshake, against servers whose words are known beforehand:
 * they lie in a socket before the client begins, cut off at any byte. */
#include "server/client/client-handshake.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/nbd/nbd-wire.h"
#include "tests/support/check.h"

/* ---- what a server says ---- */

static uint8_t words[65536];
static size_t words_bytes;

static void say(const void *data, size_t length_bytes)
{
    EXPECT(words_bytes + length_bytes <= sizeof words);
    if (length_bytes > 0)
        memcpy(words + words_bytes, data, length_bytes);
    words_bytes += length_bytes;
}

static void say_greeting(uint16_t flags)
{
    uint8_t greeting[NBD_GREETING_BYTES];

    words_bytes = 0;
    nbd_encode_greeting(greeting, flags);
    say(greeting, sizeof greeting);
}

static void say_reply(uint32_t option, uint32_t type, const void *data, uint32_t length_bytes)
{
    uint8_t header[NBD_OPTION_REPLY_BYTES];

    nbd_encode_option_reply(header, &(struct nbd_option_reply){ option, type, length_bytes });
    say(header, sizeof header);
    say(data, length_bytes);
}

static void say_export(uint64_t size_bytes, uint16_t flags)
{
    uint8_t info[12];

    nbd_put_u16(info, NBD_INFO_EXPORT);
    nbd_put_u64(info + 2, size_bytes);
    nbd_put_u16(info + 10, flags);
    say_reply(NBD_OPT_GO, NBD_REP_INFO, info, sizeof info);
}

static void say_block_size(uint32_t least, uint32_t most)
{
    uint8_t info[14];

    nbd_put_u16(info, NBD_INFO_BLOCK_SIZE);
    nbd_put_u32(info + 2, least);
    nbd_put_u32(info + 6, 4096);
    nbd_put_u32(info + 10, most);
    say_reply(NBD_OPT_GO, NBD_REP_INFO, info, sizeof info);
}

static void say_ack(uint32_t option)
{
    say_reply(option, NBD_REP_ACK, NULL, 0);
}

static void say_export_name_reply(uint64_t size_bytes, uint16_t flags, bool zeroes)
{
    uint8_t reply[NBD_EXPORT_NAME_REPLY_BYTES + NBD_EXPORT_NAME_ZEROES_BYTES] = { 0 };

    nbd_put_u64(reply, size_bytes);
    nbd_put_u16(reply + 8, flags);
    say(reply, zeroes ? sizeof reply : NBD_EXPORT_NAME_REPLY_BYTES);
}

/* ---- the client ---- */

static uint8_t heard[8192];
static size_t heard_bytes;
static struct export_info info;
static struct error err;
static bool want_base_allocation;
static struct meta_contexts *wanted_contexts;
static unsigned time_ms = 60000;

/* The first `limit` bytes of what the server says, then the end of the stream. */
static int shake_hands_within(size_t limit, bool want_structured)
{
    int fds[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    EXPECT(write(fds[0], words, limit) == (ssize_t)limit);
    EXPECT(shutdown(fds[0], SHUT_WR) == 0);
    err.text[0] = '\0';
    struct channel channel = { .fd = fds[1], .end_ms = channel_clock_ms() + time_ms };
    const struct client_wishes wishes = { .export_name = "disk",
                                          .structured_replies = want_structured,
                                          .base_allocation = want_base_allocation,
                                          .contexts = wanted_contexts };
    int result = client_handshake(&info, &channel, &wishes, &err);
    close(fds[1]);
    ssize_t count = read(fds[0], heard, sizeof heard);
    /* ECONNRESET: the client has not heard all of it out. */
    EXPECT(count >= 0 || errno == ECONNRESET);
    heard_bytes = count >= 0 ? (size_t)count : 0;
    close(fds[0]);
    return result;
}

static int shake_hands(bool want_structured)
{
    return shake_hands_within(words_bytes, want_structured);
}

static void expect_sentence(const char *part)
{
    if (strstr(err.text, part) == NULL)
        EXPECT_TEXT(err.text, part);
}

/* However early the stream ends: an error, and no other than that one. */
static void expect_end_at_every_byte(bool want_structured)
{
    for (size_t limit = 0; limit < words_bytes; limit++) {
        EXPECT(shake_hands_within(limit, want_structured) == -ECONNRESET);
        expect_sentence("the server closed the connection during the handshake");
    }
}

/* ---- claims ---- */

static void go(void)
{
    static const uint8_t expected[] = {
        0,   0,   0,   3,                                                /* client flags */
        'I', 'H', 'A', 'V', 'E', 'O', 'P', 'T', 0, 0, 0, 8, 0, 0, 0, 0,  /* STRUCTURED_REPLY */
        'I', 'H', 'A', 'V', 'E', 'O', 'P', 'T', 0, 0, 0, 7, 0, 0, 0, 12, /* GO */
        0,   0,   0,   4,   'd', 'i', 's', 'k', 0, 1, 0, 3,              /* BLOCK_SIZE wanted */
    };

    say_greeting(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    say_ack(NBD_OPT_STRUCTURED_REPLY);
    say_export(1ull << 40, NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN);
    say_reply(NBD_OPT_GO, NBD_REP_INFO, "\0\2a description that nobody asked for", 36);
    say_block_size(512, 1u << 20);
    say_ack(NBD_OPT_GO);
    EXPECT(shake_hands(true) == 0);
    EXPECT(info.size_bytes == 1ull << 40);
    EXPECT(info.flags == (NBD_FLAG_HAS_FLAGS | NBD_FLAG_CAN_MULTI_CONN));
    EXPECT(info.block_min_bytes == 512 && info.block_max_bytes == 1u << 20);
    EXPECT(info.structured_replies);
    EXPECT(heard_bytes == sizeof expected && memcmp(heard, expected, sizeof expected) == 0);
    expect_end_at_every_byte(true);
}

static void no_structured_replies(void)
{
    say_greeting(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    say_reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_UNSUP, "no idea", 7);
    say_export(4096, 0);
    say_ack(NBD_OPT_GO);
    EXPECT(shake_hands(true) == 0);
    EXPECT(!info.structured_replies);
    EXPECT(info.block_min_bytes == 0 && info.block_max_bytes == 0);

    say_greeting(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
    say_export(4096, 0);
    say_ack(NBD_OPT_GO);
    EXPECT(shake_hands(false) == 0);
    EXPECT(!info.structured_replies);
}

static void say_context_of(uint32_t id, const char *name)
{
    uint8_t data[64];
    uint32_t name_bytes = (uint32_t)strlen(name);

    nbd_put_u32(data, id);
    memcpy(data + 4, name, name_bytes);
    say_reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_META_CONTEXT, data, 4 + name_bytes);
}

static void say_context(const char *name)
{
    say_context_of(77, name);
}

static void contexts(void)
{
    static const char *const names[] = { "base:allocation", "base:allocation.", "qemu:x", NULL };

    want_base_allocation = true;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        say_greeting(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
        say_ack(NBD_OPT_STRUCTURED_REPLY);
        if (names[i] != NULL)
            say_context(names[i]);
        say_ack(NBD_OPT_SET_META_CONTEXT);
        say_export(4096, 0);
        say_ack(NBD_OPT_GO);
        EXPECT(shake_hands(true) == 0);
        EXPECT(info.base_allocation == (i == 0));
        EXPECT(info.context_ids.id[0] == (i == 0 ? 77 : 0));
        expect_end_at_every_byte(true);
    }
    say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
    say_ack(NBD_OPT_STRUCTURED_REPLY);
    say_context(names[0]);
    say_reply(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_UNSUP, "no", 2);
    say_export(4096, 0);
    say_ack(NBD_OPT_GO);
    EXPECT(shake_hands(true) == 0);
    EXPECT(info.structured_replies && !info.base_allocation);

    say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
    say_reply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_UNSUP, NULL, 0);
    say_export(4096, 0);
    say_ack(NBD_OPT_GO);
    EXPECT(shake_hands(true) == 0);
    EXPECT(!info.structured_replies && !info.base_allocation);
    want_base_allocation = false;
}

/* What was heard last before GO: SET_META_CONTEXT for base:allocation, and nothing else. */
static void expect_asked_for_base_alone(void)
{
    static const uint8_t expected[] = {
        'I', 'H', 'A', 'V', 'E', 'O', 'P', 'T', 0,   0,   0,   10,  0,   0,   0,
        31, /* its length */
        0,   0,   0,   4,   'd', 'i', 's', 'k', 0,   0,   0,   1,   0,   0,   0,
        15,                                                                        /* one query */
        'b', 'a', 's', 'e', ':', 'a', 'l', 'l', 'o', 'c', 'a', 't', 'i', 'o', 'n', /* its text */
    };
    const size_t go_bytes = 16 + 12;

    EXPECT(heard_bytes > go_bytes + sizeof expected);
    EXPECT(memcmp(heard + heard_bytes - go_bytes - sizeof expected, expected, sizeof expected) ==
           0);
}

/* Once more, and not a third time: what the second answer says holds. */
static void asked_for_base_alone(void)
{
    struct meta_contexts two = { .count = 0 };

    EXPECT(meta_contexts_add(&two, "x:a", 3) == META_CONTEXTS_ADDED);
    EXPECT(meta_contexts_add(&two, "x:b", 3) == META_CONTEXTS_ADDED);
    want_base_allocation = true;
    wanted_contexts = &two;
    for (unsigned how = 0; how < 6; how++) {
        bool clash = how % 2 == 0, granted = how < 2, again = how < 4;

        say_greeting(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
        say_ack(NBD_OPT_STRUCTURED_REPLY);
        say_context_of(5, "x:a");
        say_context_of(clash ? 5 : 6, "x:b");
        say_context_of(7, "base:allocation");
        say_reply(NBD_OPT_SET_META_CONTEXT, clash ? NBD_REP_ACK : NBD_REP_ERR_TOO_BIG, NULL, 0);
        if (granted)
            say_context_of(9, "base:allocation");
        say_reply(NBD_OPT_SET_META_CONTEXT, again ? NBD_REP_ACK : NBD_REP_ERR_POLICY, NULL, 0);
        say_export(4096, 0);
        say_ack(NBD_OPT_GO);
        EXPECT(shake_hands(true) == 0);
        EXPECT(info.contexts_refusal != NULL && info.base_allocation == granted);
        EXPECT(info.context_ids.present == (granted ? META_CONTEXT_BIT(0) : 0));
        EXPECT(!granted || info.context_ids.id[0] == 9);
        expect_asked_for_base_alone();
        expect_end_at_every_byte(true);
    }
    say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
    say_ack(NBD_OPT_STRUCTURED_REPLY);
    for (unsigned i = 0; i < 100; i++)
        say_context_of(i, "x:a");
    EXPECT(shake_hands(true) == -EPROTO);
    expect_sentence("the server's answer to SET_META_CONTEXT does not end");
    wanted_contexts = NULL;
    want_base_allocation = false;
    meta_contexts_clear(&two);
}

static void servers_without_go(void)
{
    for (unsigned zeroes = 0; zeroes < 2; zeroes++) {
        say_greeting(NBD_FLAG_FIXED_NEWSTYLE | (zeroes == 0 ? NBD_FLAG_NO_ZEROES : 0));
        say_reply(NBD_OPT_GO, NBD_REP_ERR_UNSUP, NULL, 0);
        say_export_name_reply(123456, NBD_FLAG_HAS_FLAGS, zeroes == 1);
        EXPECT(shake_hands(false) == 0);
        EXPECT(info.size_bytes == 123456 && info.flags == NBD_FLAG_HAS_FLAGS);
        EXPECT(heard[3] == (zeroes == 0 ? 3 : 1));
        EXPECT(memcmp(heard + heard_bytes - 4, "disk", 4) == 0);
        expect_end_at_every_byte(false);
    }
}

static void refusals(void)
{
    static const struct {
        uint32_t type;
        const char *words, *sentence;
    } cases[] = {
        { NBD_REP_ERR_UNKNOWN, "", "export 'disk': there is no such export" },
        { NBD_REP_ERR_UNKNOWN, "try 'disc'", "(the server says: try 'disc')" },
        { NBD_REP_ERR_POLICY, "", "it is forbidden" },
        { NBD_REP_ERR_TLS_REQD, "", "it is served with TLS only" },
        { NBD_REP_ERR_SHUTDOWN, "", "the server is ending" },
        { NBD_REP_ERR_BLOCK_SIZE_REQD, "", "the server refuses" },
        { NBD_REP_ACK, "", "the server refuses" }, /* without having told the size */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
        say_reply(NBD_OPT_GO, cases[i].type, cases[i].words, (uint32_t)strlen(cases[i].words));
        EXPECT(shake_hands(false) == -ECONNREFUSED);
        expect_sentence(cases[i].sentence);
    }
}

static void nonsense(void)
{
    static uint8_t long_text[20000];

    say_greeting(0);
    EXPECT(shake_hands(false) == -EPROTO);
    expect_sentence("this is no NBD server, or one from before 2011");

    words_bytes = 0;
    say("SSH-2.0-OpenSSH_9.2p1 Debian\r\n", 30);
    EXPECT(shake_hands(false) == -EPROTO);

    say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
    say_ack(NBD_OPT_LIST);
    EXPECT(shake_hands(false) == -EPROTO);
    expect_sentence("the server's answer to GO is not NBD");

    say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
    say_export(UINT64_MAX, 0);
    say_ack(NBD_OPT_GO);
    EXPECT(shake_hands(false) == -EPROTO);
    expect_sentence("which cannot be");

    say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
    for (unsigned i = 0; i < 100; i++)
        say_export(1, 0);
    EXPECT(shake_hands(false) == -EPROTO);
    expect_sentence("does not end");

    memset(long_text, 'a', sizeof long_text);
    say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
    say_reply(NBD_OPT_GO, NBD_REP_INFO, long_text, sizeof long_text);
    say_reply(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, long_text, sizeof long_text);
    EXPECT(shake_hands(false) == -ECONNREFUSED);
    expect_sentence("there is no such export (the server says: aaaa");
}

/* All that it has to say is there already, so nothing is ever waited for. */
static void deadline(void)
{
    say_greeting(NBD_FLAG_FIXED_NEWSTYLE);
    say_export(4096, 0);
    say_ack(NBD_OPT_GO);
    time_ms = 0;
    EXPECT(shake_hands(false) == -ETIMEDOUT);
    expect_sentence("the server does not answer during the handshake");
    time_ms = 60000;
    EXPECT(shake_hands(false) == 0);
}

static const struct check checks[] = {
    { "GO tells size, flags and block sizes, and the end of the stream is an error anywhere", go },
    { "servers without structured replies are used without", no_structured_replies },
    { "base:allocation is had where it was granted", contexts },
    { "a server that does not let choose is asked once more, for base:allocation alone",
      asked_for_base_alone },
    { "servers without GO are asked by EXPORT_NAME, with and without the zeroes",
      servers_without_go },
    { "refusals are told in words", refusals },
    { "what makes no sense is an error, and ends", nonsense },
    { "the deadline holds against a server that never pauses", deadline },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
