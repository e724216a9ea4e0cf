#include "server/base/spawner-seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file-io.h"

#define FOR_GOOD (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Lists of words, one behind the other: each word has its NUL, and a list ends with an empty one.
 * Before it stands a word of one letter. */
#define ENVIRONMENT "e"
#define EXACTLY "="
#define ANY_ARGUMENTS "*"
#define AN_EMPTY_WORD "\"" /* in its place, and before a word that begins with one */

/* ---- the text ---- */

static int put(int fd, const char *text, size_t bytes)
{
    return file_io_write(fd, text, bytes);
}

static int put_word(int fd, const char *word)
{
    int result = *word == '\0' || *word == *AN_EMPTY_WORD ? put(fd, AN_EMPTY_WORD, 1) : 0;

    return result == 0 ? put(fd, word, strlen(word) + 1) : result;
}

static int put_list(int fd, const char *letter, char *const *words)
{
    int result = put(fd, letter, 2);

    for (; *words != NULL && result == 0; words++)
        result = put_word(fd, *words);
    return result == 0 ? put(fd, "", 1) : result;
}

static int put_all(int fd, const struct spawner_rule *rules, size_t count, char *const *environment)
{
    int result = put_list(fd, ENVIRONMENT, environment);

    for (size_t i = 0; i < count && result == 0; i++)
        result = put_list(fd, rules[i].any_arguments ? ANY_ARGUMENTS : EXACTLY, rules[i].argv);
    if (result == 0 && fcntl(fd, F_ADD_SEALS, FOR_GOOD) < 0)
        result = -errno;
    return result;
}

int spawner_seal_make(int *fd, const struct spawner_rule *rules, size_t count,
                      char *const *environment, struct error *err)
{
    int memory = memfd_create("nbdcrypt-programs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int result = memory < 0 ? -errno : put_all(memory, rules, count, environment);

    if (result == 0) {
        *fd = memory;
        return 0;
    }
    if (memory >= 0)
        close(memory);
    return error_set(err, result, "no memory for the programs that may be started: %s",
                     strerror(-result));
}

/* ---- who holds to it ---- */

static const char *text, *text_end; /* of the rules; NULL: all may be started */
static char **environment_words;

static const char *next(const char *word)
{
    return word + strlen(word) + 1;
}

/* As it was before put_word(). */
static const char *plain(const char *word)
{
    return *word == *AN_EMPTY_WORD ? word + 1 : word;
}

/* Behind the list of which that is the first word; NULL: it does not end. */
static const char *end_of_list(const char *word, const char *end, size_t *count)
{
    for (*count = 0; word < end && *word != '\0'; ++*count)
        word = next(word);
    return word < end ? word + 1 : NULL;
}

static bool is_whole(const char *at, const char *end)
{
    size_t count;

    while (at != NULL && at < end)
        at = at[0] != '\0' && at[1] == '\0' && at + 2 < end ? end_of_list(at + 2, end, &count)
                                                            : NULL;
    return at == end;
}

static char **copy_list(const char *word, size_t count)
{
    char **words = calloc(count + 1, sizeof *words);

    for (size_t i = 0; words != NULL && i < count; i++, word = next(word))
        words[i] = (char *)(uintptr_t)plain(word);
    return words;
}

static int take_text(const char *begin, size_t bytes)
{
    const char *end = begin + bytes;
    size_t count;

    if (end[-1] != '\0' || begin[0] != *ENVIRONMENT || !is_whole(begin, end))
        return EINVAL;
    const char *rules = end_of_list(begin + 2, end, &count);
    environment_words = copy_list(begin + 2, count);
    if (environment_words == NULL)
        return ENOMEM;
    text = rules;
    text_end = end;
    return 0;
}

int spawner_seal_take(int fd)
{
    struct stat facts;

    if (text != NULL || (fcntl(fd, F_GET_SEALS) & FOR_GOOD) != FOR_GOOD || fstat(fd, &facts) < 0 ||
        facts.st_size < 3)
        return EINVAL;
    const char *begin = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    return begin == MAP_FAILED ? errno : take_text(begin, (size_t)facts.st_size);
}

bool spawner_seal_is_on(void)
{
    return text != NULL;
}

/* `word`: the first one of the list. */
static bool is_list(const char *word, char *const *argv, bool first_only)
{
    for (; *word != '\0' && *argv != NULL; word = next(word), argv++) {
        if (strcmp(plain(word), *argv) != 0)
            return false;
        if (first_only)
            return true;
    }
    return *word == '\0' && *argv == NULL;
}

bool spawner_seal_allows(char *const *argv)
{
    const char *at = text;
    size_t count;

    while (at < text_end) {
        if (is_list(at + 2, argv, at[0] == *ANY_ARGUMENTS))
            return true;
        at = end_of_list(at + 2, text_end, &count);
    }
    return false;
}

char **spawner_seal_environment(void)
{
    return environment_words;
}
