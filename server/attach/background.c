#include "server/attach/background.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/attach/system-log.h"
#include "server/base/file-io.h"
#include "server/base/log.h"
#include "server/base/secret-text.h"
#include "server/base/spawn.h"

#define MARK "NBDCRYPT_BACKGROUND"
#define COMMAND_LINE_BYTES 131072u
#define WORDS_MAX 256u

extern char **environ;

/* ---- the process that starts it ---- */

static atomic_int started; /* its process, as long as that number is its own; 0 */

/* Only that one knows what it has done, and takes it back. */
static void pass_on(int number)
{
    int saved = errno, pid = atomic_load(&started);

    (void)number;
    if (pid > 0)
        (void)kill(pid, SIGHUP);
    errno = saved;
}

/* Those that are ignored (nohup, a shell's background) stay so.  They are blocked until the process
 * is there that they are passed on to. */
static void catch_signals(sigset_t *before)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    const struct sigaction action = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
    struct sigaction now;
    sigset_t signals;

    sigemptyset(&signals);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(&signals, numbers[i]);
    (void)sigprocmask(SIG_BLOCK, &signals, before);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (sigaction(numbers[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &action, NULL);
}

/* "nbdcrypt attach --foreground ...": into `words`, which point into `text`. */
static int build_words(char *words[WORDS_MAX], char *text, struct error *err)
{
    static char foreground[] = "--foreground";
    size_t length_bytes = 0, count = 0;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    int result = fd >= 0 ? file_io_read(fd, text, COMMAND_LINE_BYTES, &length_bytes) : -errno;

    if (fd >= 0)
        close(fd);
    if (result < 0)
        return error_set(err, result, "the command line can't be read: %s", strerror(-result));
    for (size_t at = 0; at < length_bytes && count + 2 < WORDS_MAX; at += strlen(text + at) + 1) {
        words[count++] = text + at;
        if (count == 2)
            words[count++] = foreground;
    }
    words[count] = NULL;
    return count >= 3 && length_bytes < COMMAND_LINE_BYTES && count + 2 < WORDS_MAX
               ? 0
               : error_set(err, -E2BIG, "the command line is too long");
}

/* Until the process has let go of it.  1: it has said something, and so is ready; 0: it has not;
 * -errno: it has, and nobody could be told. */
static int show(int fd)
{
    char text[4096];
    int result = 0;
    ssize_t got;

    while ((got = read(fd, text, sizeof text)) > 0 || (got < 0 && errno == EINTR)) {
        int written = got > 0 ? file_io_write(STDOUT_FILENO, text, (size_t)got) : 0;

        if (got > 0 && result >= 0)
            result = written < 0 ? written : 1;
    }
    return result;
}

static int start(pid_t *pid, int output, struct error *err)
{
    static char text[COMMAND_LINE_BYTES + 1];
    char *words[WORDS_MAX], starter[16];
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const struct spawn_files files = { .fds = { null, output, -1 } };
    int result = build_words(words, text, err);

    (void)snprintf(starter, sizeof starter, "%d", (int)getpid());
    if (result == 0 && setenv(MARK, starter, 1) != 0)
        result = error_no_memory(err, NULL);
    if (result == 0)
        result = spawn_with(pid, "/proc/self/exe", words, environ, &files, false, err);
    if (null >= 0)
        close(null);
    return result;
}

static int start_and_pass_on(pid_t *pid, int output, struct error *err)
{
    sigset_t before;

    catch_signals(&before);
    int result = start(pid, output, err);
    if (result == 0)
        atomic_store(&started, *pid);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* It has failed, and has said why if it could. */
static int await_end(pid_t pid, struct error *err)
{
    siginfo_t info;
    int status = 0;

    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        continue;
    atomic_store(&started, 0);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(status))
        return error_set(err, -ECANCELED, "the process in the background was ended: %s",
                         strsignal(WTERMSIG(status)));
    return 1;
}

int background_start(struct error *err)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_set(err, -errno, "a pipe can't be made: %s", strerror(errno));
    int result = start_and_pass_on(&pid, ends[1], err);
    close(ends[1]);
    if (result < 0) {
        close(ends[0]);
        return result;
    }
    result = show(ends[0]);
    close(ends[0]);
    if (result < 0)
        return error_set(err, result,
                         "it is attached, and its device can't be written: %s; nbdcrypt attached "
                         "tells it",
                         strerror(-result));
    return result == 1 ? 0 : await_end(pid, err);
}

/* ---- the process in the background ---- */

bool background_is_this(void)
{
    return getenv(MARK) != NULL;
}

/* Also of one that was killed: it can't tell any more. */
void background_begin(void)
{
    const char *starter = getenv(MARK);

    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGHUP);
    if (starter != NULL && strtol(starter, NULL, 10) != getppid())
        (void)raise(SIGHUP);
}

void background_stay(void)
{
    (void)signal(SIGHUP, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, 0);
}

static void put(enum log_level level, uint64_t source, const struct log_about *about,
                const char *format, va_list args)
{
    char text[1024];
    int length = about->who != NULL ? snprintf(text, sizeof text, "%.200s: ", about->who) : 0;

    (void)source;
    if (length >= 0 && vsnprintf(text + length, sizeof text - (size_t)length, format, args) >= 0) {
        secret_text_mask_line(text, sizeof text);
        system_log_write(log_priority(level), text);
    }
}

static const struct log_sink system_log = { .put = put };

void background_enter(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)fflush(stdout);
    system_log_open();
    log_set_sink(&system_log);
    if (chdir("/") != 0)
        log_debug("the folder can't be left: %m");
    if (null < 0)
        return;
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    close(null);
}
