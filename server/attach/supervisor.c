#include "server/attach/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/attach/attach-dial.h"
#include "server/attach/nbd-device.h"
#include "server/attach/nbd-receivers.h"
#include "server/base/log.h"
#include "server/base/size-text.h"
#include "server/client/channel.h"
#include "server/nbd/nbd-wire.h"

#define LOOK_MS 1000u /* how soon an end is noticed that nobody tells of */
#define PAUSE_MS_FIRST 50u
#define PAUSE_MS_MAX 5000u
#define MISSES_MAX 5u
#define SOON_SECONDS 3u
#define SOON_TOLD 3u /* restarts of a server are seldom so near */

struct watch {
    struct supervisor *supervisor;
    unsigned dead, misses;
    uint64_t since_ms;      /* the first of them died */
    uint64_t restored_ms;   /* all of them lived again */
    unsigned restored_soon; /* how often, one soon after the other */
    unsigned pause_ms;
    char backend[NBD_BACKEND_BYTES];
    struct error told; /* the last reason that was logged */
};

int supervisor_compare(const struct attach_record *record, const struct export_info *info,
                       const char *uuid, struct error *err)
{
    unsigned lost = record->flags & ~info->flags &
                    (NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM);

    if (strcmp(record->uuid, uuid) != 0)
        return error_set(err, -ESTALE,
                         "the server has another disk there now: its UUID is %s, and was %s; it is "
                         "not used",
                         uuid[0] != '\0' ? uuid : "not told",
                         record->uuid[0] != '\0' ? record->uuid : "not told");
    if (info->size_bytes < record->size_bytes)
        return error_set(err, -ESTALE,
                         "the disk has become smaller, %s instead of %s: it is not used",
                         size_text(info->size_bytes).text, size_text(record->size_bytes).text);
    if ((info->flags & NBD_FLAG_READ_ONLY) != 0 && (record->flags & NBD_FLAG_READ_ONLY) == 0)
        return error_set(err, -ESTALE, "the disk can only be read now: it is not used");
    if (lost != 0)
        return error_set(err, -ESTALE,
                         "the server can't flush, write through or discard any more as it could "
                         "before: it is not used");
    return 0;
}

/* It may have been detached, and its number given to another one: that must not get our sockets. */
static bool is_ours(const struct supervisor *supervisor)
{
    return attach_record_is_of(&supervisor->record, supervisor->index);
}

/* ---- words ---- */

static void say(struct watch *watch, enum log_level level, const char *text)
{
    log_write(level, "/dev/nbd%u (%s): %s", watch->supervisor->index,
              watch->supervisor->record.name, text);
}

/* Each reason once, until there is another. */
static void say_failure(struct watch *watch, const struct error *err)
{
    if (strcmp(watch->told.text, err->text) == 0)
        return;
    watch->told = *err;
    say(watch, LOG_ERROR, err->text);
}

/* What attach_grow() has made of it in another process. */
static void note_size(struct attach_record *record, unsigned index)
{
    uint64_t size_bytes = nbd_device_size_bytes(index);

    if (size_bytes > record->size_bytes)
        record->size_bytes = size_bytes;
}

static void note_dead(struct watch *watch)
{
    struct supervisor *supervisor = watch->supervisor;

    note_size(&supervisor->record, supervisor->index);
    supervisor->record.dead = watch->dead;
    if (attach_record_write(&supervisor->record, supervisor->index, NULL) < 0)
        log_debug("/run/nbdcrypt-attach could not be written");
}

/* The kernel gives up a connection that is silent for so long, and sends what was asked for by
 * another one, which is as slow: it may never have an answer. */
static void say_if_timeout_is_short(struct watch *watch, uint64_t now_ms)
{
    unsigned timeout_seconds = watch->supervisor->record.timeout_seconds;
    bool soon = now_ms - watch->restored_ms < (timeout_seconds + SOON_SECONDS) * UINT64_C(1000);
    char text[160];

    watch->restored_ms = now_ms;
    watch->restored_soon = soon ? watch->restored_soon + 1 : 0;
    if (timeout_seconds == 0 || watch->restored_soon != SOON_TOLD)
        return;
    snprintf(text, sizeof text,
             "connections are lost again and again, and the server is there: does it take longer "
             "than --timeout %u to answer?",
             timeout_seconds);
    say(watch, LOG_WARNING, text);
}

static void say_restored(struct watch *watch)
{
    uint64_t now_ms = channel_clock_ms();
    char text[80];

    snprintf(text, sizeof text, "connected again after %.1f s",
             (double)(now_ms - watch->since_ms) / 1000);
    say(watch, LOG_NOTICE, text);
    say_if_timeout_is_short(watch, now_ms);
}

/* ---- one connection ---- */

static int dial(struct watch *watch, int *fd, struct error *err)
{
    struct supervisor *supervisor = watch->supervisor;
    char uuid[CLIENT_UUID_BYTES];
    struct export_info info;
    int result = attach_dial(fd, &info, supervisor->target, supervisor->stop, err);

    if (result < 0)
        return result;
    result = attach_dial_uuid(uuid, supervisor->target, supervisor->stop, err);
    note_size(&supervisor->record, supervisor->index);
    if (result == 0)
        result = supervisor_compare(&supervisor->record, &info, uuid, err);
    if (result == 0 && info.size_bytes > supervisor->record.size_bytes)
        say(watch, LOG_NOTICE, "the disk has grown: nbdcrypt attach --grow shows it");
    if (result < 0)
        close(*fd);
    return result;
}

/* 1: the kernel has taken it. */
static int give(struct watch *watch, int fd, struct error *err)
{
    struct supervisor *supervisor = watch->supervisor;
    bool told = supervisor->record.timeout_seconds > 0;

    if (told)
        nbd_netlink_mark(fd);
    int result =
        nbd_netlink_revive(supervisor->commands, supervisor->index, watch->backend, fd, err);
    if (result < 0)
        return result;
    return !told || nbd_netlink_has_taken(fd);
}

static int revive(struct watch *watch, struct error *err)
{
    int fd;
    int result = dial(watch, &fd, err);

    if (result < 0)
        return result;
    /* It may have gone while this was dialed: the kernel compares only what has a backend. */
    result = is_ours(watch->supervisor) ? give(watch, fd, err) : -ECANCELED;
    close(fd);
    if (result < 0)
        return result;
    watch->misses = result == 1 ? 0 : watch->misses + 1;
    watch->dead -= result == 1;
    /* One after the other: the kernel may have no threads for several at once. */
    if (result == 1)
        (void)nbd_receivers_await(watch->supervisor->index,
                                  watch->supervisor->record.connections - watch->dead);
    /* It was told of a death that is none, or is not one yet. */
    if (watch->misses >= MISSES_MAX)
        watch->dead = 0;
    return 0;
}

/* ---- all of them ---- */

static void take_deaths(struct watch *watch)
{
    struct supervisor *supervisor = watch->supervisor;
    unsigned deaths = nbd_netlink_deaths(supervisor->watch, supervisor->index);
    unsigned most = supervisor->record.connections;

    if (deaths == 0)
        return;
    if (watch->dead == 0) {
        watch->since_ms = channel_clock_ms();
        watch->pause_ms = 0;
        watch->told.text[0] = '\0';
        say(watch, LOG_WARNING, "a connection to the server is lost; it is dialed again");
    }
    watch->misses = 0;
    watch->dead = deaths > most || watch->dead + deaths > most ? most : watch->dead + deaths;
    note_dead(watch);
}

static void revive_some(struct watch *watch)
{
    struct error err = { "" };
    int result = revive(watch, &err);

    if (result == -ECANCELED || !is_ours(watch->supervisor))
        return;
    if (result < 0) {
        say_failure(watch, &err);
        watch->pause_ms = watch->pause_ms == 0 ? PAUSE_MS_FIRST : watch->pause_ms * 2;
        if (watch->pause_ms > PAUSE_MS_MAX)
            watch->pause_ms = PAUSE_MS_MAX;
        return;
    }
    watch->pause_ms = watch->misses > 0 ? PAUSE_MS_FIRST : 0;
    if (watch->dead == 0) {
        note_dead(watch);
        say_restored(watch);
    }
}

bool supervisor_run(struct supervisor *supervisor, bool unknown)
{
    struct watch watch = { .supervisor = supervisor };
    struct pollfd poller = { .fd = nbd_netlink_fd(supervisor->watch), .events = POLLIN };

    attach_record_backend(watch.backend, &supervisor->record);
    watch.since_ms = channel_clock_ms();
    watch.dead = unknown ? supervisor->record.connections : 0;
    watch.misses =
        unknown ? MISSES_MAX - 1 : 0; /* the first that is not taken says that all live */
    while (!atomic_load(supervisor->stop)) {
        if (!is_ours(supervisor))
            return true;
        unsigned wait_ms = watch.dead == 0 ? LOOK_MS : watch.pause_ms;
        (void)poll(&poller, 1, (int)wait_ms);
        take_deaths(&watch);
        if (watch.dead > 0)
            revive_some(&watch);
    }
    return false;
}
