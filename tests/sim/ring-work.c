#include "tests/sim/ring-work.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/error.h"
#include "server/loop/data-buffer.h"
#include "tests/sim/random.h"
#include "tests/sim/ring-kernel.h"
#include "tests/sim/ring-tables.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

#define WORKERS_MAX 3u
#define OPS_MAX 1000u
#define TASKS 4u
#define FILES 3u
#define DATA_BYTES 64u
#define BATCH_MAX 256u /* as in loop.c */
#define LATE_NS (20 * NS_PER_MS)

struct worker;

/* One of a worker's places for operations, with memory of its own. */
struct slot {
    struct ring_op op;
    struct worker *worker;
    struct buffer buffer;
    struct msghdr message;
    struct iovec iov;
    uint8_t data[DATA_BYTES];
    struct loop_file *file; /* that it is on; NULL: none of its worker's */
};

struct task {
    struct loop_task task;
    struct worker *worker;
    bool asked;
};

struct worker {
    unsigned number;
    struct fiber *fiber;
    struct loop *loop;
    struct loop_turns turns;
    struct loop_task after;
    struct slot slots[OPS_MAX];
    struct task tasks[TASKS];
    struct loop_file files[FILES];
    int descriptors[FILES];
    unsigned in_flight, ops_left, delivered_in_batch, posted_in_batch;
    unsigned posts_left, posts_coming;  /* that somebody may send still; that are on their way */
    unsigned posts_sent, posts_arrived; /* so far; a sender is through with its call */
    uint64_t turns_before;
    bool running, ending;
};

struct post {
    struct loop_message message;
    struct worker *to;
    unsigned sender, number;
    uint64_t sent_ns;
};

static struct {
    unsigned workers, senders, entries, slots, actions;
    unsigned timers, hangs; /* per mille of operations */
    unsigned dawdles;       /* per mille of actions */
    unsigned cancels;       /* per mille of actions */
    uint64_t pause_max_ns;  /* between two messages of a sender */
    unsigned flood;         /* so many messages at once, now and then */
    unsigned busy_wait_us;
} plan;

static struct worker workers[WORKERS_MAX];
static unsigned sent_numbers[16][WORKERS_MAX], seen_numbers[16][WORKERS_MAX];

static uint64_t draw(uint64_t least, uint64_t most)
{
    return random_skewed(STREAM_WORK, least, most);
}

static bool chance(unsigned per_mille)
{
    return random_chance(STREAM_WORK, per_mille);
}

static bool one_in(unsigned count)
{
    return random_below(STREAM_OPTIONS, count) == 0;
}

static uint64_t option(uint64_t least, uint64_t most)
{
    return random_skewed(STREAM_OPTIONS, least, most);
}

static void draw_plan(void)
{
    static const unsigned entries[] = { 2, 4, 8, 16, 64, 256 };

    plan.workers = (unsigned)option(1, WORKERS_MAX);
    plan.senders = (unsigned)option(1, 4);
    plan.entries = entries[random_below(STREAM_OPTIONS, 6)];
    plan.slots = (unsigned)option(2, OPS_MAX);
    plan.actions = (unsigned)option(1, 6);
    plan.timers = one_in(3) ? 0 : (unsigned)option(10, 300);
    plan.hangs = one_in(3) ? 0 : (unsigned)option(10, 500);
    plan.dawdles = one_in(2) ? 0 : (unsigned)option(1, 20);
    plan.cancels = one_in(4) ? 0 : (unsigned)option(10, 300);
    plan.pause_max_ns = option(100, 100 * NS_PER_MS);
    plan.flood = one_in(3) ? (unsigned)option(10, 800) : 1;
    plan.busy_wait_us = one_in(2) ? 0 : (unsigned)option(1, 100);
    ring_settings = (struct ring_settings){
        .age = (enum ring_age)random_below(STREAM_OPTIONS, RING_AGES),
        .refused = one_in(2) ? 0 : (unsigned)option(1, 300),
        .partial = one_in(2) ? 0 : (unsigned)option(1, 300),
        .interrupted = one_in(2) ? 0 : (unsigned)option(1, 300),
        .no_memory = one_in(3) ? (unsigned)option(10, 500) : 0,
        .short_transfer = (unsigned)option(1, 300),
        .failed = (unsigned)option(1, 300),
        .slow = one_in(2) ? 0 : (unsigned)option(1, 100),
        .late_cancel = (unsigned)option(1, 500),
        .yields = one_in(4) ? 0 : (unsigned)option(10, 500),
        .operation_max_ns = option(100, NS_PER_MS),
        .locked_bytes = one_in(4) ? option(1024, 8u << 20) : 0,
    };
}

/* ---- operations ---- */

static struct slot *slot_of(struct io_event *ev)
{
    return container_of(container_of(ev, struct loop_timer, event), struct slot, op.timer);
}

struct ring_op *ring_work_op(const void *event)
{
    const char *at = event, *first = (const char *)workers;

    if (at < first || at >= first + sizeof(workers))
        return NULL;
    struct worker *worker = &workers[(size_t)(at - first) / sizeof(workers[0])];
    const char *slots = (const char *)worker->slots;
    if (at < slots || at >= slots + sizeof(worker->slots))
        return NULL;
    return &worker->slots[(size_t)(at - slots) / sizeof(struct slot)].op;
}

static struct worker *worker_here(void)
{
    for (unsigned i = 0; i < plan.workers; i++)
        if (workers[i].fiber == fiber_self())
            return &workers[i];
    sim_fail("something of a loop runs on another thread");
}

void ring_work_sleeps(bool wakes)
{
    const struct worker *worker = worker_here();

    if (worker->loop != NULL && worker->turns.asleep != 1)
        sim_fail("a loop sleeps and does not say so");
    if (!wakes && worker->posts_arrived < worker->posts_sent)
        sim_fail("a loop sleeps, and a message is there that nobody wakes it for");
    for (unsigned i = 0; i < plan.slots; i++)
        if (worker->slots[i].op.stage == RING_DONE)
            sim_fail("a loop sleeps, and has something that is done");
}

/* Called by the loop: in the order of batches, on its thread. */
static void check_turn(const struct worker *worker)
{
    if (worker_here() != worker)
        sim_fail("a loop calls on the thread of another one");
    if (worker->turns.asleep != 0 || worker->turns.count == 0)
        sim_fail("a loop works and says that it sleeps");
}

static void act(struct worker *worker);
static void start_op(struct worker *worker);

static void cancel_all(struct worker *worker)
{
    for (unsigned i = 0; i < plan.slots; i++)
        if (worker->slots[i].op.stage != RING_FREE)
            loop_cancel(worker->loop, &worker->slots[i].op.timer.event);
}

static bool all_hang(const struct worker *worker)
{
    for (unsigned i = 0; i < plan.slots; i++)
        if (worker->slots[i].op.stage != RING_FREE && !worker->slots[i].op.hangs)
            return false;
    return true;
}

/* What does not end by itself is ended; so it goes on until all is done. */
static void go_on(struct worker *worker)
{
    if (worker->ops_left > 0 && all_hang(worker)) {
        start_op(worker);
        cancel_all(worker);
    }
    bool done = worker->ops_left == 0 && worker->posts_left == 0 && worker->posts_coming == 0;
    if (done && !worker->ending)
        cancel_all(worker);
    worker->ending |= done;
    if (done && worker->in_flight == 0)
        loop_stop(worker->loop);
}

static void check_result(const struct slot *slot, int result)
{
    const struct ring_op *op = &slot->op;

    if (op->stage != RING_DONE)
        sim_fail("an operation is delivered that is not done");
    if (op->result != result)
        sim_fail("an operation is delivered with %d, and ended with %d", result, op->result);
    if (sim_now_ns > op->done_ns + LATE_NS)
        sim_fail("a completion has waited for %llu ns",
                 (unsigned long long)(sim_now_ns - op->done_ns));
    for (int i = 0; op->opcode == IORING_OP_READ && i < result; i++)
        if (slot->data[i] != ring_pattern(op->seed, (uint64_t)i))
            sim_fail("memory of a read was changed after its end");
}

static void op_ended(struct io_event *ev, int result)
{
    struct slot *slot = slot_of(ev);
    struct worker *worker = slot->worker;

    check_turn(worker);
    check_result(slot, result);
    slot->op.stage = RING_FREE;
    worker->in_flight--;
    worker->delivered_in_batch++;
    schedule_progress();
    act(worker);
    go_on(worker);
}

/* ---- asking for one ---- */

static void ask_range(struct slot *slot, uint8_t opcode)
{
    slot->op.opcode = opcode;
    slot->op.length_bytes = (uint32_t)draw(1, DATA_BYTES);
    slot->op.offset_bytes = draw(0, UINT64_C(1) << 40);
    slot->op.fixed = slot->buffer.fixed_index >= 0 && opcode <= IORING_OP_WRITE_FIXED;
}

static void ask_read(struct slot *slot)
{
    ask_range(slot, IORING_OP_READ);
    slot->op.fixed = slot->buffer.fixed_index >= 0;
    loop_read(slot->worker->loop, &slot->op.timer.event, slot->file, &slot->buffer, slot->data,
              slot->op.length_bytes, slot->op.offset_bytes);
}

static void ask_write(struct slot *slot)
{
    ask_range(slot, IORING_OP_WRITE);
    slot->op.fixed = slot->buffer.fixed_index >= 0;
    for (uint32_t i = 0; i < DATA_BYTES; i++)
        slot->data[i] = ring_pattern(slot->op.seed, i);
    loop_write(slot->worker->loop, &slot->op.timer.event, slot->file, &slot->buffer, slot->data,
               slot->op.length_bytes, slot->op.offset_bytes);
}

static void ask_sync(struct slot *slot)
{
    ask_range(slot, IORING_OP_FSYNC);
    loop_fdatasync(slot->worker->loop, &slot->op.timer.event, slot->file, slot->op.offset_bytes,
                   slot->op.length_bytes);
}

static void ask_fallocate(struct slot *slot)
{
    ask_range(slot, IORING_OP_FALLOCATE);
    slot->op.range_bytes = draw(1, UINT64_C(1) << 40);
    loop_fallocate(slot->worker->loop, &slot->op.timer.event, slot->file, 0, slot->op.offset_bytes,
                   slot->op.range_bytes);
}

static void ask_readahead(struct slot *slot)
{
    ask_range(slot, IORING_OP_FADVISE);
    loop_readahead(slot->worker->loop, &slot->op.timer.event, slot->file, slot->op.offset_bytes,
                   slot->op.length_bytes);
}

static void set_message(struct slot *slot, uint8_t opcode)
{
    slot->op.opcode = opcode;
    slot->op.length_bytes = DATA_BYTES;
    slot->iov = (struct iovec){ slot->data, DATA_BYTES };
    slot->message = (struct msghdr){ .msg_iov = &slot->iov, .msg_iovlen = 1 };
    slot->op.message = &slot->message;
    slot->op.hangs = chance(plan.hangs);
}

static void ask_receive(struct slot *slot)
{
    set_message(slot, IORING_OP_RECVMSG);
    loop_recvmsg(slot->worker->loop, &slot->op.timer.event, slot->file, &slot->message);
}

static void ask_send(struct slot *slot)
{
    set_message(slot, IORING_OP_SENDMSG);
    loop_sendmsg(slot->worker->loop, &slot->op.timer.event, slot->file, &slot->message);
}

/* By the number of the descriptor. */
static void ask_accept(struct slot *slot)
{
    slot->op.opcode = IORING_OP_ACCEPT;
    slot->op.hangs = chance(plan.hangs);
    loop_accept(slot->worker->loop, &slot->op.timer.event, slot->op.fd);
}

static void ask_poll(struct slot *slot)
{
    slot->op.opcode = IORING_OP_POLL_ADD;
    slot->op.hangs = chance(plan.hangs);
    loop_poll(slot->worker->loop, &slot->op.timer.event, slot->op.fd, POLLIN);
}

static void ask_timer(struct slot *slot)
{
    slot->op.opcode = IORING_OP_TIMEOUT;
    slot->op.fd = -1;
    slot->file = NULL;
    slot->op.timeout_ms = (unsigned)draw(0, 3000);
    loop_timer_start(slot->worker->loop, &slot->op.timer, slot->op.timeout_ms);
}

static void start_op(struct worker *worker)
{
    static void (*const askers[])(struct slot *) = { ask_read,      ask_write,   ask_sync,
                                                     ask_fallocate, ask_receive, ask_send,
                                                     ask_accept,    ask_poll,    ask_readahead };
    unsigned at = (unsigned)random_below(STREAM_WORK, plan.slots);
    unsigned file = (unsigned)random_below(STREAM_WORK, FILES);

    for (unsigned tried = 0; worker->slots[at].op.stage != RING_FREE; tried++) {
        if (tried == plan.slots)
            return;
        at = (at + 1) % plan.slots;
    }
    struct slot *slot = &worker->slots[at];
    worker->ops_left--;
    worker->in_flight++;
    slot->file = &worker->files[file];
    slot->op = (struct ring_op){ .timer.event.fn = op_ended,
                                 .stage = RING_ASKED,
                                 .fd = slot->file->fd,
                                 .data = slot->data,
                                 .seed = worker->ops_left * WORKERS_MAX + worker->number,
                                 .asked_ns = sim_now_ns };
    if (chance(plan.timers))
        ask_timer(slot);
    else
        askers[random_below(STREAM_WORK, sizeof(askers) / sizeof(askers[0]))](slot);
}

/* ---- messages ---- */

static void post_arrived(struct io_event *ev, int result)
{
    struct post *post =
        container_of(container_of(ev, struct loop_message, event), struct post, message);
    struct worker *worker = post->to;

    check_turn(worker);
    if (result != (int)post->number)
        sim_fail("a message arrives with %d instead of %u", result, post->number);
    if (post->number != ++seen_numbers[post->sender][worker->number])
        sim_fail("message %u of sender %u arrives, and %u is due", post->number, post->sender,
                 seen_numbers[post->sender][worker->number]);
    if (sim_now_ns > post->sent_ns + LATE_NS)
        sim_fail("a message was on its way for %llu ns",
                 (unsigned long long)(sim_now_ns - post->sent_ns));
    worker->posts_coming--;
    worker->posts_arrived++;
    worker->posted_in_batch++;
    free(post);
    schedule_progress();
    act(worker);
    go_on(worker);
}

static void send_post(unsigned sender, struct worker *to)
{
    struct post *post = malloc(sizeof(*post));

    if (post == NULL)
        sim_fail("no memory");
    to->posts_left--;
    to->posts_coming++;
    *post = (struct post){ .message.event.fn = post_arrived,
                           .to = to,
                           .sender = sender,
                           .number = ++sent_numbers[sender][to->number],
                           .sent_ns = sim_now_ns };
    post->message.result = (int)post->number;
    trace_event("sender %llu posts message %llu to loop %llu", sender, post->number, to->number, 0);
    loop_post(to->loop, &post->message);
    to->posts_sent++;
}

/* One that waits for messages still, and has a loop. */
static struct worker *draw_target(void)
{
    struct worker *found[WORKERS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < plan.workers; i++)
        if (workers[i].running && workers[i].posts_left > 0)
            found[count++] = &workers[i];
    return count > 0 ? found[random_below(STREAM_WORK, count)] : NULL;
}

static bool all_were_posted(void)
{
    for (unsigned i = 0; i < plan.workers; i++)
        if (workers[i].posts_left > 0)
            return false;
    return true;
}

static void *send_posts(void *context)
{
    unsigned sender = (unsigned)(uintptr_t)context;

    while (!all_were_posted()) {
        unsigned count = chance(50) ? plan.flood : 1;
        struct worker *to;

        fiber_sleep(draw(1, plan.pause_max_ns));
        while (count-- > 0 && (to = draw_target()) != NULL)
            send_post(sender, to);
    }
    return NULL;
}

/* ---- what a worker does ---- */

static void task_runs(struct loop_task *loop_task)
{
    struct task *task = container_of(loop_task, struct task, task);

    check_turn(task->worker);
    if (!task->asked)
        sim_fail("a task runs that nobody has asked for");
    task->asked = false;
    act(task->worker);
    go_on(task->worker);
}

/* An idle file is closed, and another one opened in its place. */
static void change_file(struct worker *worker)
{
    struct loop_file *file = &worker->files[random_below(STREAM_WORK, FILES)];

    for (unsigned i = 0; i < plan.slots; i++)
        if (worker->slots[i].op.stage != RING_FREE && worker->slots[i].file == file)
            return;
    loop_file_close(worker->loop, file);
    loop_file_init(worker->loop, file, ring_file_open());
}

static void change_memory(struct worker *worker)
{
    struct slot *slot = &worker->slots[random_below(STREAM_WORK, plan.slots)];

    if (slot->op.stage != RING_FREE)
        return;
    if (slot->buffer.fixed_index >= 0) {
        loop_unregister_memory(worker->loop, slot->buffer.fixed_index);
        ring_memory_goes(slot->data);
        slot->buffer.fixed_index = -1;
    } else {
        slot->buffer.fixed_index =
            (int16_t)loop_register_memory(worker->loop, slot->data, DATA_BYTES);
    }
}

static void act_once(struct worker *worker)
{
    struct task *task = &worker->tasks[random_below(STREAM_WORK, TASKS)];

    if (chance(plan.dawdles)) {
        fiber_sleep(draw(1, NS_PER_MS)); /* much comes together meanwhile */
    } else if (chance(plan.cancels)) {
        loop_cancel(worker->loop,
                    &worker->slots[random_below(STREAM_WORK, plan.slots)].op.timer.event);
    } else if (chance(100)) {
        task->asked = true;
        loop_defer(worker->loop, &task->task);
    } else if (chance(30)) {
        change_file(worker);
    } else if (chance(30)) {
        change_memory(worker);
    } else if (chance(50) && draw_target() != NULL) {
        send_post(8 + worker->number, draw_target());
    } else if (worker->ops_left > 0 && !worker->ending) {
        start_op(worker);
    }
}

static void act(struct worker *worker)
{
    for (uint64_t left = random_below(STREAM_WORK, plan.actions + 1); left > 0; left--)
        act_once(worker);
}

/* The end of a batch. */
static void batch_ends(struct loop_task *after)
{
    struct worker *worker = container_of(after, struct worker, after);

    check_turn(worker);
    if (worker->turns.count != ++worker->turns_before)
        sim_fail("%llu batches have ended, and %llu have begun",
                 (unsigned long long)worker->turns_before, (unsigned long long)worker->turns.count);
    for (unsigned i = 0; i < TASKS; i++)
        if (worker->tasks[i].asked)
            sim_fail("a batch ends, and a task of it has not run");
    if (worker->delivered_in_batch > BATCH_MAX || worker->posted_in_batch > BATCH_MAX)
        sim_fail("a batch has %u completions and %u messages", worker->delivered_in_batch,
                 worker->posted_in_batch);
    worker->delivered_in_batch = worker->posted_in_batch = 0;
}

static void open_all(struct worker *worker)
{
    struct error err = { "" };
    const struct loop_config config = { .entries = plan.entries,
                                        .others = plan.workers,
                                        .file_slots = (unsigned)draw(0, FILES),
                                        .memory_slots = (unsigned)draw(0, 8),
                                        .busy_wait_us = plan.busy_wait_us,
                                        .turns = &worker->turns,
                                        .after = &worker->after };
    int result = loop_create(&worker->loop, &config, &err);

    if (result < 0)
        sim_fail("a loop can't be made: %s", err.text);
    for (unsigned i = 0; i < FILES; i++)
        loop_file_init(worker->loop, &worker->files[i], ring_file_open());
}

static void close_all(struct worker *worker)
{
    struct loop *loop = worker->loop;

    for (unsigned i = 0; i < FILES; i++)
        loop_file_close(loop, &worker->files[i]);
    for (unsigned i = 0; i < plan.slots; i++) {
        if (worker->slots[i].op.stage != RING_FREE)
            sim_fail("a loop has ended, and an operation has not");
        if (worker->slots[i].buffer.fixed_index >= 0)
            loop_unregister_memory(loop, worker->slots[i].buffer.fixed_index);
    }
    loop_destroy(loop);
}

static void *run_worker(void *context)
{
    struct worker *worker = context;

    open_all(worker);
    worker->running = true;
    for (unsigned i = 0; i < plan.slots / 2 + 1 && worker->ops_left > 0; i++)
        start_op(worker);
    loop_run(worker->loop);
    worker->running = false;
    close_all(worker);
    return NULL;
}

static void prepare(struct worker *worker, unsigned number)
{
    *worker = (struct worker){ .number = number,
                               .ops_left = (unsigned)option(10, 2000),
                               .posts_left = (unsigned)option(1, 1000),
                               .after.fn = batch_ends };
    for (unsigned i = 0; i < plan.slots; i++) {
        worker->slots[i].worker = worker;
        worker->slots[i].buffer.fixed_index = -1;
    }
    for (unsigned i = 0; i < TASKS; i++)
        worker->tasks[i] = (struct task){ .task.fn = task_runs, .worker = worker };
}

void ring_work_show(void)
{
    for (unsigned i = 0; i < plan.workers; i++)
        fprintf(stderr,
                "loop %u: %u operations in flight, %u to come; %u messages on their way, %u to "
                "come%s\n",
                i, workers[i].in_flight, workers[i].ops_left, workers[i].posts_coming,
                workers[i].posts_left, workers[i].ending ? "; it ends" : "");
}

void *ring_work(void *nothing)
{
    struct fiber *senders[4];

    draw_plan();
    schedule_patience(30 * NS_PER_S);
    for (unsigned i = 0; i < plan.workers; i++) {
        prepare(&workers[i], i);
        workers[i].fiber = fiber_start("loop", HOST_WORLD, run_worker, &workers[i]);
    }
    for (unsigned i = 0; i < plan.senders; i++)
        senders[i] = fiber_start("sender", HOST_WORLD, send_posts, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < plan.workers; i++)
        (void)fiber_join(workers[i].fiber);
    for (unsigned i = 0; i < plan.senders; i++)
        (void)fiber_join(senders[i]);
    if (rings_open() > 0 || ring_files_open() > 0)
        sim_fail("%u rings and %u descriptors are left", rings_open(), ring_files_open());
    return nothing;
}
