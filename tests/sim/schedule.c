#undef _FORTIFY_SOURCE /* its longjmp() knows one stack only */
#include "tests/sim/schedule.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/sim/sanitized.h"
#if defined(SIM_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#include "tests/sim/random.h"
#include "tests/sim/trace.h"

#define STACK_BYTES (512u << 10)
#define FIBERS_MAX 4096u
#define HOSTS_MAX 65536u
#define SWITCHES_MAX 20000000u

enum fiber_state { FIBER_READY, FIBER_WAITING, FIBER_DONE };

/* swapcontext(), but that it asks the kernel for nothing once a context has begun. */
struct place {
    ucontext_t context;
    sigjmp_buf jump;
    bool has_begun;
    uint8_t *stack;     /* lowest byte */
    size_t stack_bytes; /* known once it has been left, of the scheduler's */
    void *frames;       /* of the sanitizer, while somebody else runs */
};

struct fiber {
    struct place place;
    unsigned number, host;
    enum fiber_state state;
    const void *object;  /* that it waits for */
    uint64_t wait_count; /* which of its waits it is in: a timer of an earlier one means nothing */
    bool timed_out, detached;
    int saved_errno;
    void *(*fn)(void *);
    void *argument, *result;
    char name[24];
};

struct event {
    uint64_t when_ns, tie;
    void (*fn)(void *context);
    void *context;
};

uint64_t sim_now_ns;
static struct fiber
    *fibers[FIBERS_MAX]; /* those that are not freed, in the order of their making */
static unsigned fiber_count, numbers_given;
static struct fiber *current;
static struct place scheduler = { .has_begun = true };
static struct event *heap;
static size_t heap_count, heap_room;
static bool host_dead[HOSTS_MAX];
static uint16_t host_of_number[1u << 16];
static unsigned hosts_made = 1;
static uint8_t *spare_stacks[64];
static unsigned spare_stack_count;
static uint64_t progress_ns, patience_ns;

/* ---- switching ---- */

#if defined(SIM_ADDRESS_SANITIZER)
/* It is told of each switch.  Its own swapcontext() and siglongjmp() are avoided: the one maps anew
 * at each switch what it knows of the whole stack that is entered (64 KiB, and page faults), the
 * other forgets what it knows of the frames of the one that is left. */
static void switch_places(struct place *from, struct place *to)
{
    volatile bool is_back = false;

    getcontext(&from->context);
    if (is_back) {
        __sanitizer_finish_switch_fiber(from->frames, NULL, NULL);
        return;
    }
    is_back = true;
    __sanitizer_start_switch_fiber(&from->frames, to->stack, to->stack_bytes);
    setcontext(&to->context);
}

/* First of all on a new stack. */
static void has_arrived(struct place *from)
{
    const void *stack;

    __sanitizer_finish_switch_fiber(NULL, &stack, &from->stack_bytes);
    from->stack = (uint8_t *)(uintptr_t)stack;
}

/* Whoever was killed there has left marks in it. */
static void forget_frames(uint8_t *stack)
{
    __asan_unpoison_memory_region(stack, STACK_BYTES);
}
#else
static void switch_places(struct place *from, struct place *to)
{
#if defined(SIM_THREAD_SANITIZER) /* which follows this */
    swapcontext(&from->context, &to->context);
#else
    if (sigsetjmp(from->jump, 0) != 0)
        return;
    if (to->has_begun)
        siglongjmp(to->jump, 1);
    to->has_begun = true;
    setcontext(&to->context);
#endif
}

static void has_arrived(struct place *from)
{
    (void)from;
}

static void forget_frames(uint8_t *stack)
{
    (void)stack;
}
#endif

/* ---- fibers ---- */

static uint8_t *take_stack(void)
{
    if (spare_stack_count > 0)
        return spare_stacks[--spare_stack_count];
    uint8_t *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED)
        sim_fail("no memory for the stack of a fiber");
    mprotect(stack, 4096, PROT_NONE); /* who runs over it is found out */
    return stack;
}

static void give_stack(uint8_t *stack)
{
    forget_frames(stack);
    if (spare_stack_count < sizeof(spare_stacks) / sizeof(*spare_stacks))
        spare_stacks[spare_stack_count++] = stack;
    else
        munmap(stack, STACK_BYTES);
}

static void forget(struct fiber *fiber)
{
    for (unsigned i = 0; i < fiber_count; i++) {
        if (fibers[i] != fiber)
            continue;
        memmove(&fibers[i], &fibers[i + 1], (fiber_count - i - 1) * sizeof(fibers[0]));
        fiber_count--;
        break;
    }
    give_stack(fiber->place.stack);
    free(fiber);
}

static void back_to_scheduler(void)
{
    struct fiber *self = current;

    self->saved_errno = errno;
    switch_places(&self->place, &scheduler);
    errno = self->saved_errno;
}

static void run_fiber(void)
{
    has_arrived(&scheduler);
    current->result = current->fn(current->argument);
    current->state = FIBER_DONE;
    fiber_wake_all(current);
    switch_places(&current->place, &scheduler);
}

struct fiber *fiber_start(const char *name, unsigned host, void *(*fn)(void *), void *context)
{
    struct fiber *fiber = calloc(1, sizeof(*fiber));

    if (fiber == NULL || fiber_count == FIBERS_MAX || numbers_given + 1 >= 1u << 16)
        sim_fail("too many fibers");
    fiber->number = ++numbers_given;
    fiber->host = host;
    host_of_number[fiber->number] = (uint16_t)host;
    fiber->fn = fn;
    fiber->argument = context;
    (void)snprintf(fiber->name, sizeof(fiber->name), "%s", name);
    fiber->place.stack = take_stack();
    fiber->place.stack_bytes = STACK_BYTES;
    ucontext_t *own = &fiber->place.context;
    getcontext(own);
    own->uc_stack.ss_sp = fiber->place.stack;
    own->uc_stack.ss_size = STACK_BYTES;
    own->uc_link = NULL;
    makecontext(own, run_fiber, 0);
    fibers[fiber_count++] = fiber;
    return fiber;
}

struct fiber *fiber_self(void)
{
    return current;
}

unsigned fiber_host(void)
{
    return current != NULL ? current->host : HOST_WORLD;
}

unsigned fiber_number(const struct fiber *fiber)
{
    return fiber->number;
}

void *fiber_join(struct fiber *fiber)
{
    while (fiber->state != FIBER_DONE)
        fiber_wait(fiber);
    void *result = fiber->result;
    forget(fiber);
    return result;
}

void fiber_detach(struct fiber *fiber)
{
    fiber->detached = true;
}

/* ---- waiting ---- */

static void wait_for(const void *object)
{
    current->state = FIBER_WAITING;
    current->object = object;
    current->timed_out = false;
    current->wait_count++;
    back_to_scheduler();
}

void fiber_wait(const void *object)
{
    wait_for(object);
}

struct alarm {
    unsigned number;
    uint64_t wait_count;
};

static void wake(struct fiber *fiber)
{
    fiber->state = FIBER_READY;
    fiber->object = NULL;
}

static void alarm_rings(void *context)
{
    struct alarm *alarm = context;

    for (unsigned i = 0; i < fiber_count; i++) {
        struct fiber *fiber = fibers[i];

        if (fiber->number == alarm->number && fiber->state == FIBER_WAITING &&
            fiber->wait_count == alarm->wait_count) {
            fiber->timed_out = true;
            wake(fiber);
        }
    }
    free(alarm);
}

bool fiber_wait_until(const void *object, uint64_t until_ns)
{
    struct alarm *alarm = malloc(sizeof(*alarm));

    if (alarm == NULL)
        sim_fail("no memory");
    *alarm = (struct alarm){ .number = current->number, .wait_count = current->wait_count + 1 };
    event_at(until_ns, alarm_rings, alarm);
    wait_for(object);
    return !current->timed_out;
}

void fiber_sleep(uint64_t ns)
{
    static const char nothing;

    (void)fiber_wait_until(&nothing, sim_now_ns + ns);
}

void fiber_yield(void)
{
    if (current != NULL)
        back_to_scheduler();
}

void fiber_wake_all(const void *object)
{
    for (unsigned i = 0; i < fiber_count; i++)
        if (fibers[i]->state == FIBER_WAITING && fibers[i]->object == object)
            wake(fibers[i]);
}

void fiber_wake_one(const void *object)
{
    struct fiber *waiting[64];
    unsigned count = 0;

    for (unsigned i = 0; i < fiber_count && count < 64; i++)
        if (fibers[i]->state == FIBER_WAITING && fibers[i]->object == object)
            waiting[count++] = fibers[i];
    if (count > 0)
        wake(waiting[count > 1 ? random_below(STREAM_SCHEDULE, count) : 0]);
}

/* ---- events: a heap, the earliest first ---- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->when_ns != b->when_ns ? a->when_ns < b->when_ns : a->tie < b->tie;
}

void event_at(uint64_t when_ns, void (*fn)(void *context), void *context)
{
    struct event event = { .when_ns = when_ns < sim_now_ns ? sim_now_ns : when_ns,
                           .tie = random_u64(STREAM_SCHEDULE),
                           .fn = fn,
                           .context = context };
    size_t at = heap_count++;

    if (heap_count > heap_room) {
        heap_room = heap_room > 0 ? 2 * heap_room : 1024;
        heap = realloc(heap, heap_room * sizeof(*heap));
        if (heap == NULL)
            sim_fail("no memory");
    }
    for (; at > 0 && is_before(&event, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = event;
}

void event_after(uint64_t delay_ns, void (*fn)(void *context), void *context)
{
    event_at(sim_now_ns + delay_ns, fn, context);
}

static struct event take_event(void)
{
    struct event first = heap[0], last = heap[--heap_count];
    size_t at = 0;

    for (size_t child; (child = 2 * at + 1) < heap_count; at = child) {
        if (child + 1 < heap_count && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &last))
            break;
        heap[at] = heap[child];
    }
    if (heap_count > 0)
        heap[at] = last;
    return first;
}

/* ---- hosts ---- */

unsigned host_create(void)
{
    if (hosts_made == HOSTS_MAX)
        sim_fail("too many hosts");
    return hosts_made++;
}

bool host_is_alive(unsigned host)
{
    return !host_dead[host];
}

bool fiber_number_is_alive(unsigned number)
{
    return !host_dead[host_of_number[number]];
}

void host_kill(unsigned host)
{
    host_dead[host] = true;
    for (unsigned i = fiber_count; i-- > 0;)
        if (fibers[i]->host == host)
            forget(fibers[i]);
}

unsigned host_fiber_count(unsigned host)
{
    unsigned count = 0;

    for (unsigned i = 0; i < fiber_count; i++)
        count += fibers[i]->host == host && fibers[i]->state != FIBER_DONE;
    return count;
}

/* ---- running ---- */

void schedule_progress(void)
{
    progress_ns = sim_now_ns;
}

void schedule_patience(uint64_t ns)
{
    patience_ns = ns;
    progress_ns = sim_now_ns;
}

static struct fiber *choose(void)
{
    struct fiber *ready[FIBERS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < fiber_count; i++)
        if (fibers[i]->state == FIBER_READY)
            ready[count++] = fibers[i];
    if (count == 0)
        return NULL;
    return ready[count > 1 ? random_below(STREAM_SCHEDULE, count) : 0];
}

static void tell_who_waits(void)
{
    for (unsigned i = 0; i < fiber_count; i++)
        if (fibers[i]->state != FIBER_DONE)
            fprintf(stderr, "  %s (fiber %u of host %u) %s\n", fibers[i]->name, fibers[i]->number,
                    fibers[i]->host, fibers[i]->state == FIBER_WAITING ? "waits" : "is ready");
}

static void move_time(void)
{
    if (heap_count == 0) {
        tell_who_waits();
        sim_fail("no progress: all wait for each other");
    }
    struct event event = take_event();
    sim_now_ns = event.when_ns;
    if (patience_ns > 0 && sim_now_ns > progress_ns + patience_ns) {
        tell_who_waits();
        sim_fail("no progress: nothing was answered for %llu s",
                 (unsigned long long)(patience_ns / NS_PER_S));
    }
    event.fn(event.context);
}

void schedule_run(struct fiber *last)
{
    for (unsigned i = 0; last->state != FIBER_DONE; i++) {
        struct fiber *fiber = choose();

        if (i == SWITCHES_MAX)
            sim_fail("no end");
        if (fiber == NULL) {
            move_time();
            continue;
        }
        current = fiber;
        switch_places(&scheduler, &fiber->place);
        current = NULL;
        if (fiber->state == FIBER_DONE && fiber->detached)
            forget(fiber);
    }
}
