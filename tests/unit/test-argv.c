/* A command in one string is cut into words as the manual says. */
#include <errno.h>
#include <string.h>

#include "server/base/argv.h"
#include "tests/support/check.h"

static void expect(const char *text, const char *const words[])
{
    struct error err = { "" };
    char **got = NULL;
    size_t i = 0;

    EXPECT(argv_split(&got, text, &err) == 0);
    for (; words[i]; i++) {
        EXPECT(got[i] != NULL);
        EXPECT_TEXT(got[i], words[i]);
    }
    EXPECT(got[i] == NULL);
    argv_free(got);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void good(void)
{
    expect("prog", WORDS("prog"));
    expect("  prog\t a  b\n", WORDS("prog", "a", "b"));
    expect("prog 'a b' \"c d\"", WORDS("prog", "a b", "c d"));
    expect("prog a'b c'd", WORDS("prog", "ab cd"));
    expect("prog '' \"\" x", WORDS("prog", "", "", "x"));
    expect("prog \\'a\\ b \"\\\"\" '\\'", WORDS("prog", "'a b", "\"", "\\"));
    expect("prog a\\", WORDS("prog", "a\\"));
    expect("prog $HOME `x` * ; | > &", WORDS("prog", "$HOME", "`x`", "*", ";", "|", ">", "&"));
}

static void refused(const char *text, const char *message)
{
    struct error err = { "" };
    char **got = NULL;

    EXPECT(argv_split(&got, text, &err) == -EINVAL);
    EXPECT_TEXT(err.text, message);
    EXPECT(got == NULL);
}

static void bad(void)
{
    refused("", "it names no program");
    refused("  \t", "it names no program");
    refused("''", "it names no program");
    refused("prog 'a", "a quotation mark in it has no partner");
    refused("prog \"a\\\"", "a quotation mark in it has no partner");
}

static const struct check checks[] = {
    { "blanks, quotes and backslashes, and nothing else, are special", good },
    { "what is no command is refused", bad },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
