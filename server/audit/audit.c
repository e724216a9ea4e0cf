#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "server/audit/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/audit/audit-file.h"
#include "server/audit/audit-queue.h"
#include "server/base/log-ids.h"
#include "server/base/log-journal.h"
#include "server/base/log-limit.h"
#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/base/threads.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif
#define LOOK_MS 1000   /* how often it is tried again, and what was held back is looked at */
#define AGAIN_MS 60000 /* the same, where all is written and was not made durable */
#define HANGS_MS 5000  /* a disk that has not answered for so long does not */

/* There is one audit log in a process. */
static struct {
    struct audit_queue queue;
    int wake_fd;
    atomic_bool asleep, ending, reopen, running, failing;
    atomic_uint_fast64_t told, handled, written; /* written: the number of the last record */
    atomic_uint_fast64_t asked_ms; /* since when the file has not answered; 0: it has */
    pthread_t thread;
    const char *path;
    bool required;
    int journal_fd; /* -1: it is a file */

    /* Of its thread. */
    struct audit_file file;
    char hash[AUDIT_HASH_BYTES];
    struct audit_item *first, **last; /* taken, and not written yet */
    uint64_t lost;                    /* no record has told it yet */
    struct log_limit limit;
    bool unsynced;
    bool wants_file; /* it could not be opened anew when that was asked for */
    uint64_t synced; /* the last record of which the storage said that it has it */
    struct {
        uint64_t first, last; /* what may be lost; 0: nothing that has to be told yet */
        uint64_t total;
        int error;
        bool told;   /* by a record that is not known to be on the storage */
        bool logged; /* since a sync has last succeeded */
    } doubt;
} audit = { .journal_fd = -1, .file.fd = -1 };

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- any thread ---- */

/* Its thread is in a call that does not come back. */
static bool hangs(void)
{
    uint64_t asked_ms = atomic_load(&audit.asked_ms);

    return asked_ms != 0 && now_ms() - asked_ms > HANGS_MS;
}

static void tell_hanging(void)
{
    if (!hangs() || atomic_exchange(&audit.failing, true))
        return;
    log_error("the audit log can't be written to '%s': its storage does not answer; what happens "
              "meanwhile waits, and is lost when there is too much",
              audit.path);
}

static void wake(void)
{
    if (atomic_exchange(&audit.asleep, false) &&
        write(audit.wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0) {
        /* EAGAIN: it has been woken often enough. */
    }
}

struct kind {
    const char *type;
    enum audit_class of;
    const char *result;
};

/* What is not here is of no interest to who asks who did what. */
static const struct kind *kind_of(const char *type)
{
    static const struct kind kinds[] = {
        { "client.attached", AUDIT_CLIENTS, "done" },
        { "client.detached", AUDIT_CLIENTS, "done" },
        { "client.denied", AUDIT_STRANGERS, "refused" },
        { "limit.reached", AUDIT_STRANGERS, "refused" },
        { "control.denied", AUDIT_STRANGERS, "refused" },
        { "control.change", AUDIT_OPERATORS, NULL },
        { "export.added", AUDIT_OPERATORS, "done" },
        { "export.changed", AUDIT_OPERATORS, "done" },
        { "export.removed", AUDIT_OPERATORS, "done" },
        { "export.suspended", AUDIT_OPERATORS, "done" },
        { "export.resumed", AUDIT_OPERATORS, "done" },
        { "key.used", AUDIT_OPERATORS, "done" },
        { "key.changed", AUDIT_OPERATORS, "done" },
        { "key.failed", AUDIT_OPERATORS, "failed" },
        { "reload.done", AUDIT_OPERATORS, "done" },
        { "reload.failed", AUDIT_OPERATORS, "failed" },
        { "tls.renewed", AUDIT_OPERATORS, "done" },
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].type, type) == 0)
            return &kinds[i];
    return NULL;
}

static void hear(const struct event *event)
{
    const struct kind *kind = kind_of(event->type);
    struct event told = *event;

    if (kind == NULL)
        return;
    if (told.result == NULL)
        told.result = kind->result;
    told.type = kind->type;
    if (audit_queue_put(&audit.queue, kind->of, &told))
        atomic_fetch_add(&audit.told, 1);
    else
        tally_add(TALLY_AUDIT_LOST);
    tell_hanging();
    wake();
}

bool audit_can_record(enum audit_class of)
{
    if (!audit.required || !atomic_load(&audit.running))
        return true;
    tell_hanging();
    return !atomic_load(&audit.failing) && audit_queue_has_room(&audit.queue, of);
}

void audit_reopen(void)
{
    atomic_store(&audit.reopen, true);
    if (atomic_load(&audit.running))
        wake();
}

void audit_describe(struct audit_state *out)
{
    *out = (struct audit_state){ 0 };
    if (!atomic_load(&audit.running))
        return;
    out->path = audit.path;
    out->records = atomic_load(&audit.written);
    out->lost = tally_get(TALLY_AUDIT_LOST);
    out->doubtful = tally_get(TALLY_AUDIT_DOUBTFUL);
    out->failing = atomic_load(&audit.failing) || hangs();
}

/* ---- its thread: one record ---- */

static int append_line(const char *line, size_t bytes)
{
    atomic_store(&audit.asked_ms, now_ms());
    int result = audit_file_append(&audit.file, line, bytes);
    atomic_store(&audit.asked_ms, 0);
    return result;
}

static int put_line(const char *line, size_t bytes)
{
    if (audit.journal_fd < 0)
        return append_line(line, bytes);
    return log_journal_send(audit.journal_fd, LOG_NOTICE, "MESSAGE_ID=" LOG_ID_AUDIT "\n", line,
                            bytes)
               ? 0
               : -EPIPE;
}

/* `skip`: so many numbers before it are those of lost ones. */
static int put_record(const char *type, const struct timespec *time, uint64_t skip,
                      const char *details)
{
    static char line[AUDIT_LINE_BYTES];
    struct audit_head head = { atomic_load(&audit.written) + skip + 1, *time, type };
    char hash[AUDIT_HASH_BYTES];

    memcpy(hash, audit.hash, sizeof hash);
    int result = put_line(line, audit_record_write(line, &head, details, hash));
    if (result < 0)
        return result;
    memcpy(audit.hash, hash, sizeof hash);
    atomic_store(&audit.written, head.seq);
    audit.unsynced = true;
    tally_add(TALLY_AUDIT_RECORDS);
    return 0;
}

static int put_own(const char *type, uint64_t skip, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int put_own(const char *type, uint64_t skip, const char *format, ...)
{
    char details[512];
    struct timespec now;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(details, sizeof details, format, args);
    va_end(args);
    clock_gettime(CLOCK_REALTIME, &now);
    return put_record(type, &now, skip, details);
}

/* "audit.begin" of each start, "audit.continue" of each further file. */
static int put_begin(const char *type)
{
    return put_own(type, 0, ",\"after\":\"%s\",\"version\":\"%s\",\"pid\":%d,\"uid\":%u",
                   audit.hash, PACKAGE_VERSION, (int)getpid(), geteuid());
}

/* ---- the file ---- */

static int open_file(struct error *err)
{
    struct audit_line last;
    int result = audit_file_open(&audit.file, audit.path, &last, err);

    if (result < 0 || last.seq == 0)
        return result;
    atomic_store(&audit.written, last.seq);
    audit.synced = last.seq;
    memcpy(audit.hash, last.hash, sizeof audit.hash);
    return 0;
}

/* The kernel tells once that it could not write, and forgets what it was: a sync that succeeds
 * later says nothing of these records.  So they stay told: here, and by a record in the log itself.
 */
static void doubt(int error)
{
    uint64_t before = audit.doubt.first != 0 ? audit.doubt.last : audit.synced;

    if (audit.doubt.first == 0)
        audit.doubt.first = audit.synced + 1;
    audit.doubt.last = atomic_load(&audit.written);
    audit.doubt.total += audit.doubt.last - before;
    audit.doubt.error = error;
    audit.doubt.told = false;
    tally_set(TALLY_AUDIT_DOUBTFUL, audit.doubt.total);
    if (!audit.doubt.logged)
        log_error("audit file '%s': from record %" PRIu64
                  " on it could not be made durable, and a loss of power may take them: %s",
                  audit.path, audit.doubt.first, strerror(-error));
    audit.doubt.logged = true;
}

static void sync_succeeded(void)
{
    audit.synced = atomic_load(&audit.written);
    audit.doubt.logged = false;
    if (audit.doubt.told)
        audit.doubt.first = 0;
    audit.doubt.told = false;
}

static int sync_file(const struct audit_file *file)
{
    atomic_store(&audit.asked_ms, now_ms());
    int result = audit_file_sync(file);
    atomic_store(&audit.asked_ms, 0);
    if (result < 0)
        doubt(result);
    else
        sync_succeeded();
    return result;
}

/* The next one under the same name; the old one stays when there can't be one. */
static void change_file(void)
{
    struct audit_file before = audit.file;
    struct audit_line last;
    struct error err;

    int result = audit_file_open(&audit.file, audit.path, &last, &err);
    if (result < 0) {
        audit.file = before;
        if (!audit.wants_file)
            log_error("%s; records go on into the file that had this name before, until there can "
                      "be a new one",
                      err.text);
        audit.wants_file = true;
        return;
    }
    if (audit.wants_file)
        log_notice("audit file '%s': the new one is there", audit.path);
    audit.wants_file = false;
    (void)sync_file(&before);
    audit_file_close(&before);
    if (put_begin("audit.continue") < 0)
        log_error("audit file '%s': the new one can't be written to: %m", audit.path);
}

static void look_for_another(void)
{
    bool asked = atomic_exchange(&audit.reopen, false) || audit.wants_file;

    if (audit.journal_fd < 0 && asked && !audit_file_is_named(&audit.file))
        change_file();
}

/* It was cut, or taken away, beneath us: what follows begins anew. */
static int begin_anew(void)
{
    if (!audit_file_is_named(&audit.file)) {
        log_error("audit file '%s' was removed; another one is made", audit.path);
        change_file();
        return 0;
    }
    log_error("audit file '%s' was cut by somebody else: records are missing", audit.path);
    audit.file.size_bytes = 0;
    return put_begin("audit.continue");
}

/* ---- what waits ---- */

static void tell_failing(int result, int synced)
{
    bool failing = result < 0 || synced < 0;
    bool before = atomic_exchange(&audit.failing, failing);

    if (result < 0 && !before)
        log_error("the audit log can't be written to '%s': %s; what happens meanwhile waits, and "
                  "is lost when there is too much",
                  audit.path, strerror(-result));
    else if (before && !failing)
        log_notice("the audit log can be written to '%s' again", audit.path);
}

static void take(void)
{
    struct audit_item *items = audit_queue_take(&audit.queue);

    audit.lost += atomic_exchange(&audit.queue.lost, 0);
    *audit.last = items;
    while (*audit.last != NULL)
        audit.last = &(*audit.last)->next;
}

static void drop_first(void)
{
    struct audit_item *item = audit.first;

    audit.first = item->next;
    if (audit.first == NULL)
        audit.last = &audit.first;
    audit_queue_free(&audit.queue, item);
    atomic_fetch_add(&audit.handled, 1);
}

static bool is_held_back(const struct audit_item *item)
{
    return item->of == AUDIT_STRANGERS &&
           !log_limit_lets_pass(&audit.limit, item->type, item->source, 0, item->details, now_ms());
}

static int put_waiting(void)
{
    static const struct audit_item *judged; /* it has been counted, and waits to be written */

    while (audit.first != NULL) {
        if (audit.first != judged && is_held_back(audit.first)) {
            drop_first();
            continue;
        }
        judged = audit.first;
        int result = put_record(judged->type, &judged->time, 0, judged->details);
        if (result < 0)
            return result;
        judged = NULL;
        drop_first();
    }
    return 0;
}

static int put_lost(void)
{
    int result =
        audit.lost == 0 ? 0 : put_own("audit.lost", audit.lost, ",\"lost\":%" PRIu64, audit.lost);

    if (result == 0)
        audit.lost = 0;
    return result;
}

/* `last` has the details of one of them, cut: what it was about is in the log. */
static int put_held_back(bool end)
{
    struct log_limit_row row;
    int result = 0;

    while (result == 0 && log_limit_expire(&audit.limit, now_ms(), end, &row))
        result = put_own(row.kind, 0, ",\"result\":\"refused\",\"more\":%u", row.held_back);
    return result;
}

static int put_doubt(void)
{
    if (audit.doubt.first == 0 || audit.doubt.told)
        return 0;
    int result =
        put_own("audit.doubtful", 0, ",\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"reason\":\"%s\"",
                audit.doubt.first, audit.doubt.last, strerror(-audit.doubt.error));
    audit.doubt.told = result == 0;
    return result;
}

static int put_all(bool end)
{
    int result = put_waiting();

    if (result == -ESTALE && audit.journal_fd < 0) {
        result = begin_anew();
        if (result == 0)
            result = put_waiting();
    }
    if (result == 0)
        result = put_lost();
    if (result == 0)
        result = put_doubt();
    return result == 0 ? put_held_back(end) : result;
}

static int sync_all(void)
{
    if (!audit.unsynced || audit.journal_fd >= 0)
        return 0;
    audit.unsynced = false;
    return sync_file(&audit.file);
}

/* What could not be made durable is told at once, where the file can be written again.  A disk that
 * has failed twice is left alone until there is something to write. */
static void write_all(bool end)
{
    int result = put_all(end), synced = sync_all();

    if (synced < 0) {
        if (put_doubt() == 0)
            synced = sync_all();
    }
    tell_failing(result, synced);
}

/* For at most so long; -1: nothing has to be looked at. */
static int look_ms(void)
{
    if (audit.first != NULL || audit.lost > 0 || audit.wants_file ||
        log_limit_holds_back(&audit.limit))
        return LOOK_MS;
    return audit.doubt.first != 0 ? AGAIN_MS : -1;
}

static void sleep_until_woken(void)
{
    struct pollfd wake = { .fd = audit.wake_fd, .events = POLLIN };
    uint64_t count;

    atomic_store(&audit.asleep, true);
    if (audit.first != NULL)
        poll(&wake, 1, LOOK_MS); /* it could not be written: not at once again */
    else if (atomic_load(&audit.queue.newest) == NULL && !atomic_load(&audit.ending) &&
             !atomic_load(&audit.reopen))
        poll(&wake, 1, look_ms());
    atomic_store(&audit.asleep, false);
    if (read(audit.wake_fd, &count, sizeof count) < 0) {
        /* EAGAIN: it was the time. */
    }
}

static void end(void)
{
    uint64_t left = audit.lost;

    for (; audit.first != NULL; left++)
        drop_first();
    if (left > 0)
        log_error("%" PRIu64 " records of the audit log are lost: it could not be written", left);
    else if (put_own("audit.end", 0, "%s", "") < 0)
        log_error("the last record of the audit log could not be written");
    (void)sync_all();
}

static void *serve(void *unused)
{
    (void)unused;
    thread_begin("nbdcrypt-audit");
    while (true) {
        bool ending = atomic_load(&audit.ending); /* before the queue */

        look_for_another();
        take();
        write_all(ending);
        if (ending) {
            end();
            return NULL;
        }
        sleep_until_woken();
    }
}

/* ---- start and end ---- */

static int open_target(struct error *err)
{
    audit_hash_begin(audit.hash);
    audit.last = &audit.first;
    if (strcmp(audit.path, AUDIT_JOURNAL) != 0)
        return open_file(err);
    audit.journal_fd = log_journal_open();
    return audit.journal_fd >= 0
               ? 0
               : error_set(err, -errno, "a socket for the journal can't be made: %s",
                           strerror(errno));
}

static void close_target(void)
{
    if (audit.journal_fd >= 0)
        close(audit.journal_fd);
    audit.journal_fd = -1;
    audit_file_close(&audit.file);
}

static int start_thread(struct error *err)
{
    sigset_t before;

    audit.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (audit.wake_fd < 0)
        return error_set(err, -errno, "an eventfd could not be made: %s", strerror(errno));
    thread_block_signals(&before);
    int result = pthread_create(&audit.thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0)
        return 0;
    close(audit.wake_fd);
    return error_set(err, -result, "a thread for the audit log could not be started: %s",
                     strerror(result));
}

int audit_start(const char *path, bool required, struct error *err)
{
    static const struct event_sink sink = { hear };

    if (path == NULL)
        return 0;
    audit.path = path;
    audit.required = required;
    int result = open_target(err);
    if (result == 0 && (result = put_begin("audit.begin")) < 0)
        error_set(err, result, "the audit log can't be written to '%s': %s", path,
                  strerror(-result));
    if (result == 0)
        result = start_thread(err);
    if (result < 0) {
        close_target();
        return result;
    }
    atomic_store(&audit.running, true);
    event_set_sink(EVENT_AUDIT, &sink);
    return 0;
}

void audit_drain(unsigned timeout_ms)
{
    uint64_t told = atomic_load(&audit.told), end_ms = now_ms() + timeout_ms;

    while (atomic_load(&audit.running) && atomic_load(&audit.handled) < told && now_ms() < end_ms)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

void audit_stop(unsigned timeout_ms)
{
    struct timespec until;

    if (!atomic_exchange(&audit.running, false))
        return;
    event_set_sink(EVENT_AUDIT, NULL);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    atomic_store(&audit.ending, true);
    wake();
    if (pthread_timedjoin_np(audit.thread, NULL, &until) != 0) {
        log_error("records of the audit log are lost: it can't be written");
        pthread_detach(audit.thread);
        return;
    }
    close(audit.wake_fd);
    close_target();
}
