/* Varlink's messages and connections: what is refused and what of it ends a connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/control/varlink-connection.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

/* ---- messages ---- */

static int parse(const char *text, struct error *err)
{
    struct varlink_call call;
    int result = varlink_call_parse(&call, text, strlen(text), err);

    varlink_call_free(&call);
    return result;
}

static void members_are_read(void)
{
    static const char text[] = "{\"method\":\"a.B\",\"parameters\":{\"c\":1},\"more\":true}";
    struct varlink_call call;

    EXPECT(varlink_call_parse(&call, text, strlen(text), NULL) == 0);
    EXPECT_TEXT(call.method, "a.B");
    EXPECT(call.more && !call.oneway);
    EXPECT(json_object_object_length(call.parameters) == 1);
    varlink_call_free(&call);
    EXPECT(parse("{\"method\":\"a.B\",\"parameters\":null}", NULL) == 0);
}

static void wrong_members_are_named(void)
{
    static const char *const calls[][2] = {
        { "{}", "method" },
        { "{\"method\":7}", "method" },
        { "{\"method\":\"\"}", "method" },
        { "{\"method\":\"a\\u0000b\"}", "method" },
        { "{\"method\":\"a.B\",\"parameters\":[]}", "parameters" },
        { "{\"method\":\"a.B\",\"more\":1}", "more" },
        { "{\"method\":\"a.B\",\"upgrade\":true}", "upgrade" },
    };

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct error err = { "" };

        EXPECT(parse(calls[i][0], &err) == -EINVAL);
        EXPECT_TEXT(err.text, calls[i][1]);
    }
}

static void what_is_no_object_is_broken(void)
{
    static const char *const texts[] = {
        "",
        "[]",
        "1",
        "{",
        "{}x",
        "{} {}",
        "{'method':'a'}",
        "{\"a\":NaN}",
        "{/**/}",
        "\xff",
        "{\"a\":\"\xff\"}",
        "GET / HTTP/1.1",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        EXPECT(parse(texts[i], NULL) == -EBADMSG);
}

/* An object within an object within ... */
static int parse_nested(unsigned depth)
{
    char text[512] = "{\"method\":\"a.B\",\"parameters\":{\"a\":";

    for (unsigned i = 2; i < depth; i++)
        strncat(text, "[", 2);
    strncat(text, "1", 2);
    for (unsigned i = 2; i < depth; i++)
        strncat(text, "]", 2);
    strncat(text, "}}", 3);
    return parse(text, NULL);
}

static void depth_has_a_limit(void)
{
    EXPECT(parse_nested(VARLINK_DEPTH_MAX) == 0);
    EXPECT(parse_nested(VARLINK_DEPTH_MAX + 1) == -EBADMSG);
}

static int parse_values(size_t count)
{
    static char text[8 * VARLINK_VALUES_MAX];
    size_t used =
        (size_t)snprintf(text, sizeof text, "{\"method\":\"a.B\",\"parameters\":{\"a\":[1");

    for (size_t i = 0; i < count; i++, used += 3)
        memcpy(text + used, ",[]", 4);
    memcpy(text + used, "]}}", 4);
    return parse(text, NULL);
}

static void the_number_of_values_has_a_limit(void)
{
    EXPECT(parse_values(VARLINK_VALUES_MAX / 2 - 10) == 0);
    EXPECT(parse_values(VARLINK_VALUES_MAX / 2 + 10) == -EBADMSG);
}

static void replies_are_one_message(void)
{
    size_t length_bytes;
    char *text = varlink_reply_text(NULL, true, &length_bytes);

    EXPECT_TEXT(text, "{\"parameters\":{},\"continues\":true}");
    EXPECT(length_bytes == strlen(text) + 1);
    free(text);
    struct json_object *parameters = json_object_new_object();
    json_object_object_add(parameters, "name", varlink_text("a\xff/b\n"));
    text = varlink_error_text("a.B", parameters, &length_bytes);
    EXPECT_TEXT(text, "{\"parameters\":{\"name\":\"a?/b?\"},\"error\":\"a.B\"}");
    free(text);
}

/* ---- connections ---- */

static struct {
    struct loop *loop;
    struct varlink_connection varlink;
    int fd;
    unsigned calls, writable, ended, closed;
    bool hold; /* a call is not answered */
} at;

static void called(struct varlink_connection *connection)
{
    at.calls++;
    if (!at.hold)
        varlink_reply(connection, NULL, false);
}

static void writable(struct varlink_connection *connection)
{
    (void)connection;
    at.writable++;
}

static void ended(struct varlink_connection *connection)
{
    (void)connection;
    at.ended++;
}

static void closed(struct varlink_connection *connection)
{
    at.closed++;
    varlink_release(connection);
}

static void begin(void)
{
    static const struct varlink_ops ops = { called, writable, ended, closed };
    struct loop_config config = { .entries = 4 };

    memset(&at, 0, sizeof at);
    EXPECT(loop_create(&at.loop, &config, NULL) == 0);
    at.fd = fake_socket_create(at.loop);
    varlink_open(&at.varlink, &ops, at.loop, at.fd);
}

static void end(void)
{
    fake_socket_reset(at.loop, at.fd);
    fake_loop_run(at.loop);
    EXPECT(at.closed == 1);
    loop_destroy(at.loop);
}

static void feed(const char *text, size_t length_bytes)
{
    fake_socket_feed(at.loop, at.fd, text, length_bytes);
    fake_loop_run(at.loop);
}

static const char *taken(void)
{
    static char text[4096];
    size_t length_bytes = fake_socket_take(at.loop, at.fd, text, sizeof text - 1);

    text[length_bytes] = '\0';
    for (size_t i = 0; i < length_bytes; i++)
        if (text[i] == '\0')
            text[i] = '|';
    return text;
}

#define CALL "{\"method\":\"a.B\"}"
#define REPLY "{\"parameters\":{}}|"

static void calls_are_answered_in_order(void)
{
    begin();
    feed(CALL "\0" CALL "\0" CALL, 3 * sizeof CALL - 1);
    EXPECT(at.calls == 2);
    EXPECT_TEXT(taken(), REPLY REPLY);
    feed("", 1);
    EXPECT(at.calls == 3);
    end();
}

static void a_wrong_member_does_not_end_it(void)
{
    static const char wrong[] = "{\"method\":\"a.B\",\"x\":1}";

    begin();
    feed(wrong, sizeof wrong);
    EXPECT_TEXT(taken(), "{\"parameters\":{\"parameter\":\"x\"},"
                         "\"error\":\"org.varlink.service.InvalidParameter\"}|");
    feed(CALL, sizeof CALL);
    EXPECT_TEXT(taken(), REPLY);
    end();
}

static void what_is_not_understood_ends_it(void)
{
    begin();
    feed("hello", 6);
    EXPECT(strstr(taken(), "InvalidParameter") != NULL);
    EXPECT(at.closed == 1 && at.calls == 0);
    loop_destroy(at.loop);
}

static void a_message_without_end_ends_it(void)
{
    static char text[VARLINK_MESSAGE_BYTES_MAX + 1];

    begin();
    memset(text, ' ', sizeof text);
    feed(text, sizeof text - 1);
    EXPECT(varlink_is_in_a_message(&at.varlink) && at.closed == 0);
    feed(text, 1);
    EXPECT(strstr(taken(), "1 MiB") != NULL);
    EXPECT(at.closed == 1);
    loop_destroy(at.loop);
}

static void oneway_calls_get_no_reply(void)
{
    static const char oneway[] = "{\"method\":\"a.B\",\"oneway\":true}";

    begin();
    feed(oneway, sizeof oneway);
    EXPECT(at.calls == 1);
    EXPECT_TEXT(taken(), "");
    end();
}

static void who_reads_nothing_is_asked_nothing_more(void)
{
    begin();
    fake_socket_window(at.loop, at.fd, 8);
    feed(CALL "\0" CALL, 2 * sizeof CALL);
    EXPECT(at.calls == 1 && varlink_unsent_bytes(&at.varlink) == sizeof REPLY - 1 - 8);
    fake_socket_window(at.loop, at.fd, 1000);
    fake_loop_run(at.loop);
    EXPECT(at.calls == 2 && varlink_unsent_bytes(&at.varlink) == 0);
    end();
}

static void a_call_under_way_learns_that_the_input_ends(void)
{
    begin();
    at.hold = true;
    feed(CALL, sizeof CALL);
    fake_socket_end(at.loop, at.fd);
    fake_loop_run(at.loop);
    EXPECT(at.ended == 1 && at.closed == 0);
    varlink_reply(&at.varlink, NULL, true);
    fake_loop_run(at.loop);
    EXPECT(at.writable == 1);
    varlink_reply(&at.varlink, NULL, false);
    fake_loop_run(at.loop);
    EXPECT_TEXT(taken(), "{\"parameters\":{},\"continues\":true}|" REPLY);
    EXPECT(at.closed == 1);
    loop_destroy(at.loop);
}

static const struct check checks[] = {
    { "the members of a call are read", members_are_read },
    { "a wrong member is named", wrong_members_are_named },
    { "what is no object is broken", what_is_no_object_is_broken },
    { "objects within each other have a limit", depth_has_a_limit },
    { "the number of values has a limit", the_number_of_values_has_a_limit },
    { "a reply is one message of clean text", replies_are_one_message },
    { "calls are answered in order", calls_are_answered_in_order },
    { "a wrong member does not end a connection", a_wrong_member_does_not_end_it },
    { "what is not understood ends a connection", what_is_not_understood_ends_it },
    { "a message without end ends a connection", a_message_without_end_ends_it },
    { "a oneway call gets no reply", oneway_calls_get_no_reply },
    { "who reads nothing is asked nothing more", who_reads_nothing_is_asked_nothing_more },
    { "a call under way learns that the input ends", a_call_under_way_learns_that_the_input_ends },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
