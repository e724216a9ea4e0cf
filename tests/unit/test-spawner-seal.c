/* What may be started is told once, in memory that nobody can change, word for word. */
#include "server/base/spawner-seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

#define WORDS(...) ((char *[]){ __VA_ARGS__, NULL })

static char word_empty[] = "", word_quote[] = "\"", word_equals[] = "=", word_cat[] = "cat",
            word_file[] = "a file", word_e[] = "e";

static int made(const struct spawner_rule *rules, size_t count)
{
    struct error err;
    int fd = -1;

    EXPECT(spawner_seal_make(&fd, rules, count, WORDS(word_equals, word_empty), &err) == 0);
    return fd;
}

/* There is one in a process. */
static void in_a_process(void (*fn)(void))
{
    pid_t pid = fork();
    int status;

    EXPECT(pid >= 0);
    if (pid == 0) {
        fn();
        _exit(EXIT_SUCCESS);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void words(void)
{
    const struct spawner_rule rules[] = {
        { WORDS(word_cat, word_file, word_empty, word_quote), false },
        { WORDS(word_e), true },
        { WORDS(word_empty), false },
    };

    EXPECT(!spawner_seal_is_on());
    EXPECT(spawner_seal_take(made(rules, 3)) == 0);
    EXPECT(spawner_seal_is_on());
    EXPECT(spawner_seal_allows(WORDS(word_cat, word_file, word_empty, word_quote)));
    EXPECT(!spawner_seal_allows(WORDS(word_cat, word_file, word_empty)));
    EXPECT(!spawner_seal_allows(WORDS(word_cat, word_file, word_empty, word_quote, word_e)));
    EXPECT(!spawner_seal_allows(WORDS(word_cat, word_file, word_quote, word_quote)));
    EXPECT(spawner_seal_allows(WORDS(word_e)) && spawner_seal_allows(WORDS(word_e, word_cat)));
    EXPECT(spawner_seal_allows(WORDS(word_empty)) && !spawner_seal_allows(WORDS(word_equals)));
    EXPECT(!spawner_seal_allows(&(char *){ NULL }));
    char **environment = spawner_seal_environment();
    EXPECT(strcmp(environment[0], "=") == 0 && strcmp(environment[1], "") == 0);
    EXPECT(environment[2] == NULL);
    EXPECT(spawner_seal_take(made(rules, 1)) == EINVAL); /* once */
    EXPECT(spawner_seal_allows(WORDS(word_e)));
}

static void none(void)
{
    EXPECT(spawner_seal_take(made(NULL, 0)) == 0);
    EXPECT(spawner_seal_is_on() && !spawner_seal_allows(WORDS(word_cat)));
}

static int fd_of(const char *text, size_t bytes, bool for_good)
{
    int fd = memfd_create("text", MFD_ALLOW_SEALING);

    EXPECT(fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes);
    if (for_good)
        EXPECT(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ==
               0);
    return fd;
}

static void no_text(void)
{
    static const struct {
        const char *text;
        size_t bytes;
    } texts[] = { { "e\0", 2 },           { "e\0a", 3 },   { "e\0a\0", 4 },     { "*\0cat\0\0", 7 },
                  { "e\0\0*\0cat\0", 9 }, { "e\0\0*", 4 }, { "e\0\0**\0\0", 7 } };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        EXPECT(spawner_seal_take(fd_of(texts[i].text, texts[i].bytes, true)) == EINVAL);
    EXPECT(spawner_seal_take(fd_of("e\0\0", 3, false)) == EINVAL); /* it can be changed */
    EXPECT(!spawner_seal_is_on());
    EXPECT(spawner_seal_take(fd_of("e\0\0", 3, true)) == 0);
}

static void each_word_counts(void)
{
    in_a_process(words);
}

static void none_is_a_rule(void)
{
    in_a_process(none);
}

static void what_makes_no_sense_is_refused(void)
{
    in_a_process(no_text);
}

static const struct check checks[] = {
    { "a command is allowed when each of its words is", each_word_counts },
    { "without any rule nothing is allowed", none_is_a_rule },
    { "what can be changed, or is cut off, is refused", what_makes_no_sense_is_refused },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
