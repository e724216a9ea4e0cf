/* Where a passphrase comes from: see key-source.h. */
#include "server/key-source.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define FIRST_BYTES 4096u
#define LINE_BYTES_MAX 512u /* cryptsetup's limit for a typed passphrase */

/* ---- a file ---- */

/* Twice the room; the old memory is wiped. */
static int grow(struct secret **secret, size_t used_bytes, struct error *err)
{
    struct secret *larger = NULL;
    int result = secret_create(&larger, (*secret)->length_bytes * 2, err);

    if (result < 0)
        return result;
    memcpy(larger->data, (*secret)->data, used_bytes);
    secret_free(*secret);
    *secret = larger;
    return 0;
}

/* To the end of the file; it may be a pipe. */
static int read_all(struct secret **secret, int fd, size_t *used_bytes, struct error *err)
{
    for (;;) {
        size_t room_bytes = (*secret)->length_bytes - *used_bytes;
        ssize_t got = read(fd, (*secret)->data + *used_bytes, room_bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int code = -errno;

            return error_set(err, code, "%s", strerror(-code));
        }
        *used_bytes += (size_t)got;
        if (got == 0)
            return 0;
        if (*used_bytes > KEY_SOURCE_BYTES_MAX)
            return error_set(err, -EFBIG, "it is larger than %u MiB",
                             KEY_SOURCE_BYTES_MAX / (1024u * 1024u));
        if (*used_bytes == (*secret)->length_bytes) {
            int result = grow(secret, *used_bytes, err);

            if (result < 0)
                return result;
        }
    }
}

static int read_fd(struct secret **out, int fd, struct error *err)
{
    struct secret *secret = NULL;
    size_t used_bytes = 0;
    int result = secret_create(&secret, FIRST_BYTES, err);

    if (result == 0)
        result = read_all(&secret, fd, &used_bytes, err);
    if (result == 0 && used_bytes == 0)
        result = error_set(err, -EINVAL, "it is empty");
    if (result < 0) {
        secret_free(secret);
        return result;
    }
    secret_truncate(secret, used_bytes);
    *out = secret;
    return 0;
}

static int read_file(struct secret **out, const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int result;

    if (fd < 0) {
        result = -errno;
        return error_set(err, result, "key file '%s' can't be opened: %s", path, strerror(-result));
    }
    result = read_fd(out, fd, err);
    if (result < 0)
        error_prefix(err, "key file '%s' can't be used: ", path);
    (void)close(fd);
    return result;
}

/* ---- the terminal ---- */

static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

#define ENDING_SIGNALS (sizeof(ending_signals) / sizeof(ending_signals[0]))

static volatile sig_atomic_t caught_signal;

static void catch_signal(int number)
{
    caught_signal = number;
}

/* Up to the newline, which does not count. */
static int read_line(struct secret *line, size_t *used_bytes, struct error *err)
{
    *used_bytes = 0;
    while (*used_bytes < line->length_bytes) {
        ssize_t got = read(STDIN_FILENO, line->data + *used_bytes, 1);

        if (got < 0 && errno == EINTR && caught_signal == 0)
            continue;
        if (got < 0)
            return error_set(err, -EINTR, "the passphrase was not read: interrupted");
        if (got == 0 || line->data[*used_bytes] == '\n')
            return 0;
        ++*used_bytes;
    }
    return error_set(err, -EFBIG, "the passphrase has more than %zu bytes; use --key-file",
                     line->length_bytes - 1);
}

/* The terminal must not stay without echo when the user interrupts the prompt: the signal is held
 * until the echo is back. */
static int read_line_without_echo(struct secret *line, size_t *used_bytes, struct error *err)
{
    struct sigaction catcher = { .sa_handler = catch_signal }, saved[ENDING_SIGNALS];
    struct termios loud, quiet;
    int result;

    if (tcgetattr(STDIN_FILENO, &loud) < 0)
        return error_set(err, -ENOTTY, "standard input is not a terminal; give --key-file");
    quiet = loud;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    caught_signal = 0;
    for (size_t i = 0; i < ENDING_SIGNALS; i++)
        (void)sigaction(ending_signals[i], &catcher, &saved[i]);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    result = read_line(line, used_bytes, err);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &loud);
    for (size_t i = 0; i < ENDING_SIGNALS; i++)
        (void)sigaction(ending_signals[i], &saved[i], NULL);
    (void)fputc('\n', stderr);
    if (caught_signal != 0)
        (void)raise(caught_signal);
    return result;
}

static int ask_once(struct secret **out, const char *question, const char *image, struct error *err)
{
    struct secret *line = NULL;
    size_t used_bytes = 0;
    int result = secret_create(&line, LINE_BYTES_MAX + 1, err);

    if (result < 0)
        return result;
    (void)fprintf(stderr, "%s '%s': ", question, image);
    (void)fflush(stderr);
    result = read_line_without_echo(line, &used_bytes, err);
    if (result < 0) {
        secret_free(line);
        return result;
    }
    secret_truncate(line, used_bytes);
    *out = line;
    return 0;
}

static int ask(struct secret **out, const char *image, bool confirm, struct error *err)
{
    struct secret *first = NULL, *second = NULL;
    int result = ask_once(&first, confirm ? "New passphrase for" : "Passphrase for", image, err);

    if (result == 0 && first->length_bytes == 0)
        result = error_set(err, -EINVAL, "the passphrase is empty");
    if (result == 0 && confirm)
        result = ask_once(&second, "Once more, for", image, err);
    if (result == 0 && confirm && !secret_equal(first, second))
        result = error_set(err, -EINVAL, "the two passphrases differ; nothing was changed");
    secret_free(second);
    if (result < 0) {
        secret_free(first);
        return result;
    }
    *out = first;
    return 0;
}

int key_source_read(struct secret **out, const char *key_file, const char *image, bool confirm,
                    struct error *err)
{
    int result;

    if (!key_file && !isatty(STDIN_FILENO))
        return error_set(err, -ENOTTY,
                         "no passphrase for '%s': standard input is not a terminal; give "
                         "--key-file FILE, or --key-file - to read it from there",
                         image);
    if (!key_file)
        return ask(out, image, confirm, err);
    if (strcmp(key_file, "-") != 0)
        return read_file(out, key_file, err);
    result = read_fd(out, STDIN_FILENO, err);
    if (result < 0)
        error_prefix(err, "standard input can't be used as the key: ");
    return result;
}
