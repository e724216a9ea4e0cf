/* Asking for a passphrase on the terminal: see key-terminal.h. */
#include "server/keys/key-terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "server/base/log.h"

#define LINE_BYTES_MAX 512u /* cryptsetup's limit for a typed passphrase */

static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

#define ENDING_SIGNALS (sizeof ending_signals / sizeof ending_signals[0])

static volatile sig_atomic_t caught_signal;

/* As it was before the echo was turned off; valid while `quiet_now`. */
static struct termios loud;
static atomic_bool quiet_now;

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
    struct termios quiet;
    int result;

    if (tcgetattr(STDIN_FILENO, &loud) < 0)
        return error_set(err, -ENOTTY, "standard input is not a terminal; give --key-file");
    quiet = loud;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    caught_signal = 0;
    for (size_t i = 0; i < ENDING_SIGNALS; i++)
        (void)sigaction(ending_signals[i], &catcher, &saved[i]);
    atomic_store(&quiet_now, true);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    result = read_line(line, used_bytes, err);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &loud);
    atomic_store(&quiet_now, false);
    for (size_t i = 0; i < ENDING_SIGNALS; i++)
        (void)sigaction(ending_signals[i], &saved[i], NULL);
    (void)fputc('\n', stderr);
    if (caught_signal != 0)
        (void)raise(caught_signal);
    return result;
}

void key_terminal_echo_again(void)
{
    if (atomic_load(&quiet_now) && tcsetattr(STDIN_FILENO, TCSAFLUSH, &loud) == 0)
        (void)fputc('\n', stderr);
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
        result = error_set(err, -EINVAL, "the two passphrases differ");
    secret_free(second);
    if (result < 0) {
        secret_free(first);
        return result;
    }
    *out = first;
    return 0;
}

int key_terminal_ask(struct secret **out, const char *image, bool confirm, struct error *err)
{
    int result = ask(out, image, confirm, err);

    for (unsigned tried = 1; result == -EINVAL && tried < KEY_TERMINAL_TRIES; tried++) {
        log_warning("%s; try again", err->text);
        result = ask(out, image, confirm, err);
    }
    if (result == -EINVAL && confirm)
        (void)error_set(err, result, "%s; nothing was changed", err->text);
    return result;
}
