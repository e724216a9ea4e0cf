#include "tests/sim/ring-kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/random.h"
#include "tests/sim/ring-calls.h"
#include "tests/sim/ring-tables.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

#define LATE_NS (20 * NS_PER_MS) /* nothing waits that long in a queue */
#define SLOW_NS NS_PER_S
#define POISON 0xa5

struct kernel_ring;

/* What has been taken out of a submission queue, until its completion is in the other one. */
struct request {
    struct io_uring_sqe sqe;
    struct kernel_ring *ring;
    struct ring_op *op; /* NULL: of the loop itself */
    int fd;             /* whatever its slot was */
    uint64_t number;
    int result;
    struct request *next; /* in flight, or of those that have ended and can't be seen yet */
};

struct kernel_ring {
    struct io_uring *user;
    unsigned sq_head, sq_tail, sq_flags, cq_head, cq_tail;
    struct request *in_flight, *deferred, *overflow;
    struct kernel_ring *next;
};

struct ring_settings ring_settings;
unsigned ring_marks[RING_MARK_COUNT];
static struct kernel_ring *rings;
static uint64_t requests_taken;

static bool chance(unsigned per_mille)
{
    return random_chance(STREAM_DISK, per_mille);
}

uint8_t ring_pattern(unsigned seed, uint64_t at)
{
    return (uint8_t)random_mix(((uint64_t)seed << 32) + at);
}

static struct kernel_ring *ring_of(const struct io_uring *user)
{
    struct kernel_ring *ring = rings;

    while (ring != NULL && ring->user != user)
        ring = ring->next;
    if (ring == NULL)
        sim_fail("a ring is used that is none");
    return ring;
}

bool ring_kernel_uses(int fd)
{
    for (const struct kernel_ring *ring = rings; ring != NULL; ring = ring->next)
        for (const struct request *request = ring->in_flight; request != NULL;
             request = request->next)
            if (request->fd == fd && request->op != NULL)
                return true;
    return false;
}

unsigned rings_open(void)
{
    unsigned count = 0;

    for (const struct kernel_ring *ring = rings; ring != NULL; ring = ring->next)
        count++;
    return count;
}

/* ---- completions ---- */

static unsigned cq_room(const struct kernel_ring *ring)
{
    return ring->user->cq.ring_entries - (ring->cq_tail - ring->cq_head);
}

static void append(struct request **list, struct request *request)
{
    while (*list != NULL)
        list = &(*list)->next;
    request->next = NULL;
    *list = request;
}

/* Where the program can see it. */
static void show(struct kernel_ring *ring, struct request *request)
{
    struct io_uring_cqe *cqe = &ring->user->cq.cqes[ring->cq_tail & ring->user->cq.ring_mask];

    *cqe = (struct io_uring_cqe){ .user_data = request->sqe.user_data, .res = request->result };
    ring->cq_tail++;
    trace_event("completion of %llu: %llu", request->sqe.opcode, (uint64_t)request->result, 0, 0);
    if (request->op != NULL) {
        request->op->stage = RING_DONE;
        request->op->result = request->result;
        request->op->done_ns = sim_now_ns;
    }
    free(request);
    fiber_wake_all(ring);
}

static void complete(struct kernel_ring *ring, struct request *request)
{
    if (ring->overflow == NULL && cq_room(ring) > 0) {
        show(ring, request);
        return;
    }
    ring_marks[RING_MARK_overflow]++;
    append(&ring->overflow, request);
    ring->sq_flags |= IORING_SQ_CQ_OVERFLOW;
    fiber_wake_all(ring);
}

/* False: some have no room still. */
static bool flush_overflow(struct kernel_ring *ring)
{
    while (ring->overflow != NULL && cq_room(ring) > 0) {
        struct request *request = ring->overflow;

        ring->overflow = request->next;
        show(ring, request);
    }
    if (ring->overflow == NULL)
        ring->sq_flags &= ~IORING_SQ_CQ_OVERFLOW;
    return ring->overflow == NULL;
}

static struct request *take_any(struct request **list)
{
    unsigned count = 0;

    for (const struct request *request = *list; request != NULL; request = request->next)
        count++;
    for (uint64_t skip = random_below(STREAM_DISK, count); skip > 0; skip--)
        list = &(*list)->next;
    struct request *taken = *list;
    *list = taken->next;
    return taken;
}

static void run_deferred(struct kernel_ring *ring)
{
    while (ring->deferred != NULL)
        complete(ring, take_any(&ring->deferred));
    ring->sq_flags &= ~IORING_SQ_TASKRUN;
}

static void end(struct request *request, int result)
{
    struct kernel_ring *ring = request->ring;
    struct request **link = &ring->in_flight;

    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    request->result = result;
    if (ring_settings.age != RING_DEFERS) {
        complete(ring, request);
        return;
    }
    ring_marks[RING_MARK_deferred]++;
    append(&ring->deferred, request);
    ring->sq_flags |= IORING_SQ_TASKRUN;
    fiber_wake_all(ring);
}

/* ---- what operations do ---- */

/* NULL: it has ended, by itself or because it was cancelled. */
static struct request *still_in_flight(const void *number)
{
    for (const struct kernel_ring *ring = rings; ring != NULL; ring = ring->next)
        for (struct request *request = ring->in_flight; request != NULL; request = request->next)
            if (request->number == (uintptr_t)number)
                return request;
    return NULL;
}

/* An event knows an operation by its number: it may be gone by then. */
static void after(const struct request *request, uint64_t delay_ns, void (*fn)(void *number))
{
    event_after(delay_ns, fn, (void *)(uintptr_t)request->number);
}

static bool transfers(const struct ring_op *op)
{
    return op->opcode == IORING_OP_READ || op->opcode == IORING_OP_WRITE;
}

static int draw_result(const struct ring_op *op)
{
    static const int errors[] = { EINTR, EAGAIN, EIO, ENOSPC };

    if (op->opcode == IORING_OP_TIMEOUT)
        return -ETIME;
    if (chance(ring_settings.failed)) {
        ring_marks[RING_MARK_failed]++;
        return -errors[random_below(STREAM_DISK, 4)];
    }
    if (op->opcode == IORING_OP_POLL_ADD)
        return POLLIN;
    if (op->opcode == IORING_OP_ACCEPT)
        return 7;
    if (!transfers(op) && op->message == NULL)
        return 0;
    if (op->length_bytes > 1 && chance(ring_settings.short_transfer)) {
        ring_marks[RING_MARK_short_transfer]++;
        return 1 + (int)random_below(STREAM_DISK, op->length_bytes - 1);
    }
    return (int)op->length_bytes;
}

/* Memory is read and written at the last moment. */
static void move_bytes(const struct ring_op *op, int result)
{
    for (int i = 0; i < result && op->opcode == IORING_OP_READ; i++)
        op->data[i] = ring_pattern(op->seed, (uint64_t)i);
    for (int i = 0; i < result && op->opcode == IORING_OP_WRITE; i++)
        if (op->data[i] != ring_pattern(op->seed, (uint64_t)i))
            sim_fail("what is to be written was changed while the kernel had it");
}

static void happens(void *number)
{
    struct request *request = still_in_flight(number);

    if (request == NULL)
        return;
    int result = draw_result(request->op);
    move_bytes(request->op, result);
    end(request, result);
}

/* The loop waits for it to be written to. */
static void eventfd_is_read(void *number)
{
    struct request *request = still_in_flight(number);

    if (request == NULL || *ring_eventfd_count(request->fd) == 0)
        return;
    memcpy((void *)(uintptr_t)request->sqe.addr, ring_eventfd_count(request->fd), sizeof(uint64_t));
    *ring_eventfd_count(request->fd) = 0;
    end(request, sizeof(uint64_t));
}

static void read_eventfd(struct request *request)
{
    after(request, random_skewed(STREAM_DISK, 1, NS_PER_US), eventfd_is_read);
}

ssize_t __wrap_write(int fd, const void *data, size_t length_bytes)
{
    uint64_t value;

    if (fd < RING_FD_FIRST)
        return __real_write(fd, data, length_bytes);
    if (length_bytes != sizeof(value) || ring_eventfd_count(fd) == NULL)
        sim_fail("an eventfd is written to with %zu bytes", length_bytes);
    memcpy(&value, data, sizeof(value));
    ring_marks[RING_MARK_wakes]++;
    *ring_eventfd_count(fd) += value;
    for (struct kernel_ring *ring = rings; ring != NULL; ring = ring->next)
        for (struct request *request = ring->in_flight; request != NULL; request = request->next)
            if (request->fd == fd)
                read_eventfd(request);
    return sizeof(value);
}

static struct request *find_op(const struct kernel_ring *ring, uint64_t user_data)
{
    for (struct request *request = ring->in_flight; request != NULL; request = request->next)
        if (request->sqe.user_data == user_data && user_data != 0)
            return request;
    return NULL;
}

static bool can_be_stopped(const struct ring_op *op)
{
    return op != NULL &&
           (op->opcode == IORING_OP_TIMEOUT || (op->hangs && !chance(ring_settings.late_cancel)));
}

/* What a disk is at can't be stopped; what waits for others can, unless it is just running. */
static void cancels(void *number)
{
    struct request *cancel = still_in_flight(number);

    if (cancel == NULL)
        return;
    struct request *found = find_op(cancel->ring, cancel->sqe.addr);
    if (found == NULL) {
        ring_marks[RING_MARK_cancelled_nothing]++;
        end(cancel, -ENOENT);
    } else if (!can_be_stopped(found->op)) {
        ring_marks[RING_MARK_cancelled_late]++;
        if (found->op != NULL && found->op->hangs)
            after(found, random_skewed(STREAM_DISK, 1, ring_settings.operation_max_ns), happens);
        end(cancel, -EALREADY);
    } else if (chance(500)) {
        ring_marks[RING_MARK_cancelled]++;
        end(found, -ECANCELED);
        end(cancel, 0);
    } else {
        end(cancel, 0);
        end(found, -ECANCELED);
    }
}

/* ---- submission ---- */

static int descriptor_of(const struct kernel_ring *ring, const struct io_uring_sqe *sqe)
{
    if (!(sqe->flags & IOSQE_FIXED_FILE))
        return sqe->fd;
    return ring_table_file(ring->user, sqe->fd);
}

static void check_memory(const struct kernel_ring *ring, const struct request *request)
{
    const struct io_uring_sqe *sqe = &request->sqe;
    bool fixed = sqe->opcode == IORING_OP_READ_FIXED || sqe->opcode == IORING_OP_WRITE_FIXED;

    if (request->op->fixed && !fixed)
        sim_fail("registered memory is used as if it were not");
    if (!fixed)
        return;
    ring_marks[RING_MARK_fixed_memory]++;
    if (ring_table_memory(ring->user, sqe->buf_index) != request->op->data)
        sim_fail("slot %u of the registered memory is used, and has something else",
                 sqe->buf_index);
}

static uint8_t plain_opcode(uint8_t opcode)
{
    return opcode == IORING_OP_READ_FIXED    ? IORING_OP_READ
           : opcode == IORING_OP_WRITE_FIXED ? IORING_OP_WRITE
                                             : opcode;
}

/* The entry says what was asked for. */
static void check_entry(const struct kernel_ring *ring, const struct request *request)
{
    const struct io_uring_sqe *sqe = &request->sqe;
    const struct ring_op *op = request->op;
    bool has_length =
        transfers(op) || op->opcode == IORING_OP_FSYNC || op->opcode == IORING_OP_FADVISE;

    if (op->stage != RING_ASKED)
        sim_fail("an operation is submitted twice, or was never asked for");
    if (sim_now_ns > op->asked_ns + LATE_NS)
        sim_fail("an operation has waited for %llu ns in the submission queue",
                 (unsigned long long)(sim_now_ns - op->asked_ns));
    if (plain_opcode(sqe->opcode) != op->opcode)
        sim_fail("operation %u was asked for, and %u is submitted", op->opcode, sqe->opcode);
    if (op->fd >= 0 && request->fd != op->fd)
        sim_fail("descriptor %d is used instead of %d", request->fd, op->fd);
    if (has_length && (sqe->len != op->length_bytes || sqe->off != op->offset_bytes))
        sim_fail("another range is used than the one that was asked for");
    if (op->opcode == IORING_OP_FALLOCATE &&
        (sqe->addr != op->range_bytes || sqe->off != op->offset_bytes))
        sim_fail("another range is allocated than the one that was asked for");
    if (transfers(op) && sqe->addr != (uintptr_t)op->data)
        sim_fail("other memory is used than what was given");
    if (op->message != NULL && sqe->addr != (uintptr_t)op->message)
        sim_fail("another message is used than what was given");
    if (transfers(op))
        check_memory(ring, request);
}

static uint64_t timeout_ns(const struct request *request)
{
    const struct __kernel_timespec *when =
        (const struct __kernel_timespec *)(uintptr_t)request->sqe.addr;
    uint64_t ns = (uint64_t)when->tv_sec * NS_PER_S + (uint64_t)when->tv_nsec;

    if (ns != request->op->timeout_ms * NS_PER_MS)
        sim_fail("a timer of %u ms is to fire after %llu ns", request->op->timeout_ms,
                 (unsigned long long)ns);
    return ns;
}

static uint64_t draw_delay_ns(void)
{
    if (!chance(ring_settings.slow))
        return random_skewed(STREAM_DISK, 1, ring_settings.operation_max_ns);
    ring_marks[RING_MARK_slow]++;
    return random_skewed(STREAM_DISK, NS_PER_MS, SLOW_NS);
}

static void begin(struct kernel_ring *ring, struct request *request)
{
    struct ring_op *op = request->op;

    check_entry(ring, request);
    op->stage = RING_TAKEN;
    ring_marks[request->sqe.flags & IOSQE_FIXED_FILE ? RING_MARK_fixed_file
                                                     : RING_MARK_plain_file]++;
    if (op->opcode == IORING_OP_READ)
        memset(op->data, POISON, op->length_bytes);
    if (op->opcode == IORING_OP_TIMEOUT)
        after(request, timeout_ns(request), happens);
    else if (!op->hangs)
        after(request, draw_delay_ns(), happens);
}

/* Of the loop itself: that it is woken, and what ends an operation. */
static void begin_own(struct request *request)
{
    if (request->sqe.opcode == IORING_OP_ASYNC_CANCEL && request->sqe.user_data == 0) {
        after(request, random_skewed(STREAM_DISK, 1, NS_PER_US), cancels);
        return;
    }
    if (request->sqe.opcode != IORING_OP_READ || ring_eventfd_count(request->fd) == NULL ||
        request->sqe.user_data == 0)
        sim_fail("operation %u is submitted, and nobody has asked for it", request->sqe.opcode);
    if (*ring_eventfd_count(request->fd) > 0)
        read_eventfd(request);
}

static void take(struct kernel_ring *ring, const struct io_uring_sqe *sqe)
{
    struct request *request = calloc(1, sizeof(*request));

    if (request == NULL)
        sim_fail("no memory");
    request->sqe = *sqe;
    request->number = ++requests_taken;
    request->ring = ring;
    request->op = ring_work_op((const void *)(uintptr_t)sqe->user_data);
    request->fd = descriptor_of(ring, sqe);
    if (find_op(ring, sqe->user_data) != NULL)
        sim_fail("an event has two operations in flight");
    trace_event("operation %llu on descriptor %llu is taken", sqe->opcode, (uint64_t)request->fd, 0,
                0);
    append(&ring->in_flight, request);
    if (request->op != NULL)
        begin(ring, request);
    else
        begin_own(request);
}

/* How many are taken, or -errno. */
static int submit(struct kernel_ring *ring, unsigned count)
{
    unsigned wanted = count;

    if (ring_settings.age == RING_REFUSES && !flush_overflow(ring)) {
        ring_marks[RING_MARK_busy_submit]++;
        trace_event("nothing is taken: completions have no room", 0, 0, 0, 0);
        return -EBUSY;
    }
    if (chance(ring_settings.refused)) {
        ring_marks[RING_MARK_refused]++;
        trace_event("nothing is taken: no memory", 0, 0, 0, 0);
        return -EAGAIN;
    }
    if (wanted > 1 && chance(ring_settings.partial)) {
        ring_marks[RING_MARK_partial]++;
        wanted = 1 + (unsigned)random_below(STREAM_DISK, wanted - 1);
    }
    for (unsigned i = 0; i < wanted; i++) {
        const struct io_uring_sqe sqe =
            ring->user->sq.sqes[ring->sq_head & ring->user->sq.ring_mask];

        ring->sq_head++;
        take(ring, &sqe);
    }
    return (int)wanted;
}

/* Its read of the eventfd finds something, or has done so. */
static bool is_being_woken(const struct kernel_ring *ring)
{
    for (const struct request *request = ring->in_flight; request != NULL; request = request->next)
        if (request->op == NULL && request->sqe.opcode == IORING_OP_READ)
            return *ring_eventfd_count(request->fd) > 0;
    return true;
}

static int wait_for(struct kernel_ring *ring, unsigned count)
{
    run_deferred(ring);
    if (!flush_overflow(ring) && ring_settings.age >= RING_PLAIN) {
        ring_marks[RING_MARK_busy_wait]++;
        return -EBUSY;
    }
    if (count > 0 && chance(ring_settings.interrupted)) {
        ring_marks[RING_MARK_interrupted]++;
        return -EINTR;
    }
    while (ring->cq_tail - ring->cq_head < count) {
        ring_marks[RING_MARK_sleeps]++;
        ring_work_sleeps(is_being_woken(ring));
        fiber_wait(ring);
        run_deferred(ring);
        (void)flush_overflow(ring);
    }
    return 0;
}

/* io_uring_enter(2), where liburing makes that call. */
static int enter(struct io_uring *user, unsigned wait_count)
{
    struct kernel_ring *ring = ring_of(user);
    unsigned queued = user->sq.sqe_tail - ring->sq_head;
    int taken = 0;

    ring->sq_tail = user->sq.sqe_tail;
    if (queued == user->sq.ring_entries)
        ring_marks[RING_MARK_queue_full]++;
    fiber_yield();
    if (queued > 0)
        taken = submit(ring, queued);
    if (taken < 0 || taken < (int)queued)
        return taken;
    if (wait_count == 0 && (ring->sq_flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) == 0)
        return taken;
    int result = wait_for(ring, wait_count);
    fiber_yield();
    return taken > 0 ? taken : result;
}

int io_uring_submit(struct io_uring *user)
{
    return enter(user, 0);
}

int io_uring_submit_and_wait(struct io_uring *user, unsigned wait_count)
{
    return enter(user, wait_count);
}

/* ---- rings ---- */

static unsigned round_up(unsigned entries)
{
    unsigned power = 1;

    while (power < entries)
        power *= 2;
    return power;
}

static bool knows(unsigned flags)
{
    static const unsigned known[RING_AGES] = {
        [RING_DEFERS] = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                        IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_COOP_TASKRUN,
        [RING_COOPERATES] = IORING_SETUP_COOP_TASKRUN,
    };

    return (flags & ~(known[ring_settings.age] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP)) == 0;
}

int io_uring_queue_init_params(unsigned entries, struct io_uring *user,
                               struct io_uring_params *params)
{
    struct kernel_ring *ring = calloc(1, sizeof(*ring));

    if (ring == NULL)
        sim_fail("no memory");
    if (!knows(params->flags) || (entries > 16 && chance(ring_settings.no_memory))) {
        free(ring);
        if (!knows(params->flags))
            return -EINVAL;
        ring_marks[RING_MARK_ring_smaller]++;
        return -ENOMEM;
    }
    unsigned sq_entries = round_up(entries), cq_entries = round_up(params->cq_entries);
    ring->user = user;
    ring->next = rings;
    rings = ring;
    *user = (struct io_uring){ .flags = params->flags };
    user->sq.khead = &ring->sq_head;
    user->sq.ktail = &ring->sq_tail;
    user->sq.kflags = &ring->sq_flags;
    user->sq.sqes = calloc(sq_entries, sizeof(struct io_uring_sqe));
    user->sq.ring_entries = sq_entries;
    user->sq.ring_mask = sq_entries - 1;
    user->cq.khead = &ring->cq_head;
    user->cq.ktail = &ring->cq_tail;
    user->cq.cqes = calloc(cq_entries, sizeof(struct io_uring_cqe));
    user->cq.ring_entries = cq_entries;
    user->cq.ring_mask = cq_entries - 1;
    return 0;
}

static void forget_requests(struct request *list)
{
    while (list != NULL) {
        struct request *next = list->next;

        if (list->op != NULL)
            sim_fail("a loop is destroyed with an operation in flight");
        free(list);
        list = next;
    }
}

void io_uring_queue_exit(struct io_uring *user)
{
    struct kernel_ring *ring = ring_of(user), **link = &rings;

    while (*link != ring)
        link = &(*link)->next;
    *link = ring->next;
    forget_requests(ring->in_flight);
    forget_requests(ring->deferred);
    forget_requests(ring->overflow);
    ring_tables_go(user);
    free(user->sq.sqes);
    free(user->cq.cqes);
    free(ring);
}

int io_uring_register_ring_fd(struct io_uring *user)
{
    (void)user;
    return -EINVAL;
}
