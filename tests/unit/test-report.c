/* What reports are made of: trees and their two forms, passwords that are hidden, times, files. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <time.h>

#include "server/report/report-view.h"
#include "server/report/report.h"
#include "tests/support/check.h"

#define TREE_BYTES (1u << 20)

static struct report_tree tree;
static char text[4 * TREE_BYTES];

static void begin(void)
{
    struct error err;

    if (tree.memory == NULL)
        EXPECT(report_tree_create(&tree, TREE_BYTES, &err) == 0);
    report_tree_clear(&tree);
}

static const char *view(bool json)
{
    const struct report_tree *trees[] = { &tree };
    static struct report_out out;

    out = (struct report_out){ .memory = text, .room_bytes = sizeof text };
    (json ? report_write_json : report_write_text)(&out, trees, 1);
    EXPECT(report_out_end(&out) == 0);
    return text;
}

static void both_forms_hold_the_same(void)
{
    begin();
    report_text(&tree, &tree.root, "reason", "a \"quoted\" \\ thing\nof two lines, \x01\xff");
    struct report_node *sections = report_object(&tree, &tree.root, "sections");
    struct report_node *section = report_object(&tree, sections, "some_things");
    report_number(&tree, section, "most", UINT64_MAX);
    report_flag(&tree, section, "on", true);
    struct report_node *list = report_list(&tree, section, "list");
    struct report_node *one = report_object(&tree, list, NULL);
    report_address(&tree, one, "at", 0x55d0);
    report_text(&tree, one, "none", NULL);
    struct report_node *inner = report_list(&tree, one, "inner");
    report_text(&tree, inner, NULL, "x");
    (void)report_list(&tree, section, "empty");

    struct json_object *json = json_tokener_parse(view(true));
    EXPECT(json != NULL);
    EXPECT_TEXT(json_object_get_string(json_object_object_get(json, "reason")),
                "a \"quoted\" \\ thing\nof two lines, \\x01\\xff");
    struct json_object *of =
        json_object_object_get(json_object_object_get(json, "sections"), "some_things");
    EXPECT(json_object_get_uint64(json_object_object_get(of, "most")) == UINT64_MAX);
    EXPECT(json_object_get_boolean(json_object_object_get(of, "on")));
    EXPECT(json_object_array_length(json_object_object_get(of, "empty")) == 0);
    json_object_put(json);

    view(false);
    EXPECT(strstr(text, "\nreason = a \"quoted\" \\ thing\n  of two lines, \\x01\\xff\n") != NULL);
    EXPECT(strstr(text, "Some things") != NULL);
    EXPECT(strstr(text, "\nmost = 18446744073709551615\non = yes\nlist:\n  at = 0x55d0\n"
                        "    inner:\n      x\nempty: none\n") != NULL);
}

static void what_finds_no_room_is_left_out(void)
{
    begin();
    struct report_node *list = report_list(&tree, &tree.root, "list");
    for (unsigned i = 0; i < TREE_BYTES / 16; i++)
        report_text(&tree, report_object(&tree, list, NULL), "text", "of some bytes");
    EXPECT(tree.left_out > 0);
    EXPECT(tree.used_bytes <= tree.room_bytes);
    struct json_object *json = json_tokener_parse(view(true));
    EXPECT(json != NULL);
    json_object_put(json);

    struct report_out out = { .memory = text, .room_bytes = 100 };
    const struct report_tree *trees[] = { &tree };
    report_write_text(&out, trees, 1);
    EXPECT(report_out_end(&out) == -ENOSPC);

    /* It can be used again. */
    begin();
    EXPECT(tree.left_out == 0);
    report_number(&tree, &tree.root, "number", 1);
    EXPECT(report_find(&tree.root, "number")->number == 1);
}

static void expect_masked(const char *given, const char *expected)
{
    begin();
    report_text_masked(&tree, &tree.root, "text", given);
    EXPECT_TEXT(report_find(&tree.root, "text")->text, expected);
}

static void passwords_are_hidden(void)
{
    expect_masked("", "");
    expect_masked("/srv/disk.luks", "/srv/disk.luks");
    expect_masked("nbd://host:10809/a?b=c", "nbd://host:10809/a?b=c");
    expect_masked("nbds://me:word@host/x", "nbds://me:***@host/x");
    expect_masked("nbds://me:wo@rd@host/x", "nbds://me:***@host/x");
    expect_masked("nbdkit:p?user=me&Password=a%20b&url=http://u:p@h/&x=1",
                  "nbdkit:p?user=me&Password=***&url=http://u:***@h/&x=1");
    expect_masked("password=", "password=");
    expect_masked("api-token=x,auth_key=y z", "api-token=***,auth_key=*** z");
    expect_masked("{\"secret\" : \"a b\",\"size\":1}", "{\"secret\" : \"***\",\"size\":1}");
    expect_masked("{\"secret\":", "{\"secret\":");
    expect_masked("{\"secret\":\"x", "{\"secret\":\"***");
    expect_masked("://", "://");
    expect_masked("a://b:c", "a://b:c");
}

static void long_texts_are_cut_before_a_secret(void)
{
    char given[9000];

    begin();
    memset(given, 'x', sizeof given);
    memcpy(given + 3990, " password=secret", 16);
    given[sizeof given - 1] = '\0';
    report_text_masked(&tree, &tree.root, "text", given);
    EXPECT(strstr(report_find(&tree.root, "text")->text, "secret") == NULL);
}

static void times_are_those_of_the_calendar(void)
{
    static const uint64_t seconds[] = { 0,          86399,       951782399,  951782400,
                                        951868800,  1109548800,  1709164800, 4107542399u,
                                        1795970401, 32503680000u };
    char expected[32], got[REPORT_TIME_BYTES];

    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        time_t time = (time_t)seconds[i];
        struct tm day;

        gmtime_r(&time, &day);
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &day);
        report_time(got, seconds[i], false);
        EXPECT_TEXT(got, expected);
        strftime(expected, sizeof expected, "%Y%m%dT%H%M%SZ", &day);
        report_time(got, seconds[i], true);
        EXPECT_TEXT(got, expected);
    }
}

static void texts_are_joined_and_cut(void)
{
    char out[8];

    report_join(out, sizeof out, "ab", REPORT_DIGITS(0), "c", NULL);
    EXPECT_TEXT(out, "ab0c");
    report_join(out, sizeof out, "number ", REPORT_DIGITS(UINT64_MAX), NULL);
    EXPECT_TEXT(out, "number ");
    EXPECT_TEXT(REPORT_DIGITS(UINT64_MAX), "18446744073709551615");
}

static const struct check checks[] = {
    { "both forms hold the same", both_forms_hold_the_same },
    { "what finds no room is left out", what_finds_no_room_is_left_out },
    { "passwords are hidden", passwords_are_hidden },
    { "long texts are cut before a secret", long_texts_are_cut_before_a_secret },
    { "times are those of the calendar", times_are_those_of_the_calendar },
    { "texts are joined and cut", texts_are_joined_and_cut },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
