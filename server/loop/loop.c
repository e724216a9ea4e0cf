#include "server/loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "server/base/probe.h"
#include "server/loop/data-buffer.h"
#include "server/loop/busy-wait.h"
#include "server/loop/ring-restrictions.h"
#include "server/loop/ring-size.h"

#define LOOKS_PER_CLOCK 32u
#define BATCH_MAX 256u /* completions, and messages, before the kernel is asked for others */

/* Slots of a registered table, handed out last-in first-out. */
struct slot_stack {
    int *free;
    unsigned count;
};

struct completion {
    struct io_event *event; /* NULL: of a cancellation */
    int result;
};

struct loop {
    struct io_uring ring;
    bool stopping;
    struct loop_task *tasks, **tasks_end;
    struct loop_turns *turns, own_turns;
    struct loop_task *after; /* may be NULL */
    struct slot_stack file_slots, memory_slots;
    unsigned head;            /* the next completion to be looked at */
    struct completion *aside; /* out of the queue, and not delivered */
    unsigned aside_count;
    struct busy_wait busy_wait;
    uint64_t sends; /* so far: what is done can be told from them, however many receives it took */

    /* What other threads sent, latest first, and an eventfd that wakes the ring.  Who posts writes
     * to it only when the loop is asleep, or about to be.  There is no lock: the loop that is woken
     * may take the CPU of the one who woke it, and would find it held. */
    struct loop_message *messages;    /* the latest first */
    struct loop_message *undelivered; /* the oldest first; the loop's own */
    bool asleep;
    unsigned posting; /* threads inside loop_post() */
    int wake_fd;
    uint64_t wake_count;
    struct io_event wake_event;
};

_Thread_local uint64_t loop_batch_ns;

/* ---- set-up ---- */

static int explain_refusal(int result, struct error *err)
{
    if (result == -EPERM || result == -EACCES || result == -ENOSYS || result == -EOPNOTSUPP)
        return error_set(err, result,
                         "io_uring is not available here (%s): nbdcrypt needs it. Look at `sysctl "
                         "kernel.io_uring_disabled` (must be 0, or 1 with your group in "
                         "kernel.io_uring_group), and in a container at its seccomp profile, which "
                         "must allow io_uring_setup, io_uring_enter and io_uring_register",
                         strerror(-result));
    if (result == -ENOMEM)
        return error_set(err, result,
                         "io_uring could not be set up: not enough locked memory, which all "
                         "programs of a user share; raise `ulimit -l` (RLIMIT_MEMLOCK)");
    return error_set(err, result, "io_uring could not be set up: %s", strerror(-result));
}

/* The best mode that this kernel has: completions run only when we wait for them (6.1), or
 * without interrupting the thread (5.19), or plainly. */
static int ring_create_with(struct io_uring *ring, unsigned entries, unsigned flags)
{
    static const unsigned modes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN,
        0,
    };
    int result = -EINVAL;

    for (size_t i = 0; i < sizeof modes / sizeof modes[0] && result == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = modes[i] | flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = entries * 4,
        };
        result = io_uring_queue_init_params(entries, ring, &params);
    }
    return result;
}

/* Linux before 5.10 has no restrictions. */
static int ring_create_sized(struct io_uring *ring, unsigned entries)
{
    int result = -EINVAL;

    if (ring_restrictions_are_used())
        result = ring_create_with(ring, entries, IORING_SETUP_R_DISABLED);
    return result == -EINVAL ? ring_create_with(ring, entries, 0) : result;
}

/* Where there is still not enough, a smaller one. */
static int ring_create(struct io_uring *ring, unsigned entries)
{
    int result = ring_create_sized(ring, entries);

    while (result == -ENOMEM && entries > RING_SIZE_MIN) {
        entries /= 2;
        result = ring_create_sized(ring, entries);
    }
    return result;
}

static bool slot_stack_fill(struct slot_stack *stack, unsigned count)
{
    stack->free = calloc(count, sizeof *stack->free);
    if (stack->free == NULL)
        return false;
    for (unsigned i = 0; i < count; i++)
        stack->free[i] = (int)(count - 1 - i);
    stack->count = count;
    return true;
}

/* Tables are an optimisation: where the kernel has none, plain descriptors and memory are used. */
static void tables_create(struct loop *loop, const struct loop_config *config)
{
    if (config->file_slots > 0 &&
        io_uring_register_files_sparse(&loop->ring, config->file_slots) == 0 &&
        !slot_stack_fill(&loop->file_slots, config->file_slots))
        io_uring_unregister_files(&loop->ring);
    if (config->memory_slots > 0 && !ring_size_is_bounded() &&
        io_uring_register_buffers_sparse(&loop->ring, config->memory_slots) == 0 &&
        !slot_stack_fill(&loop->memory_slots, config->memory_slots))
        io_uring_unregister_buffers(&loop->ring);
}

static void wake_arm(struct loop *loop);
static void deliver_messages(struct loop *loop);

/* All that it needs has been registered. */
static int ring_begin(struct loop *loop, const struct loop_config *config)
{
    return loop->ring.flags & IORING_SETUP_R_DISABLED
               ? ring_enable(loop->ring.ring_fd, config->accepts)
               : 0;
}

int loop_create(struct loop **out, const struct loop_config *config, struct error *err)
{
    struct loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL)
        return error_no_memory(err, "for an event loop");
    loop->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        int result = -errno;
        free(loop);
        return error_set(err, result, "an eventfd could not be made: %s", strerror(-result));
    }
    int result = ring_create(&loop->ring, ring_size_fair(config->entries, config->others));
    if (result < 0) {
        close(loop->wake_fd);
        free(loop);
        return explain_refusal(result, err);
    }
    loop->tasks_end = &loop->tasks;
    loop->turns = config->turns != NULL ? config->turns : &loop->own_turns;
    loop->after = config->after;
    tables_create(loop, config);
    io_uring_register_ring_fd(
        &loop->ring); /* where it can't be, a descriptor is looked up each time */
    result = ring_begin(loop, config);
    if (result < 0) {
        loop_destroy(loop);
        return explain_refusal(result, err);
    }
    if (loop->ring.flags & IORING_SETUP_TASKRUN_FLAG)
        busy_wait_init(&loop->busy_wait, config->busy_wait_us * 1000u);
    wake_arm(loop);
    *out = loop;
    return 0;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL)
        return;
    /* One whose message ended the loop may not be through with waking it. */
    while (__atomic_load_n(&loop->posting, __ATOMIC_ACQUIRE) > 0)
        sched_yield();
    io_uring_queue_exit(&loop->ring);
    close(loop->wake_fd);
    free(loop->file_slots.free);
    free(loop->memory_slots.free);
    free(loop->aside);
    free(loop);
}

/* ---- running ---- */

/* The kernel may use the places again of completions that have been looked at. */
static void give_back_places(struct loop *loop)
{
    io_uring_cq_advance(&loop->ring, loop->head - *loop->ring.cq.khead);
}

/* The completion queue is emptied: what was in it waits here.  Without memory for that it stays. */
static void put_aside(struct loop *loop)
{
    struct io_uring_cq *cq = &loop->ring.cq;
    unsigned tail = io_uring_smp_load_acquire(cq->ktail), count = tail - loop->head;
    struct completion *aside =
        reallocarray(loop->aside, loop->aside_count + count + 1, sizeof *loop->aside);

    if (aside == NULL)
        return;
    loop->aside = aside;
    while (loop->head != tail) {
        const struct io_uring_cqe *cqe = &cq->cqes[loop->head++ & cq->ring_mask];

        aside[loop->aside_count++] = (struct completion){ io_uring_cqe_get_data(cqe), cqe->res };
    }
    give_back_places(loop);
}

/* A free submission entry; when the queue is full, what is in it goes to the kernel first.  Kernels
 * before 5.13 take nothing while they have completions for which there is no room. */
static struct io_uring_sqe *next_sqe(struct loop *loop)
{
    struct io_uring_sqe *sqe;

    while ((sqe = io_uring_get_sqe(&loop->ring)) == NULL)
        if (io_uring_submit(&loop->ring) == -EBUSY)
            put_aside(loop);
    return sqe;
}

static void deliver(struct io_event *ev, int result)
{
    if (ev != NULL) /* NULL: the answer to a cancellation */
        ev->fn(ev, result);
}

/* The latest first: their order says nothing. */
static unsigned deliver_aside(struct loop *loop)
{
    unsigned count = 0;

    for (; loop->aside_count > 0 && count < BATCH_MAX; count++) {
        struct completion completion = loop->aside[--loop->aside_count];

        deliver(completion.event, completion.result);
    }
    return count;
}

/* Places are given back at the end, together: a completion's values are read before its handler
 * runs, and the ring has room for four times the entries.  Handlers submit, and that completes: it
 * need not end by itself. */
static void deliver_completions(struct loop *loop)
{
    struct io_uring_cq *cq = &loop->ring.cq;
    unsigned count = loop->aside_count > 0 ? deliver_aside(loop) : 0;

    for (; count < BATCH_MAX && loop->head != io_uring_smp_load_acquire(cq->ktail); count++) {
        const struct io_uring_cqe *cqe = &cq->cqes[loop->head++ & cq->ring_mask];

        deliver(io_uring_cqe_get_data(cqe), cqe->res);
    }
    PROBE(loop_batch, loop, count);
    give_back_places(loop);
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

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static bool has_messages(const struct loop *loop)
{
    return loop->undelivered != NULL || __atomic_load_n(&loop->messages, __ATOMIC_SEQ_CST) != NULL;
}

/* A message or a completion is there, or what makes one: with DEFER_TASKRUN the kernel only tells
 * that it has something to run, and does so when it is entered. */
static bool has_work(const struct loop *loop)
{
    return io_uring_cq_ready(&loop->ring) > 0 || has_messages(loop) ||
           (__atomic_load_n(loop->ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN) != 0;
}

static struct busy_wait_point here(const struct loop *loop)
{
    return (struct busy_wait_point){ .ns = now_ns(), .sends = loop->sends };
}

static void look_for_work(struct loop *loop, uint32_t limit_ns)
{
    uint64_t end_ns = now_ns() + limit_ns;
    bool found = false;

    do {
        for (unsigned i = 0; i < LOOKS_PER_CLOCK && !(found = has_work(loop)); i++)
            cpu_relax();
    } while (!found && now_ns() < end_ns);
    busy_wait_looked(&loop->busy_wait, found, here(loop));
}

/* Either this sees the message, or loop_post() sees that the loop sleeps: each writes its own
 * before it reads the other's. */
static int submit_and_sleep(struct loop *loop)
{
    __atomic_store_n(&loop->turns->asleep, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&loop->asleep, true, __ATOMIC_SEQ_CST);
    bool waits = !has_messages(loop) && loop->aside_count == 0;
    int result = io_uring_submit_and_wait(&loop->ring, waits ? 1 : 0);
    __atomic_store_n(&loop->asleep, false, __ATOMIC_RELAXED);
    return result;
}

/* Hands over what is queued and returns when there are completions or messages, or with -errno. */
static int submit_and_wait(struct loop *loop)
{
    struct busy_wait *wait = &loop->busy_wait;
    uint32_t look_ns = busy_wait_ns(wait);

    if (wait->limit_ns == 0)
        return submit_and_sleep(loop);
    int result = io_uring_submit(&loop->ring);
    if (result < 0 || io_uring_cq_ready(&loop->ring) > 0 || has_messages(loop) ||
        loop->aside_count > 0)
        return result;
    if (look_ns > 0) {
        look_for_work(loop, look_ns);
        return submit_and_sleep(loop);
    }
    uint64_t start_ns = now_ns();
    result = submit_and_sleep(loop);
    busy_wait_slept(wait, start_ns, here(loop));
    return result;
}

/* It is awake only when it is known since when. */
static void begin_turn(struct loop_turns *turns)
{
    loop_batch_ns = now_ns();
    __atomic_store_n(&turns->start_ns, loop_batch_ns, __ATOMIC_RELAXED);
    __atomic_store_n(&turns->count, turns->count + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&turns->asleep, 0, __ATOMIC_RELEASE);
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
        int result = submit_and_wait(loop);

        /* EINTR: a signal; EAGAIN, EBUSY: the kernel wants completions reaped first. */
        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
            fprintf(stderr, "nbdcrypt: io_uring_enter failed: %s\n", strerror(-result));
            abort();
        }
        begin_turn(loop->turns);
        deliver_completions(loop);
        deliver_messages(loop);
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

/* ---- messages from other threads ---- */

void loop_post(struct loop *target, struct loop_message *message)
{
    __atomic_add_fetch(&target->posting, 1, __ATOMIC_RELAXED);
    message->next = __atomic_load_n(&target->messages, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&target->messages, &message->next, message, true,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        continue;
    if (__atomic_exchange_n(&target->asleep, false, __ATOMIC_SEQ_CST)) {
        ssize_t written = write(target->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
        assert(written == sizeof(uint64_t));
    }
    __atomic_sub_fetch(&target->posting, 1, __ATOMIC_RELEASE);
}

/* Oldest first. */
static struct loop_message *take_messages(struct loop *loop)
{
    struct loop_message *latest = __atomic_exchange_n(&loop->messages, NULL, __ATOMIC_ACQUIRE);
    struct loop_message *oldest = NULL;

    while (latest != NULL) {
        struct loop_message *next = latest->next;

        latest->next = oldest;
        oldest = latest;
        latest = next;
    }
    return oldest;
}

static void deliver_messages(struct loop *loop)
{
    if (loop->undelivered == NULL && has_messages(loop))
        loop->undelivered = take_messages(loop);
    for (unsigned i = 0; loop->undelivered != NULL && i < BATCH_MAX; i++) {
        struct loop_message *message = loop->undelivered;

        loop->undelivered = message->next; /* the handler may free its message */
        message->event.fn(&message->event, message->result);
    }
}

/* That it woke is all: the messages are delivered in every batch. */
static void wake_done(struct io_event *ev, int result)
{
    (void)result;
    wake_arm(container_of(ev, struct loop, wake_event));
}

static void wake_arm(struct loop *loop)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    loop->wake_event.fn = wake_done;
    io_uring_prep_read(sqe, loop->wake_fd, &loop->wake_count, sizeof loop->wake_count, 0);
    io_uring_sqe_set_data(sqe, &loop->wake_event);
}

/* ---- files and memory ---- */

void loop_file_init(struct loop *loop, struct loop_file *file, int fd)
{
    *file = (struct loop_file){ .fd = fd, .slot = -1 };
    if (loop->file_slots.count == 0)
        return;
    int slot = loop->file_slots.free[loop->file_slots.count - 1];
    if (io_uring_register_files_update(&loop->ring, (unsigned)slot, &fd, 1) == 1) {
        loop->file_slots.count--;
        file->slot = slot;
    }
}

void loop_file_release(struct loop *loop, struct loop_file *file)
{
    if (file->slot >= 0) {
        io_uring_register_files_update(&loop->ring, (unsigned)file->slot, &(int){ -1 }, 1);
        loop->file_slots.free[loop->file_slots.count++] = file->slot;
    }
    *file = (struct loop_file){ .fd = -1, .slot = -1 };
}

void loop_file_close(struct loop *loop, struct loop_file *file)
{
    int fd = file->fd;

    loop_file_release(loop, file);
    if (fd >= 0)
        close(fd);
}

void loop_file_shutdown(struct loop *loop, const struct loop_file *file, int how)
{
    (void)loop;
    shutdown(file->fd, how); /* fails only when the peer has gone already */
}

size_t loop_file_send_now(struct loop *loop, const struct loop_file *file, const void *data,
                          size_t length_bytes)
{
    ssize_t sent = send(file->fd, data, length_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

    (void)loop;
    return sent > 0 ? (size_t)sent : 0;
}

bool loop_file_has_unread(struct loop *loop, const struct loop_file *file)
{
    int count = 0;

    (void)loop;
    return ioctl(file->fd, FIONREAD, &count) == 0 && count > 0;
}

uint32_t loop_file_unsent_bytes(struct loop *loop, const struct loop_file *file)
{
    int count = 0;

    (void)loop;
    return ioctl(file->fd, SIOCOUTQ, &count) == 0 && count > 0 ? (uint32_t)count : 0;
}

int loop_register_memory(struct loop *loop, void *base, size_t length_bytes)
{
    struct iovec iov = { .iov_base = base, .iov_len = length_bytes };

    if (loop->memory_slots.count == 0)
        return -1;
    int slot = loop->memory_slots.free[loop->memory_slots.count - 1];
    if (io_uring_register_buffers_update_tag(&loop->ring, (unsigned)slot, &iov, NULL, 1) != 1)
        return -1;
    loop->memory_slots.count--;
    return slot;
}

void loop_unregister_memory(struct loop *loop, int index)
{
    struct iovec none = { .iov_base = NULL, .iov_len = 0 };

    /* A slot that stays taken costs its memory, and nobody else anything. */
    if (io_uring_register_buffers_update_tag(&loop->ring, (unsigned)index, &none, NULL, 1) == 1)
        loop->memory_slots.free[loop->memory_slots.count++] = index;
}

/* ---- operations ---- */

static int file_number(const struct loop_file *file)
{
    return file->slot >= 0 ? file->slot : file->fd;
}

/* After the io_uring_prep_*() call, which clears the entry. */
static void finish_sqe(struct io_uring_sqe *sqe, struct io_event *ev, const struct loop_file *file)
{
    if (file != NULL && file->slot >= 0)
        sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, ev);
}

void loop_read(struct loop *loop, struct io_event *ev, const struct loop_file *file,
               const struct buffer *buffer, uint8_t *data, uint32_t length_bytes,
               uint64_t offset_bytes)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    if (buffer != NULL && buffer->fixed_index >= 0)
        io_uring_prep_read_fixed(sqe, file_number(file), data, length_bytes, offset_bytes,
                                 buffer->fixed_index);
    else
        io_uring_prep_read(sqe, file_number(file), data, length_bytes, offset_bytes);
    finish_sqe(sqe, ev, file);
}

void loop_write(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                const struct buffer *buffer, const uint8_t *data, uint32_t length_bytes,
                uint64_t offset_bytes)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    if (buffer != NULL && buffer->fixed_index >= 0)
        io_uring_prep_write_fixed(sqe, file_number(file), data, length_bytes, offset_bytes,
                                  buffer->fixed_index);
    else
        io_uring_prep_write(sqe, file_number(file), data, length_bytes, offset_bytes);
    finish_sqe(sqe, ev, file);
}

void loop_fdatasync(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                    uint64_t offset_bytes, uint32_t length_bytes)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_fsync(sqe, file_number(file), IORING_FSYNC_DATASYNC);
    sqe->off = offset_bytes;
    sqe->len = length_bytes;
    finish_sqe(sqe, ev, file);
}

void loop_fallocate(struct loop *loop, struct io_event *ev, const struct loop_file *file, int mode,
                    uint64_t offset_bytes, uint64_t length_bytes)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_fallocate(sqe, file_number(file), mode, (off_t)offset_bytes, (off_t)length_bytes);
    finish_sqe(sqe, ev, file);
}

void loop_readahead(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                    uint64_t offset_bytes, uint32_t length_bytes)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_fadvise(sqe, file_number(file), offset_bytes, (off_t)length_bytes,
                          POSIX_FADV_WILLNEED);
    finish_sqe(sqe, ev, file);
}

void loop_recvmsg(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                  struct msghdr *message)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_recvmsg(sqe, file_number(file), message, MSG_CMSG_CLOEXEC);
    finish_sqe(sqe, ev, file);
}

void loop_sendmsg(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                  struct msghdr *message)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    loop->sends++;
    io_uring_prep_sendmsg(sqe, file_number(file), message, MSG_NOSIGNAL);
    finish_sqe(sqe, ev, file);
}

void loop_accept(struct loop *loop, struct io_event *ev, int fd)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, ev);
}

void loop_poll(struct loop *loop, struct io_event *ev, int fd, unsigned events)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_poll_add(sqe, fd, events);
    io_uring_sqe_set_data(sqe, ev);
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, unsigned timeout_ms)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    _Static_assert(sizeof timer->deadline == sizeof(struct __kernel_timespec),
                   "the kernel reads the deadline as its timespec");
    timer->deadline[0] = timeout_ms / 1000;
    timer->deadline[1] = (long long)(timeout_ms % 1000) * 1000000;
    io_uring_prep_timeout(sqe, (struct __kernel_timespec *)timer->deadline, 0, 0);
    io_uring_sqe_set_data(sqe, &timer->event);
}

void loop_cancel(struct loop *loop, struct io_event *ev)
{
    struct io_uring_sqe *sqe = next_sqe(loop);

    io_uring_prep_cancel(sqe, ev, 0);
    io_uring_sqe_set_data(sqe, NULL);
}
