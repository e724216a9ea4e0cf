/* server/loop.h in the simulated world.  An operation takes effect at a drawn moment between its
 * submission, at the end of the batch, and its completion, and reads and writes the caller's memory
 * only then: who gives a buffer away too early is found out. */
#include "server/loop/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/disk.h"
#include "tests/sim/files.h"
#include "tests/sim/loop-hosts.h"
#include "tests/sim/network.h"
#include "tests/sim/op.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

#define BATCH_MAX 256u
#define DELIVERED_WHOLE_PER_MILLE 500u
#define POISON 0xa5

struct loop {
    unsigned host, number;
    bool stopping, dead;
    uint64_t busy_ns; /* when it had something to do, the last time */
    struct loop_turns *turns, own_turns;
    struct loop_task *after; /* may be NULL */
    struct loop_task *tasks, **tasks_end;
    struct loop_message *messages, **messages_end;
    struct op *ops; /* in flight, or to be submitted */
    struct op *queued[4096];
    unsigned queued_count;
    struct op *ready[4096];
    unsigned ready_count;
    struct loop *next;
};

_Thread_local uint64_t loop_batch_ns;

static struct loop *loops;
static unsigned loops_made;
struct loop_timing loop_timing;

int loop_create(struct loop **out, const struct loop_config *config, struct error *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return error_set(err, -ENOMEM, "not enough memory for an event loop");
    loop->host = fiber_host();
    loop->number = ++loops_made;
    loop->turns = config->turns != NULL ? config->turns : &loop->own_turns;
    loop->turns->asleep = 1;
    loop->after = config->after;
    loop->tasks_end = &loop->tasks;
    loop->messages_end = &loop->messages;
    loop->next = loops;
    loops = loop;
    *out = loop;
    return 0;
}

static void unlink_loop(struct loop *loop)
{
    struct loop **link = &loops;

    while (*link != loop)
        link = &(*link)->next;
    *link = loop->next;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL)
        return;
    for (const struct op *op = loop->ops; op != NULL; op = op->next)
        sim_fail("a loop is destroyed with an operation of kind %d in flight", (int)op->kind);
    if (loop->messages != NULL && !loop->stopping) /* who has ended answers nothing any more */
        sim_fail("a loop is destroyed with a message undelivered");
    unlink_loop(loop);
    free(loop);
}

void loop_forget_timers(struct loop *loop)
{
    struct op **link = &loop->ops;

    while (*link != NULL) {
        struct op *op = *link;

        if (op->kind != OP_TIMER) {
            link = &op->next;
            continue;
        }
        op->dead = true;
        *link = op->next;
    }
}

unsigned loops_count(unsigned host)
{
    unsigned count = 0;

    for (const struct loop *loop = loops; loop != NULL; loop = loop->next)
        count += loop->host == host;
    return count;
}

uint64_t loops_idle_since_ns(void)
{
    uint64_t since_ns = 0;

    for (const struct loop *loop = loops; loop != NULL; loop = loop->next) {
        if (loop->ready_count + loop->queued_count > 0 || loop->messages != NULL)
            return sim_now_ns;
        for (const struct op *op = loop->ops; op != NULL; op = op->next)
            if (op->disk != NULL)
                return sim_now_ns;
        if (loop->busy_ns > since_ns)
            since_ns = loop->busy_ns;
    }
    return since_ns;
}

/* ---- operations ---- */

/* They are never freed: an event of one that was cancelled may be still to come. */
static struct op *op_alloc(void)
{
    static struct op *slab;
    static unsigned left;

    if (left == 0) {
        left = 256;
        slab = calloc(left, sizeof(*slab));
    }
    if (slab == NULL)
        sim_fail("no memory");
    return &slab[--left];
}

static struct op *op_create(struct loop *loop, enum op_kind kind, struct io_event *event)
{
    struct op *op = op_alloc();
    struct op **end = &loop->ops;

    if (loop->queued_count == 4096)
        sim_fail("too many operations");
    if (fiber_host() != loop->host)
        sim_fail("an operation is asked for on the loop of another host");
    *op = (struct op){ .kind = kind, .event = event, .loop = loop, .host = loop->host };
    for (; *end != NULL; end = &(*end)->next)
        if ((*end)->event == event)
            sim_fail("an event has two operations in flight");
    *end = op;
    loop->queued[loop->queued_count++] = op;
    return op;
}

static void op_unlink(struct op *op)
{
    struct op **link = &op->loop->ops;

    while (*link != op)
        link = &(*link)->next;
    *link = op->next;
}

static void op_completes(void *context)
{
    struct op *op = context;
    struct loop *loop = op->loop;

    if (op->dead)
        return;
    if (loop->ready_count == 4096)
        sim_fail("too many completions");
    loop->ready[loop->ready_count++] = op;
    fiber_wake_all(loop);
}

void op_ends(struct op *op, int result)
{
    uint64_t delay_ns = random_skewed(STREAM_SCHEDULE, 1, loop_timing.completion_max_ns);

    op->has_result = true;
    op->result = result;
    op->waits_for_socket = false;
    event_after(delay_ns, op_completes, op);
}

static void socket_changed(void *context)
{
    struct endpoint *endpoint = context;

    for (struct loop *loop = loops; loop != NULL; loop = loop->next)
        for (struct op *op = loop->ops; op != NULL; op = op->next)
            if (op->endpoint == endpoint && op->waits_for_socket && !op->dead)
                socket_op_try(op);
}

/* ---- submission ---- */

static void timer_fires(void *context)
{
    struct op *op = context;

    if (!op->dead && !op->has_result)
        op_ends(op, -ETIME);
}

static void submit(struct op *op)
{
    op->submitted = true;
    if (op->kind == OP_TIMER) {
        event_after(op->delay_ms * NS_PER_MS, timer_fires, op);
    } else if (op->disk != NULL) {
        op->position = disk_position(op->disk);
        event_after(disk_op_delay_ns(op), disk_op_happens, op);
    } else {
        event_after(random_skewed(STREAM_NETWORK, 1, loop_timing.completion_max_ns),
                    socket_op_happens, op);
    }
}

static void submit_queued(struct loop *loop)
{
    unsigned count = loop->queued_count;

    loop->queued_count = 0;
    for (unsigned i = 0; i < count; i++)
        submit(loop->queued[i]);
}

/* ---- running ---- */

/* A part of them, in any order. */
static void deliver_completions(struct loop *loop)
{
    unsigned count = loop->ready_count;

    if (count > 1 && !random_chance(STREAM_SCHEDULE, DELIVERED_WHOLE_PER_MILLE))
        count = 1 + (unsigned)random_below(STREAM_SCHEDULE, count);
    if (count > BATCH_MAX)
        count = BATCH_MAX;
    for (; count > 0 && loop->ready_count > 0; count--) {
        unsigned chosen =
            loop->ready_count > 1 ? (unsigned)random_below(STREAM_SCHEDULE, loop->ready_count) : 0;
        struct op *op = loop->ready[chosen];

        loop->ready[chosen] = loop->ready[--loop->ready_count];
        op_unlink(op);
        op->event->fn(op->event, op->result);
    }
}

static void deliver_messages(struct loop *loop)
{
    for (unsigned i = 0; loop->messages != NULL && i < BATCH_MAX; i++) {
        struct loop_message *message = loop->messages;

        loop->messages = message->next;
        if (loop->messages == NULL)
            loop->messages_end = &loop->messages;
        message->event.fn(&message->event, message->result);
    }
}

static void run_tasks(struct loop *loop)
{
    while (loop->tasks != NULL) {
        struct loop_task *task = loop->tasks;

        loop->tasks = task->next;
        if (loop->tasks == NULL)
            loop->tasks_end = &loop->tasks;
        task->queued = false;
        task->fn(task);
    }
}

static void begin_turn(struct loop_turns *turns)
{
    loop_batch_ns = sim_now_ns;
    turns->start_ns = sim_now_ns;
    turns->count++;
    turns->asleep = 0;
}

/* It is at work meanwhile, and others wait. */
static void spend_time(const struct loop *loop)
{
    if (options.batch_us == 0 || loop->turns == &loop->own_turns)
        return;
    mark(MARK_long_batch);
    fiber_sleep(random_skewed(STREAM_RARE, 1, options.batch_us * NS_PER_US));
    loop_batch_ns = loop->turns->start_ns;
}

static void end_turn(struct loop *loop)
{
    run_tasks(loop);
    if (loop->after != NULL)
        loop->after->fn(loop->after);
}

void loop_run(struct loop *loop)
{
    loop->stopping = false;
    begin_turn(loop->turns);
    end_turn(loop);
    while (!loop->stopping) {
        submit_queued(loop);
        loop->turns->asleep = 1;
        fiber_yield();
        while (loop->ready_count == 0 && loop->messages == NULL)
            fiber_wait(loop);
        begin_turn(loop->turns);
        loop->busy_ns = sim_now_ns;
        deliver_completions(loop);
        deliver_messages(loop);
        spend_time(loop);
        end_turn(loop);
    }
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *loop->tasks_end = task;
    loop->tasks_end = &task->next;
}

void loop_post(struct loop *target, struct loop_message *message)
{
    message->next = NULL;
    *target->messages_end = message;
    target->messages_end = &message->next;
    fiber_wake_all(target);
}

/* ---- files ---- */

void loop_file_init(struct loop *loop, struct loop_file *file, int fd)
{
    struct endpoint *endpoint = file_endpoint(fd);

    (void)loop;
    *file = (struct loop_file){ .fd = fd, .slot = -1 };
    if (endpoint != NULL)
        endpoint_watch(endpoint, socket_changed, endpoint);
}

void loop_file_release(struct loop *loop, struct loop_file *file)
{
    (void)loop;
    *file = (struct loop_file){ .fd = -1, .slot = -1 };
}

void loop_file_close(struct loop *loop, struct loop_file *file)
{
    int fd = file->fd;

    for (const struct op *op = loop->ops; op != NULL && fd >= 0; op = op->next)
        if (op->endpoint != NULL && op->endpoint == file_endpoint(fd))
            sim_fail("a socket is closed while an operation on it is in flight");
    loop_file_release(loop, file);
    if (fd >= 0)
        close(fd);
}

void loop_file_shutdown(struct loop *loop, const struct loop_file *file, int how)
{
    (void)loop;
    endpoint_shutdown(file_endpoint(file->fd), how != SHUT_WR, how != SHUT_RD);
}

size_t loop_file_send_now(struct loop *loop, const struct loop_file *file, const void *data,
                          size_t length_bytes)
{
    int64_t count = endpoint_send(file_endpoint(file->fd), data, length_bytes);

    (void)loop;
    return count > 0 ? (size_t)count : 0;
}

bool loop_file_has_unread(struct loop *loop, const struct loop_file *file)
{
    (void)loop;
    return endpoint_unread_bytes(file_endpoint(file->fd)) > 0;
}

uint32_t loop_file_unsent_bytes(struct loop *loop, const struct loop_file *file)
{
    (void)loop;
    return (uint32_t)endpoint_unsent_bytes(file_endpoint(file->fd));
}

int loop_register_memory(struct loop *loop, void *base, size_t length_bytes)
{
    (void)loop;
    (void)base;
    (void)length_bytes;
    return -1;
}

void loop_unregister_memory(struct loop *loop, int index)
{
    (void)loop;
    (void)index;
}

/* ---- calls ---- */

static struct op *disk_op(struct loop *loop, enum op_kind kind, struct io_event *event,
                          const struct loop_file *file, uint64_t offset_bytes,
                          uint32_t length_bytes)
{
    struct op *op = op_create(loop, kind, event);

    op->disk = file_disk(file->fd);
    op->fd = file->fd;
    if (op->disk == NULL)
        sim_fail("descriptor %d is no image", file->fd);
    op->offset_bytes = offset_bytes;
    op->length_bytes = length_bytes;
    return op;
}

void loop_read(struct loop *loop, struct io_event *event, const struct loop_file *file,
               const struct buffer *buffer, uint8_t *data, uint32_t length_bytes,
               uint64_t offset_bytes)
{
    (void)buffer;
    memset(data, POISON, length_bytes); /* who looks before the end sees no data */
    disk_op(loop, OP_READ, event, file, offset_bytes, length_bytes)->data = data;
}

void loop_write(struct loop *loop, struct io_event *event, const struct loop_file *file,
                const struct buffer *buffer, const uint8_t *data, uint32_t length_bytes,
                uint64_t offset_bytes)
{
    (void)buffer;
    disk_op(loop, OP_WRITE, event, file, offset_bytes, length_bytes)->data =
        (uint8_t *)(uintptr_t)data;
}

void loop_fdatasync(struct loop *loop, struct io_event *event, const struct loop_file *file,
                    uint64_t offset_bytes, uint32_t length_bytes)
{
    (void)disk_op(loop, OP_SYNC, event, file, offset_bytes, length_bytes);
}

void loop_fallocate(struct loop *loop, struct io_event *event, const struct loop_file *file,
                    int mode, uint64_t offset_bytes, uint64_t length_bytes)
{
    struct op *op = disk_op(loop, OP_FALLOCATE, event, file, offset_bytes, 0);

    op->range_bytes = length_bytes;
    op->mode = mode;
}

void loop_readahead(struct loop *loop, struct io_event *event, const struct loop_file *file,
                    uint64_t offset_bytes, uint32_t length_bytes)
{
    (void)disk_op(loop, OP_READAHEAD, event, file, offset_bytes, length_bytes);
}

static void socket_op(struct loop *loop, enum op_kind kind, struct io_event *event,
                      const struct loop_file *file, struct msghdr *message)
{
    struct op *op = op_create(loop, kind, event);

    op->endpoint = file_endpoint(file->fd);
    op->message = message;
    if (op->endpoint == NULL)
        sim_fail("descriptor %d is no socket", file->fd);
}

void loop_recvmsg(struct loop *loop, struct io_event *event, const struct loop_file *file,
                  struct msghdr *message)
{
    socket_op(loop, OP_RECEIVE, event, file, message);
}

void loop_sendmsg(struct loop *loop, struct io_event *event, const struct loop_file *file,
                  struct msghdr *message)
{
    socket_op(loop, OP_SEND, event, file, message);
}

void loop_accept(struct loop *loop, struct io_event *event, int fd)
{
    (void)loop;
    (void)event;
    sim_fail("accept on descriptor %d is not modelled", fd);
}

void loop_poll(struct loop *loop, struct io_event *event, int fd, unsigned events)
{
    (void)loop;
    (void)event;
    sim_fail("poll of descriptor %d for %u is not modelled", fd, events);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, unsigned timeout_ms)
{
    op_create(loop, OP_TIMER, &timer->event)->delay_ms = timeout_ms;
}

/* It may end by itself before it is cancelled. */
static void cancel_now(void *context)
{
    struct op *op = context;

    if (op->dead || op->has_result) {
        mark(MARK_late_cancel);
        return;
    }
    op_ends(op, -ECANCELED);
}

/* What a disk does can't be cancelled. */
void loop_cancel(struct loop *loop, struct io_event *event)
{
    for (struct op *op = loop->ops; op != NULL; op = op->next) {
        if (op->event != event || op->disk != NULL)
            continue;
        event_after(random_skewed(STREAM_SCHEDULE, 1, loop_timing.completion_max_ns), cancel_now,
                    op);
        return;
    }
}

/* ---- the end of a host ---- */

void loops_kill(unsigned host)
{
    struct loop **link = &loops;

    while (*link != NULL) {
        struct loop *loop = *link;

        if (loop->host != host) {
            link = &loop->next;
            continue;
        }
        *link = loop->next;
        for (struct op *op = loop->ops; op != NULL; op = op->next)
            disk_op_drop(op);
        for (unsigned i = 0; i < loop->queued_count; i++)
            loop->queued[i]->dead = true;
    }
}
