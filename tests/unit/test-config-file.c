/* Configuration files: what a line says, and what is refused with its place. */
#include <errno.h>
#include <string.h>

#include "server/config/config-file.h"
#include "tests/support/check.h"

static struct config_file config;

static void read_bytes(const char *text, size_t bytes)
{
    config_file_free(&config);
    EXPECT(config_file_parse(&config, "a.conf", text, bytes, NULL) == 0);
}

static void read_text(const char *text)
{
    read_bytes(text, strlen(text));
}

static void entry_is(size_t index, unsigned line, const char *key, const char *argument,
                     const char *value)
{
    EXPECT(index < config.entry_count);
    EXPECT(config.entries[index].place.line == line);
    EXPECT_TEXT(config.entries[index].place.file, "a.conf");
    EXPECT_TEXT(config.entries[index].key, key);
    EXPECT_TEXT(config.entries[index].argument, argument);
    EXPECT_TEXT(config.entries[index].value, value);
}

static void problem_is(size_t index, unsigned line, const char *words)
{
    EXPECT(index < config.problems.count);
    EXPECT(config.problems.items[index].place.line == line);
    if (strstr(config.problems.items[index].text, words) == NULL)
        EXPECT_TEXT(config.problems.items[index].text, words);
}

static void lines(void)
{
    read_text("\xef\xbb\xbf# a comment\n"
              "\n"
              "[server]\n"
              "listen = 0.0.0.0:10809\n"
              "  log-level=info\t\n"
              "\t; another one\n"
              "[export  vm 7 ]\n"
              "allow = cert:CN=hv3,O=Example # no comment\n"
              "allow =\n"
              "metadata  org.example.x = {\"a\": \"b=c\"}\n"
              "[export a]b]\n"
              "image = [x]");
    EXPECT(config.problems.count == 0);
    EXPECT(config.section_count == 3 && config.entry_count == 6);
    entry_is(0, 4, "listen", "", "0.0.0.0:10809");
    entry_is(1, 5, "log-level", "", "info");
    entry_is(2, 8, "allow", "", "cert:CN=hv3,O=Example # no comment");
    entry_is(3, 9, "allow", "", "");
    entry_is(4, 10, "metadata", "org.example.x", "{\"a\": \"b=c\"}");
    entry_is(5, 12, "image", "", "[x]");
    EXPECT_TEXT(config.sections[0].kind, "server");
    EXPECT_TEXT(config.sections[0].label, "");
    EXPECT_TEXT(config.sections[1].kind, "export");
    EXPECT_TEXT(config.sections[1].label, "vm 7");
    EXPECT(config.sections[1].place.line == 7);
    EXPECT_TEXT(config.sections[2].label, "a]b");
    EXPECT(config.entries[4].section == 1 && config.entries[5].section == 2);
}

static void continued(void)
{
    read_text("[s]\na = 1 \\\n# not this\n  2\\\n3\nb = x\\\\\nc = y\\");
    entry_is(0, 2, "a", "", "1    2 3");
    entry_is(1, 6, "b", "", "x\\\\");
    EXPECT(config.entry_count == 2 && config.problems.count == 1);
    problem_is(0, 7, "nothing follows");
}

static void all_problems(void)
{
    read_text("before = 1\n"
              "and = 2\n"
              "[unclosed\n"
              "of-it = 1\n"
              "[behind] it\n"
              "[good]\n"
              "no value here\n"
              "= empty\n"
              "good = 1\n"
              "bad = \xff\n"
              "bad = a\x01 b\n"
              "bad = a\r\n"
              "bad = \xc2\x85\n"
              "# \x7f\n"
              "[export \x02]\n"
              "not-of-good = 1\n"
              "[end]\n"
              "last = 1\n");
    EXPECT(config.entry_count == 2);
    entry_is(0, 9, "good", "", "1");
    entry_is(1, 18, "last", "", "1");
    problem_is(0, 1, "a [SECTION] has to come first");
    problem_is(1, 3, "a section is written [NAME]");
    problem_is(2, 5, "with nothing behind it");
    problem_is(3, 7, "neither [SECTION] nor KEY = VALUE");
    problem_is(4, 8, "neither");
    problem_is(5, 10, "byte 0xff is not valid UTF-8");
    problem_is(6, 11, "byte 0x01 is a control character");
    problem_is(7, 12, "carriage return");
    problem_is(8, 13, "part of a control character");
    problem_is(9, 14, "byte 0x7f is a control character");
    problem_is(10, 15, "byte 0x02");
    EXPECT(config.problems.count == 11);
}

static void zeros(void)
{
    static const char text[] = "[s]\na = x\0y\nb = 1\n";

    read_bytes(text, sizeof text - 1);
    problem_is(0, 2, "byte 0x00 is a control character");
    EXPECT(config.problems.count == 1 && config.entry_count == 1);
    entry_is(0, 3, "b", "", "1");
    read_bytes("[s]\na = 1\\\nx\0\n", strlen("[s]\na = 1\\\nx") + 2);
    EXPECT(config.problems.count == 1 && config.entry_count == 0);
    problem_is(0, 3, "byte 0x00");
}

/* "[s]\na = xxx", with a line of so many bytes. */
static void long_line(size_t bytes)
{
    char *text = malloc(bytes + 5);

    EXPECT(text != NULL);
    memset(text, 'x', bytes + 5);
    memcpy(text, "[s]\na = ", 8);
    text[bytes + 4] = '\n';
    read_bytes(text, bytes + 5);
    free(text);
}

static void longest(void)
{
    long_line(CONFIG_LINE_BYTES_MAX);
    EXPECT(config.problems.count == 0 && config.entry_count == 1);
    EXPECT(strlen(config.entries[0].value) == CONFIG_LINE_BYTES_MAX - strlen("a = "));
    long_line(CONFIG_LINE_BYTES_MAX + 1);
    EXPECT(config.entry_count == 0);
    problem_is(0, 2, "it has 65537 bytes: the most is 65536");
}

static void many(void)
{
    config_file_free(&config);
    for (unsigned i = 0; i < 5000; i++)
        EXPECT(config_file_parse(&config, i < 4999 ? "a.conf" : "b.conf", "[x]\na=1\nb=2\noops\n",
                                 strlen("[x]\na=1\nb=2\noops\n"), NULL) == 0);
    EXPECT(config.section_count == 5000 && config.entry_count == 10000);
    entry_is(9997, 3, "b", "", "2");
    EXPECT_TEXT(config.entries[9999].place.file, "b.conf");
    EXPECT(config.problems.count == CONFIG_PROBLEMS_MAX);
    EXPECT(config_problems_count(&config.problems) == 5000);
}

static void secrets(void)
{
    read_text("[s]\nhunter2 is my key\n");
    EXPECT(strstr(config.problems.items[0].text, "hunter2") == NULL);
    config_file_free(&config);
}

static const struct check checks[] = {
    { "sections, keys, arguments, values and comments", lines },
    { "a backslash at the end joins lines", continued },
    { "everything that is wrong is told, with its line", all_problems },
    { "zero bytes are refused, and end nothing", zeros },
    { "a line has its bounds, and none is cut", longest },
    { "many files add up, and what is told of them is bounded", many },
    { "a line that is nothing is not repeated", secrets },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
