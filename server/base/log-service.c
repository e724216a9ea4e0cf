#include "server/base/log-service.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/base/log-journal.h"
#include "server/base/log-limit.h"
#include "server/base/log-queue.h"
#include "server/base/log-text.h"
#include "server/base/log.h"
#include "server/base/secret-text.h"
#include "server/base/threads.h"

#define PREFIX_BYTES 128u
#define LOOK_MS 1000 /* how often what was held back is looked at */

/* There is one log in a process. */
static struct {
    struct log_queue queue;
    struct log_limit limit; /* the thread's */
    pthread_t thread;
    int wake_fd;
    atomic_bool asleep; /* the thread waits for wake_fd */
    atomic_bool ending;
    atomic_uint_fast64_t handled; /* lines written or held back so far */
    int journal_fd;               /* -1: each line is written to standard error */
    bool running, journal;
} service = { .journal_fd = -1 };

/* ---- any thread ---- */

/* The line is there before `asleep` is read here; `asleep` is set before the thread looks for one:
 * see log_queue_publish(). */
static void wake(void)
{
    if (atomic_exchange(&service.asleep, false) &&
        write(service.wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0) {
        /* EAGAIN: it has been woken often enough. */
    }
}

static void put(enum log_level level, uint64_t source, const struct log_about *about,
                const char *format, va_list args)
{
    static const char cut[] = " [cut]";
    struct log_entry *entry = log_queue_reserve(&service.queue);
    int saved = errno, used = 0, length;

    if (entry == NULL)
        return;
    clock_gettime(CLOCK_REALTIME, &entry->time);
    entry->level = level;
    entry->kind = format;
    entry->source = source;
    entry->text[0] = '\0';
    entry->fields[0] = '\0';
    if (service.journal_fd >= 0)
        log_about_fields(entry->fields, about);
    if (about->who != NULL)
        used = snprintf(entry->text, sizeof entry->text / 2, "%s: ", about->who);
    if (used < 0 || used >= (int)(sizeof entry->text / 2))
        used = 0;
    errno = saved; /* for %m */
    length = vsnprintf(entry->text + used, sizeof entry->text - (size_t)used, format, args);
    if (length >= (int)(sizeof entry->text - (size_t)used))
        memcpy(entry->text + sizeof entry->text - sizeof cut, cut, sizeof cut);
    log_queue_publish(entry);
    wake();
}

static const struct log_sink sink = { put };

/* ---- its thread ---- */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Others may have made the descriptor one that does not block. */
static void write_line(const char *line, size_t length_bytes)
{
    while (length_bytes > 0) {
        ssize_t written = write(STDERR_FILENO, line, length_bytes);

        if (written < 0 && errno == EAGAIN)
            poll(&(struct pollfd){ .fd = STDERR_FILENO, .events = POLLOUT }, 1, -1);
        else if (written < 0 && errno != EINTR)
            return; /* nowhere to complain to */
        if (written > 0) {
            line += written;
            length_bytes -= (size_t)written;
        }
    }
}

/* "<4>" for the journal, which knows the rest; elsewhere
 * "2026-02-28T23:59:07.123Z nbdcrypt[71] warning: ". */
static size_t put_prefix(char *out, enum log_level level, const struct timespec *time)
{
    static const char *const names[] = {
        [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
    };
    struct tm day = { 0 };
    char date[32];

    if (service.journal)
        return (size_t)snprintf(out, PREFIX_BYTES, "<%d>", log_priority(level));
    gmtime_r(&time->tv_sec, &day);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &day);
    return (size_t)snprintf(out, PREFIX_BYTES, "%s.%03ldZ %.*s[%d] %s: ", date,
                            time->tv_nsec / 1000000, (int)LOG_PROGRAM_BYTES_MAX, log_program(),
                            (int)getpid(), names[level]);
}

static void write_entry(enum log_level level, const struct timespec *time, const char *fields,
                        const char *text)
{
    static char line[PREFIX_BYTES + LOG_TEXT_BYTES * LOG_TEXT_GROWTH + 1]; /* one thread uses it */
    size_t prefix_bytes = put_prefix(line, level, time);
    size_t length = prefix_bytes + log_text_escape(line + prefix_bytes, text);

    line[length++] = '\n';
    if (!log_journal_send(service.journal_fd, level, fields, line + prefix_bytes,
                          length - prefix_bytes))
        write_line(line, length);
}

static void tell_now(enum log_level level, const char *text)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    write_entry(level, &now, "", text);
}

static void handle_lines(void)
{
    struct log_entry *entry;

    while ((entry = log_queue_peek(&service.queue)) != NULL) {
        secret_text_mask_line(entry->text, sizeof entry->text);
        if (entry->source == 0 || log_limit_lets_pass(&service.limit, entry->kind, entry->source,
                                                      (int)entry->level, entry->text, now_ms()))
            write_entry(entry->level, &entry->time, entry->fields, entry->text);
        log_queue_pop(&service.queue);
        atomic_fetch_add(&service.handled, 1);
    }
}

static void tell_what_is_missing(bool end)
{
    uint64_t dropped = log_queue_take_dropped(&service.queue);
    struct log_limit_row row;
    char text[LOG_LIMIT_LAST_BYTES + 100];

    if (dropped > 0) {
        snprintf(text, sizeof text,
                 "%llu messages were lost here: they came faster than the log was read",
                 (unsigned long long)dropped);
        tell_now(LOG_WARNING, text);
    }
    while (log_limit_expire(&service.limit, now_ms(), end, &row)) {
        snprintf(text, sizeof text, "%u more like this in the last minute: %s", row.held_back,
                 row.last);
        tell_now((enum log_level)row.level, text);
    }
}

static void sleep_until_woken(void)
{
    bool look = log_limit_holds_back(&service.limit);
    uint64_t count;

    atomic_store(&service.asleep, true);
    if (log_queue_peek(&service.queue) == NULL && !atomic_load(&service.ending))
        poll(&(struct pollfd){ .fd = service.wake_fd, .events = POLLIN }, 1, look ? LOOK_MS : -1);
    atomic_store(&service.asleep, false);
    if (read(service.wake_fd, &count, sizeof count) < 0) {
        /* EAGAIN: it was the time. */
    }
}

static void *serve(void *unused)
{
    (void)unused;
    thread_begin("nbdcrypt-log");
    while (true) {
        bool ending =
            atomic_load(&service.ending); /* before the queue: what was said until then is in it */

        handle_lines();
        tell_what_is_missing(ending);
        if (ending)
            return NULL;
        sleep_until_woken();
    }
}

/* ---- start and end ---- */

int log_service_start(struct error *err)
{
    sigset_t before;

    log_queue_init(&service.queue);
    service.journal = log_is_journal();
    service.journal_fd = service.journal ? log_journal_open() : -1;
    service.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (service.wake_fd < 0)
        return error_set(err, -errno, "an eventfd could not be made: %s", strerror(errno));
    thread_block_signals(&before);
    int result = pthread_create(&service.thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        close(service.wake_fd);
        return error_set(err, -result, "a thread for the log could not be started: %s",
                         strerror(result));
    }
    service.running = true;
    log_set_sink(&sink);
    return 0;
}

void log_service_drain(unsigned timeout_ms)
{
    uint64_t said = atomic_load(&service.queue.put), end_ms = now_ms() + timeout_ms;

    while (service.running && atomic_load(&service.handled) < said && now_ms() < end_ms)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

void log_service_stop(unsigned timeout_ms)
{
    struct timespec end;

    if (!service.running)
        return;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    atomic_store(&service.ending, true);
    wake();
    if (pthread_timedjoin_np(service.thread, NULL, &end) != 0) {
        pthread_detach(service.thread);
        return; /* the queue stays, and nobody reads it */
    }
    log_set_sink(NULL);
    close(service.wake_fd);
    if (service.journal_fd >= 0)
        close(service.journal_fd);
    service.journal_fd = -1;
    service.running = false;
}
