/* What operations on images do: see op.h. */
#include <errno.h>
#include <linux/falloc.h>

#include "tests/sim/disk.h"
#include "tests/sim/files.h"
#include "tests/sim/loop-hosts.h"
#include "tests/sim/op.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

static bool drawn(unsigned per_mille, enum mark which)
{
    bool hit = random_chance(STREAM_DISK, per_mille);

    if (hit)
        mark(which);
    return hit;
}

/* A result that the operation ends with instead of doing something; 0: none. */
static int fault_of(struct op *op)
{
    const struct disk_faults *faults = disk_faults(op->disk);

    if (drawn(faults->interrupted, MARK_interrupted))
        return random_chance(STREAM_DISK, 500) ? -EINTR : -EAGAIN;
    if (op->kind == OP_READ && drawn(faults->read_error, MARK_read_error)) {
        disk_count_error(op->disk);
        return -EIO;
    }
    if (op->kind == OP_WRITE && drawn(faults->write_error, MARK_write_error)) {
        disk_count_error(op->disk);
        return -EIO;
    }
    if ((op->kind == OP_WRITE || op->kind == OP_FALLOCATE) &&
        drawn(faults->no_space, MARK_no_space)) {
        disk_count_error(op->disk);
        return -ENOSPC;
    }
    if (op->kind == OP_FALLOCATE && drawn(faults->no_fallocate, MARK_no_fallocate))
        return -EOPNOTSUPP;
    return 0;
}

static void write_rest(void *context)
{
    struct op *op = context;

    if (op->dead)
        return;
    disk_write(op->disk, op->offset_bytes + op->done_bytes, op->data + op->done_bytes,
               op->length_bytes - op->done_bytes);
    op_ends(op, (int)op->length_bytes);
}

/* Not at once: who reads meanwhile sees the one half and not the other. */
static void write_now(struct op *op)
{
    const struct disk_faults *faults = disk_faults(op->disk);
    uint32_t unit = loop_timing.split_bytes;

    if (op->length_bytes <= unit || !drawn(faults->split, MARK_write_in_two_parts)) {
        write_rest(op);
        return;
    }
    uint64_t first_end = (op->offset_bytes / unit + 1) * unit;
    uint64_t units = (op->offset_bytes + op->length_bytes - first_end) / unit;
    uint64_t cut = first_end + random_below(STREAM_DISK, units + 1) * unit;
    if (cut - op->offset_bytes < op->length_bytes)
        op->done_bytes = (uint32_t)(cut - op->offset_bytes);
    if (loop_timing.unit_bytes > unit) {
        disk_show(op->disk, op->offset_bytes, op->data, op->done_bytes);
        op->shown = true;
        op->done_bytes = 0;
    }
    disk_write(op->disk, op->offset_bytes, op->data, op->done_bytes);
    event_after(random_skewed(STREAM_DISK, 1, loop_timing.disk_max_ns), write_rest, op);
}

/* Where cells are halved, one half would be older than the other when the rest follows. */
static void shorten(struct op *op)
{
    uint32_t unit = op->kind == OP_WRITE ? loop_timing.unit_bytes : loop_timing.read_split_bytes;
    uint64_t end = op->offset_bytes + random_skewed(STREAM_DISK, 1, op->length_bytes - 1);

    end = end / unit * unit;
    if (end > op->offset_bytes) {
        op->length_bytes = (uint32_t)(end - op->offset_bytes);
        mark(op->kind == OP_READ ? MARK_short_read : MARK_short_write);
    }
}

static void transfer(struct op *op)
{
    uint64_t size_bytes = disk_size(op->disk);

    if (op->offset_bytes >= size_bytes)
        op->length_bytes = 0;
    else if (op->offset_bytes + op->length_bytes > size_bytes)
        op->length_bytes = (uint32_t)(size_bytes - op->offset_bytes);
    if (op->length_bytes > 1 && random_chance(STREAM_DISK, disk_faults(op->disk)->short_transfer))
        shorten(op);
    if (op->kind == OP_WRITE) {
        write_now(op);
        return;
    }
    disk_read(op->disk, op->offset_bytes, op->data, op->length_bytes);
    op_ends(op, (int)op->length_bytes);
}

static void change_range(struct op *op)
{
    uint64_t size_bytes = disk_size(op->disk);
    uint64_t length_bytes = op->range_bytes;

    if (op->offset_bytes < size_bytes) {
        if (op->offset_bytes + length_bytes > size_bytes)
            length_bytes = size_bytes - op->offset_bytes;
        disk_zero(op->disk, op->offset_bytes, length_bytes, (op->mode & FALLOC_FL_PUNCH_HOLE) != 0);
    }
    op_ends(op, 0);
}

static void sync_now(struct op *op)
{
    if (drawn(disk_faults(op->disk)->sync_error, MARK_sync_error)) {
        disk_sync_failed(op->disk, op->position);
        (void)file_sync_fails(op->fd, true);
        op_ends(op, -EIO);
        return;
    }
    disk_sync(op->disk, op->offset_bytes, op->length_bytes, op->position);
    op_ends(op, file_sync_fails(op->fd, false) ? -EIO : 0);
}

static struct {
    unsigned host, left;
    uint64_t below_bytes; /* 0: anywhere */
    void (*fn)(void *nothing);
} watch;

void op_watch_writes(unsigned host, unsigned count, uint64_t below_bytes, void (*fn)(void *nothing))
{
    watch.host = host;
    watch.left = count;
    watch.below_bytes = below_bytes;
    watch.fn = fn;
}

static bool is_watched(const struct op *op)
{
    if (watch.below_bytes > 0)
        return op->kind == OP_WRITE && op->offset_bytes < watch.below_bytes;
    return op->kind == OP_WRITE || op->kind == OP_SYNC;
}

static void count_write(const struct op *op)
{
    if (op->host == watch.host && watch.left > 0 && is_watched(op) && --watch.left == 0)
        event_at(sim_now_ns, watch.fn, NULL);
}

void disk_op_happens(void *context)
{
    struct op *op = context;

    if (op->dead)
        return;
    count_write(op);
    int fault = op->kind == OP_SYNC ? 0 : fault_of(op);
    trace_event("disk operation %llu at %llu, %llu bytes, fault %llu", (uint64_t)op->kind,
                op->offset_bytes, op->length_bytes, (uint64_t)-fault);
    if (fault != 0)
        op_ends(op, fault);
    else if (op->kind == OP_READ || op->kind == OP_WRITE)
        transfer(op);
    else if (op->kind == OP_FALLOCATE)
        change_range(op);
    else if (op->kind == OP_SYNC)
        sync_now(op);
    else
        op_ends(op, 0);
}

uint64_t disk_op_delay_ns(const struct op *op)
{
    if (drawn(disk_faults(op->disk)->slow, MARK_slow_disk))
        return random_skewed(STREAM_DISK, NS_PER_MS, 3 * NS_PER_S);
    return random_skewed(STREAM_DISK, 1, loop_timing.disk_max_ns);
}

void disk_op_drop(struct op *op)
{
    uint32_t unit = loop_timing.unit_bytes;
    uint64_t at = op->offset_bytes + op->done_bytes, end = op->offset_bytes + op->length_bytes;

    op->dead = true;
    if (op->kind != OP_WRITE || !op->submitted || op->has_result ||
        (!op->shown && random_chance(STREAM_DISK, 500)))
        return;
    if (end > disk_size(op->disk))
        end = disk_size(op->disk);
    if (!op->shown && random_chance(STREAM_DISK, 500))
        end = end / unit * unit;
    if (at < end)
        disk_write(op->disk, at, op->data + op->done_bytes, end - at);
}
