#include "server/keys/key-command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/base/spawner.h"
#include "server/base/utf8.h"

#define FIRST_BYTES 4096u
#define SAID_BYTES 512u
#define DISCARD_BYTES 4096u

/* ---- reading what one prints ---- */

struct reader {
    const char *name; /* of the program */
    const struct key_command_limits *limits;
    struct timespec deadline;
    int leash, signals;
    int output, said;      /* our ends of pipes; -1: nothing comes any more */
    struct secret *secret; /* what has come on standard output */
    size_t used_bytes;
    char text[SAID_BYTES + 1]; /* the beginning of standard error */
    size_t text_bytes;
};

void key_command_end_all(void)
{
    spawner_end();
}

static long left_ms(const struct reader *reader)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (reader->deadline.tv_sec - now.tv_sec) * 1000 +
           (reader->deadline.tv_nsec - now.tv_nsec) / 1000000;
}

static int grow(struct reader *reader, struct error *err)
{
    struct secret *larger = NULL;
    int result = secret_create(&larger, reader->secret->length_bytes * 2, err);

    if (result < 0)
        return result;
    memcpy(larger->data, reader->secret->data, reader->used_bytes);
    secret_free(reader->secret);
    reader->secret = larger;
    return 0;
}

/* What is there now, or the end. */
static int read_output(struct reader *reader, struct error *err)
{
    ssize_t got = read(reader->output, reader->secret->data + reader->used_bytes,
                       reader->secret->length_bytes - reader->used_bytes);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0) {
        close(reader->output);
        reader->output = -1;
        return 0;
    }
    reader->used_bytes += (size_t)got;
    if (reader->used_bytes > reader->limits->output_bytes_max)
        return error_set(err, -EFBIG,
                         "'%s' prints more than %zu bytes, which is too much for a key",
                         reader->name, reader->limits->output_bytes_max);
    return reader->used_bytes == reader->secret->length_bytes ? grow(reader, err) : 0;
}

/* The beginning is kept, the rest is read away, so that it is not held up. */
static void read_said(struct reader *reader)
{
    char discarded[DISCARD_BYTES];
    bool full = reader->text_bytes == SAID_BYTES;
    ssize_t got = full ? read(reader->said, discarded, sizeof discarded)
                       : read(reader->said, reader->text + reader->text_bytes,
                              SAID_BYTES - reader->text_bytes);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close(reader->said);
        reader->said = -1;
    } else if (!full) {
        reader->text_bytes += (size_t)got;
    }
}

/* Until it has ended and what it had printed is read.  Others that it started may hold the pipes
 * longer: they are not waited for. */
static int read_to_the_end(struct reader *reader, struct error *err)
{
    bool ended = false;

    while (!ended || reader->output >= 0) {
        struct pollfd polls[] = { { reader->output, POLLIN, 0 },
                                  { reader->said, POLLIN, 0 },
                                  { ended ? -1 : reader->leash, POLLIN, 0 },
                                  { reader->signals, POLLIN, 0 } };
        long timeout_ms = ended ? 0 : left_ms(reader);
        int count = timeout_ms < 0 ? 0 : poll(polls, 4, (int)timeout_ms), result = 0;

        if (count < 0 && errno != EINTR)
            return error_set(err, -errno, "'%s' can't be waited for: %s", reader->name,
                             strerror(errno));
        if (count == 0 && ended)
            return 0;
        if (count == 0)
            return error_set(err, -ETIMEDOUT, "'%s' did not end within %u seconds", reader->name,
                             reader->limits->timeout_ms / 1000);
        if (polls[3].revents)
            return error_set(err, -EINTR, "'%s' was ended: interrupted", reader->name);
        if (polls[1].revents)
            read_said(reader);
        if (polls[0].revents)
            result = read_output(reader, err);
        if (result < 0)
            return result;
        ended |= polls[2].revents != 0;
    }
    if (reader->said >= 0)
        read_said(reader);
    return 0;
}

/* The first line of what it said, with nothing in it that a terminal would obey. */
static const char *first_line(struct reader *reader)
{
    reader->text[reader->text_bytes] = '\0';
    reader->text[strcspn(reader->text, "\n")] = '\0';
    for (char *at = reader->text; *at; at++)
        if (utf8_is_control(*at))
            *at = '?';
    return reader->text;
}

static int judge(struct reader *reader, int status, struct error *err)
{
    const char *line = first_line(reader);

    if (WIFSIGNALED(status))
        return error_set(err, -EIO, "'%s' was killed by signal %d (%s)", reader->name,
                         WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0)
        return error_set(err, -EIO, "'%s' failed with exit status %d%s%.200s", reader->name,
                         WEXITSTATUS(status), *line ? ": " : "", line);
    if (reader->used_bytes == 0)
        return error_set(err, -EIO, "'%s' printed nothing%s%.200s", reader->name, *line ? ": " : "",
                         line);
    return 0;
}

/* The group is its own: what it started goes with it. */
static int finish(struct reader *reader, int result, struct error *err)
{
    int status = 0;

    if (result < 0) {
        spawner_stop(reader->leash);
        return result;
    }
    result = spawner_status(reader->leash, &status, err);
    close(reader->leash);
    if (result < 0) {
        error_prefix(err, "'%s': ", reader->name);
        return result;
    }
    return judge(reader, status, err);
}

/* ---- what it takes ---- */

void key_command_environment(char *environment[KEY_COMMAND_ENVIRONMENT_MAX + 1])
{
    static const char *const allowed[] = { "PATH=",
                                           "HOME=",
                                           "USER=",
                                           "LOGNAME=",
                                           "LANG=",
                                           "TMPDIR=",
                                           "XDG_RUNTIME_DIR=",
                                           "CREDENTIALS_DIRECTORY=" };
    size_t count = 0;

    for (char **one = environ; *one; one++)
        for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
            if (count < KEY_COMMAND_ENVIRONMENT_MAX &&
                strncmp(*one, allowed[i], strlen(allowed[i])) == 0)
                environment[count++] = *one;
    environment[count] = NULL;
}

static int make_pipe(int *ours, int *theirs, struct error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_set(err, -errno, "no pipe for the output of a program: %s", strerror(errno));
    *ours = ends[0];
    *theirs = ends[1];
    (void)fcntl(*ours, F_SETFL, O_NONBLOCK);
    return 0;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* One of its own; -1 and errno. */
static int input_of(const struct reader *reader)
{
    int input = reader->limits->input;

    return input >= 0 ? fcntl(input, F_DUPFD_CLOEXEC, 3) : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Starts it, with the other ends of the reader's pipes. */
static int start_reading(struct reader *reader, char *const argv[], struct error *err)
{
    char *environment[KEY_COMMAND_ENVIRONMENT_MAX + 1];
    struct spawn_order order = {
        .argv = argv,
        .environment = environment,
        .files = { input_of(reader), -1, -1 },
        .umask = S_IRWXG | S_IRWXO, /* what it leaves may be keys */
    };
    int result = make_pipe(&reader->output, &order.files[1], err);

    if (result == 0)
        result = make_pipe(&reader->said, &order.files[2], err);
    if (result == 0 && order.files[0] < 0)
        result = error_set(err, -EIO, "there is no standard input for '%s': %s", argv[0],
                           strerror(errno));
    key_command_environment(environment);
    if (result == 0)
        result = spawner_start(&reader->leash, &order, err);
    for (unsigned i = 0; i < SPAWNER_FILES; i++)
        close_if_open(order.files[i]);
    return result;
}

static int run(struct reader *reader, char *const argv[], struct error *err)
{
    int result = secret_create(&reader->secret, FIRST_BYTES, err);

    if (result == 0)
        result = start_reading(reader, argv, err);
    if (result == 0)
        result = finish(reader, read_to_the_end(reader, err), err);
    close_if_open(reader->output);
    close_if_open(reader->said);
    secret_wipe(reader->text, sizeof reader->text);
    return result;
}

int key_command_read(struct secret **out, char *const argv[],
                     const struct key_command_limits *limits, struct error *err)
{
    struct reader reader = {
        .name = argv[0], .limits = limits, .leash = -1, .output = -1, .said = -1
    };
    sigset_t ending, before;
    int result;

    clock_gettime(CLOCK_MONOTONIC, &reader.deadline);
    reader.deadline.tv_sec += limits->timeout_ms / 1000;
    reader.deadline.tv_nsec += (long)(limits->timeout_ms % 1000) * 1000000;
    /* They stay pending, and take effect when the program is gone. */
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &ending, &before);
    reader.signals = signalfd(-1, &ending, SFD_CLOEXEC);
    result = run(&reader, argv, err);
    close_if_open(reader.signals);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result < 0) {
        secret_free(reader.secret);
        return result;
    }
    secret_truncate(reader.secret, reader.used_bytes);
    *out = reader.secret;
    return 0;
}
