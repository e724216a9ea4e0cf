#include "server/attach/attach-run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "server/attach/attach-dial.h"
#include "server/attach/attach-grow.h"
#include "server/attach/by-name.h"
#include "server/attach/nbd-device.h"
#include "server/attach/nbd-receivers.h"
#include "server/attach/supervisor.h"
#include "server/base/log.h"
#include "server/client/channel.h"
#include "server/nbd/nbd-wire.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define BLOCK_BYTES_LEAST 512u
#define BLOCK_BYTES_MOST 4096u /* that the kernel's client can do */
#define RETRY_MS_FIRST 100
#define RETRY_MS_MAX 2000
#define FREE_MS 3000u
#define FREE_LOOK_MS 50
#define LOOK_MS 1000 /* whether the one who looks after it has ended */

/* Its sockets, until they are the kernel's. */
struct sockets {
    struct export_info info; /* of the first */
    int fds[NBD_NETLINK_SOCKETS_MAX];
    unsigned count;
};

static void close_sockets(struct sockets *sockets)
{
    while (sockets->count > 0)
        close(sockets->fds[--sockets->count]);
}

/* ---- the server ---- */

/* Those after the first have to be of the same disk, which the server could have exchanged. */
static int dial_all(struct sockets *sockets, const struct attach_run *run, unsigned wanted,
                    struct error *err)
{
    int result = 0;

    while (sockets->count < wanted && result == 0) {
        struct export_info info;

        result = attach_dial(&sockets->fds[sockets->count], &info, &run->target, run->stop, err);
        if (result < 0)
            break;
        if (sockets->count++ == 0)
            sockets->info = info;
        else if (info.size_bytes != sockets->info.size_bytes || info.flags != sockets->info.flags)
            result =
                error_set(err, -ESTALE, "the disk was exchanged while it was attached: once more");
        if ((info.flags & NBD_FLAG_CAN_MULTI_CONN) == 0)
            wanted = 1;
    }
    return result;
}

/* What may be otherwise in a moment: the server is not there yet, or has not the export yet. */
static bool may_come(int result)
{
    return result != -EINVAL && result != -ECANCELED && result != -ENOMEM && result != -EACCES &&
           result != -EPROTO;
}

static int dial_until(struct sockets *sockets, const struct attach_run *run, unsigned wanted,
                      struct error *err)
{
    uint64_t end_ms = channel_clock_ms() + (uint64_t)run->options->wait_seconds * 1000;
    int pause_ms = RETRY_MS_FIRST;

    for (;;) {
        int result = dial_all(sockets, run, wanted, err);

        if (result == 0)
            return 0;
        close_sockets(sockets);
        if (!may_come(result) || channel_clock_ms() >= end_ms || atomic_load(run->stop))
            return result;
        log_info("%s; it is waited for", err->text);
        (void)poll(NULL, 0, pause_ms);
        pause_ms = pause_ms * 2 < RETRY_MS_MAX ? pause_ms * 2 : RETRY_MS_MAX;
    }
}

/* ---- the kernel ---- */

static int choose_block(uint32_t *out, const struct attach_run *run, const struct export_info *info,
                        struct error *err)
{
    uint32_t least =
        info->block_min_bytes > BLOCK_BYTES_LEAST ? info->block_min_bytes : BLOCK_BYTES_LEAST;

    *out = run->options->block_bytes != 0 ? run->options->block_bytes : least;
    if (least > BLOCK_BYTES_MOST || (least & (least - 1)) != 0)
        return error_set(err, -EINVAL,
                         "the server takes blocks of %u bytes at least, and the kernel's client "
                         "makes none of more than %u",
                         least, BLOCK_BYTES_MOST);
    if (*out < least)
        return error_set(err, -EINVAL, "--block-size %u: the server takes %u bytes at least", *out,
                         least);
    if (info->size_bytes < *out)
        return error_set(err, -EINVAL, "the disk has %llu bytes, which is less than a block",
                         (unsigned long long)info->size_bytes);
    return 0;
}

/* A device without a size, which nobody tries to read: show() gives it one. */
static int give_to_kernel(struct attach_run *run, struct sockets *sockets, struct error *err)
{
    const struct attach_options *options = run->options;
    char backend[NBD_BACKEND_BYTES];
    struct nbd_netlink_device device = {
        .index = NBD_NETLINK_ANY_INDEX,
        .flags = (uint16_t)(sockets->info.flags | (options->read_only ? NBD_FLAG_READ_ONLY : 0)),
        .timeout_seconds = options->timeout_seconds,
        .dead_timeout_seconds = options->dead_timeout_seconds,
        .backend = backend,
        .socket_count = sockets->count,
    };
    int result = choose_block(&device.block_bytes, run, &sockets->info, err);

    if (result == 0 && options->device != NULL)
        result = nbd_device_parse(&device.index, options->device, err);
    if (result < 0)
        return result;
    run->record.size_bytes = sockets->info.size_bytes;
    run->record.flags = device.flags;
    run->record.connections = sockets->count;
    attach_record_backend(backend, &run->record);
    memcpy(device.sockets, sockets->fds, sockets->count * sizeof sockets->fds[0]);
    result = nbd_netlink_attach(run->commands, &device, err);
    if (result < 0 && options->device != NULL)
        error_prefix(err, "/dev/nbd%u: ", device.index);
    run->index = device.index;
    if (result == 0)
        nbd_device_attacher(run->attacher, run->index);
    return result;
}

/* Somebody may have detached it meanwhile, and its number be another's by now.  Not every kernel
 * tells what it was attached as. */
static bool is_ours(const struct attach_run *run)
{
    char attacher[NBD_ATTACHER_BYTES], backend[NBD_BACKEND_BYTES];

    nbd_device_attacher(attacher, run->index);
    nbd_device_backend(backend, run->index);
    return attacher[0] != '\0' && strcmp(attacher, run->attacher) == 0 &&
           (backend[0] == '\0' || attach_record_is_of(&run->record, run->index));
}

static int check_ours(const struct attach_run *run, struct error *err)
{
    return is_ours(run) ? 0
                        : error_set(err, -ENODEV,
                                    "somebody has detached /dev/nbd%u while it was being attached",
                                    run->index);
}

/* The device may be open still, by those who looked at it. */
static int give_once_it_is_free(struct attach_run *run, struct sockets *sockets, struct error *err)
{
    int result = give_to_kernel(run, sockets, err);

    for (unsigned ms = 0; result == -EBUSY && ms < FREE_MS; ms += FREE_LOOK_MS) {
        (void)poll(NULL, 0, FREE_LOOK_MS);
        result = give_to_kernel(run, sockets, err);
    }
    return result;
}

/* Nothing of it may be left behind when what follows fails. */
static void take_back(const struct attach_run *run)
{
    if (!is_ours(run))
        return;
    if (nbd_netlink_detach(run->commands, run->index, NULL) < 0)
        log_error("/dev/nbd%u stays attached: nbdcrypt detach nbd%u", run->index, run->index);
    attach_record_remove(run->index);
    by_name_remove(run->record.link, run->index);
}

static int show(const struct attach_run *run, struct error *err)
{
    char backend[NBD_BACKEND_BYTES];

    attach_record_backend(backend, &run->record);
    return nbd_netlink_resize(run->commands, run->index, backend, run->record.size_bytes, err);
}

/* The server may have exchanged the disk before it was dialled again. */
static int give_anew(struct attach_run *run, struct sockets *sockets, unsigned wanted,
                     struct error *err)
{
    int result = check_ours(run, err);

    close_sockets(sockets);
    if (result == 0)
        result = nbd_netlink_detach(run->commands, run->index, err);
    if (result == 0)
        result = dial_until(sockets, run, wanted, err);
    if (result == 0)
        result = attach_dial_uuid(run->record.uuid, &run->target, run->stop, err);
    return result == 0 ? give_once_it_is_free(run, sockets, err) : result;
}

/* It can be taken back and given once more, now that the kernel has more threads, and with fewer
 * connections, if need be: one is received from in any case. */
static int give_until_received(struct attach_run *run, struct sockets *sockets, struct error *err)
{
    unsigned wanted = run->options->connections;
    int result = give_to_kernel(run, sockets, err);

    for (bool again = false; result == 0 && !nbd_receivers_await(run->index, sockets->count);
         again = true) {
        log_info("/dev/nbd%u: the kernel does not receive from all of its %u connections yet: it "
                 "is attached once more",
                 run->index, sockets->count);
        if (again && wanted > 1)
            wanted /= 2;
        result = give_anew(run, sockets, wanted, err);
    }
    if (result == 0)
        result = check_ours(run, err);
    if (result == 0) {
        result = show(run, err);
        if (result < 0)
            take_back(run);
    }
    return result;
}

static void say_what_it_is(const struct attach_run *run)
{
    bool several = (run->record.flags & NBD_FLAG_CAN_MULTI_CONN) != 0;

    if (run->record.uuid[0] == '\0')
        log_notice(
            "the server does not tell which disk this is: after a lost connection another one "
            "of the same name and size would be taken for it");
    if (run->options->connections > 1 && run->record.connections == 1 && !several)
        log_info("the server can't do with several connections to this export: there is one");
    if (run->record.connections < run->options->connections && several)
        log_warning("/dev/nbd%u has %u connections instead of %u, because the kernel had no "
                    "threads for more: attached anew, it may have them",
                    run->index, run->record.connections, run->options->connections);
}

static int write_down(struct attach_run *run, struct error *err)
{
    run->lock = attach_record_lock(run->index, err);
    int result = run->lock < 0 ? run->lock : attach_record_write(&run->record, run->index, err);

    if (result == 0)
        by_name_make(run->record.link, run->index);
    return result;
}

static int remember(struct attach_run *run, struct error *err)
{
    int result = attach_record_is_of(&run->record, run->index)
                     ? write_down(run, err)
                     : error_set(err, -ENOTSUP,
                                 "/dev/nbd%u does not tell what it was attached as: the kernel is "
                                 "older than Linux 5.14, or somebody has detached it",
                                 run->index);

    if (result < 0)
        take_back(run);
    else
        say_what_it_is(run);
    return result;
}

/* ---- what is attached already ---- */

static int check_device(const struct attach_run *run, struct error *err)
{
    unsigned wanted;

    if (run->options->device == NULL)
        return 0;
    int result = nbd_device_parse(&wanted, run->options->device, err);
    if (result == 0 && wanted != run->index)
        result = error_set(err, -EBUSY, "'%.200s' is attached already, as /dev/nbd%u",
                           run->record.name, run->index);
    return result;
}

/* Who attached it was killed before he had written it down. */
static int adopt(struct attach_run *run, const struct sockets *sockets, struct error *err)
{
    if (run->record.uuid[0] == '\0')
        return error_set(err, -EBUSY,
                         "/dev/nbd%u is attached under this name, and nobody knows from where: "
                         "`nbdcrypt detach nbd%u` takes it away",
                         run->index, run->index);
    run->record.size_bytes = nbd_device_size_bytes(run->index);
    run->record.flags =
        sockets->info.flags | (nbd_device_is_read_only(run->index) ? NBD_FLAG_READ_ONLY : 0);
    run->record.connections = sockets->count;
    run->found = true;
    int result = check_device(run, err);
    if (result == 0)
        result = write_down(run, err);
    if (result == 0)
        log_notice("/dev/nbd%u was attached already, by a process that did not come to its end",
                   run->index);
    return result;
}

/* Who attached one under this name was killed.  One without a size was never shown to anybody, and
 * perhaps the kernel does not receive from all of its connections: that is no loss. */
static bool find_lost(struct attach_run *run)
{
    if (attach_record_find_lost(&run->index, &run->record) != 0)
        return false;
    return nbd_device_size_bytes(run->index) > 0 ||
           nbd_netlink_detach(run->commands, run->index, NULL) < 0;
}

static int attach_new(struct attach_run *run, struct error *err)
{
    struct sockets sockets = { .count = 0 };
    int result = dial_until(&sockets, run, run->options->connections, err);
    bool lost = false;

    if (result == 0)
        result = attach_dial_uuid(run->record.uuid, &run->target, run->stop, err);
    if (result == 0)
        lost = find_lost(run);
    if (result == 0)
        result = lost ? adopt(run, &sockets, err) : give_until_received(run, &sockets, err);
    close_sockets(&sockets);
    return result == 0 && !lost ? remember(run, err) : result;
}

static int grow(struct attach_run *run, struct error *err)
{
    struct supervisor it = {
        .index = run->index,
        .record = run->record,
        .target = &run->target,
        .commands = run->commands,
        .stop = run->stop,
    };
    int result = attach_grow(&it, err);

    run->record = it.record;
    run->grown = result == 1;
    return result < 0 ? result : 0;
}

static int check_wishes(const struct attach_run *run, const struct attach_record *found,
                        struct error *err)
{
    if (strcmp(found->source, run->source) != 0)
        return error_set(
            err, -EBUSY,
            "'%.200s' is the name of /dev/nbd%u already, which is %.200s: give another "
            "one by --name",
            found->name, run->index, found->source);
    if (run->options->read_only && (found->flags & NBD_FLAG_READ_ONLY) == 0)
        return error_set(err, -EBUSY,
                         "'%.200s' is attached already, as /dev/nbd%u, which can be written",
                         found->name, run->index);
    return check_device(run, err);
}

static int take_over(struct attach_run *run, const struct attach_record *found, struct error *err)
{
    int result = check_wishes(run, found, err);

    if (result < 0)
        return result;
    run->record = *found;
    run->found = true;
    run->looked_after = attach_record_supervisor(run->index) != 0;
    if (run->options->grow)
        result = grow(run, err);
    if (result < 0 || run->looked_after)
        return result;
    run->lock = attach_record_lock(run->index, err);
    if (run->lock < 0)
        return run->lock;
    by_name_make(run->record.link, run->index); /* whoever died may not have come to that */
    return 0;
}

/* ---- all of it ---- */

static int fill_record(struct attach_run *run, struct error *err)
{
    const struct attach_options *options = run->options;
    const char *name = options->name != NULL ? options->name : run->target.export_name;
    struct attach_record *record = &run->record;

    if (name[0] == '\0')
        return error_set(err, -EINVAL, "the default export has no name: give one by --name");
    int result = attach_target_check_text("the name", name, err);
    if (result < 0)
        return result;
    *record = (struct attach_record){
        .timeout_seconds = options->timeout_seconds,
        .dead_timeout_seconds = options->dead_timeout_seconds,
    };
    snprintf(record->name, sizeof record->name, "%s", name);
    snprintf(record->source, sizeof record->source, "%s", run->source);
    attach_record_link(record->link, name);
    return 0;
}

/* Two at once would make two devices of one disk. */
static int attach_by_name(struct attach_run *run, struct error *err)
{
    static struct attach_record found;
    int lock = attach_record_lock_name(run->record.name, err);

    if (lock < 0)
        return lock;
    int result = attach_record_find(&run->index, &found, run->record.name) == 0
                     ? take_over(run, &found, err)
                     : attach_new(run, err);
    close(lock);
    return result;
}

int attach_run(struct attach_run *run, struct error *err)
{
    int result = fill_record(run, err);

    run->lock = -1;
    if (result == 0)
        result = nbd_netlink_open(&run->commands, err);
    if (result == 0)
        result = nbd_netlink_watch(&run->watch, err);
    return result == 0 ? attach_by_name(run, err) : result;
}

void attach_run_undo(struct attach_run *run)
{
    if (!run->found)
        take_back(run);
}

bool attach_run_await(struct attach_run *run)
{
    while (!atomic_load(run->stop) && attach_record_is_of(&run->record, run->index)) {
        run->lock = attach_record_try_lock(run->index);
        /* What that one has written meanwhile holds. */
        if (run->lock >= 0 && attach_record_read(&run->record, run->index, NULL) == 0)
            return attach_record_is_of(&run->record, run->index);
        if (run->lock >= 0)
            return false;
        (void)poll(NULL, 0, LOOK_MS);
    }
    return false;
}

/* When the kernel needs memory it writes to the device, which needs this process, which must not
 * wait for memory then: as far as this machine lets it. */
static void be_needed_by_the_kernel(void)
{
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0)
        log_debug("PR_SET_IO_FLUSHER: %m");
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
        log_debug("mlockall: %m");
}

void attach_run_supervise(struct attach_run *run)
{
    struct supervisor supervisor = {
        .index = run->index,
        .record = run->record,
        .target = &run->target,
        .commands = run->commands,
        .watch = run->watch,
        .stop = run->stop,
    };

    be_needed_by_the_kernel();
    if (supervisor_run(&supervisor, run->found)) {
        attach_record_remove(run->index);
        by_name_remove(run->record.link, run->index);
    }
}

void attach_run_end(struct attach_run *run)
{
    nbd_netlink_close(run->watch);
    nbd_netlink_close(run->commands);
    if (run->lock >= 0)
        close(run->lock);
}
