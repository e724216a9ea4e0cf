#include "server/base/threads.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SIGNAL (SIGRTMIN + 7)
#define HANDLER_STACK_BYTES (64u * 1024u)
#define GUARD_BYTES 4096u
#define LOOK_NS 1000000

static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

/* Its place stays when its thread has ended, for another one. */
struct place {
    atomic_int tid; /* 0: free */
    atomic_uint asked, answered;
    unsigned frame_count; /* these: the thread's, until it has answered */
    void *frames[THREAD_FRAMES_MAX];
    char name[THREAD_NAME_BYTES];
    char whose[THREAD_WHOSE_BYTES];
    _Atomic(const char *) call; /* NULL: it is not within other code */
    atomic_bool crashed;
    void *handler_stack;
};

static struct place *places; /* THREAD_PLACES; NULL: nobody looks */
static atomic_uint place_count;
static atomic_uint question;
static pthread_key_t end_of_thread;
static _Thread_local struct place *own;

/* ---- the thread ---- */

static void thread_ends(void *value)
{
    struct place *place = value;
    stack_t none = { .ss_flags = SS_DISABLE };

    own = NULL;
    (void)sigaltstack(&none, NULL);
    atomic_store(&place->tid, 0);
}

static struct place *take_place(void)
{
    for (unsigned i = 0; i < THREAD_PLACES; i++) {
        unsigned count = i + 1;
        int free_tid = 0;

        if (!atomic_compare_exchange_strong(&places[i].tid, &free_tid, -1))
            continue;
        for (unsigned now = atomic_load(&place_count); now < count;)
            if (atomic_compare_exchange_weak(&place_count, &now, count))
                break;
        return &places[i];
    }
    return NULL;
}

/* Behind a page that nothing may touch. */
static void give_handler_stack(struct place *place)
{
    stack_t stack = { .ss_size = HANDLER_STACK_BYTES };

    if (place->handler_stack == NULL) {
        uint8_t *memory = mmap(NULL, GUARD_BYTES + HANDLER_STACK_BYTES, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

        if (memory == MAP_FAILED)
            return;
        if (mprotect(memory + GUARD_BYTES, HANDLER_STACK_BYTES, PROT_READ | PROT_WRITE) < 0) {
            munmap(memory, GUARD_BYTES + HANDLER_STACK_BYTES);
            return;
        }
        place->handler_stack = memory + GUARD_BYTES;
    }
    stack.ss_sp = place->handler_stack;
    (void)sigaltstack(&stack, NULL);
}

void thread_begin(const char *name)
{
    pid_t tid = gettid();
    struct place *place;

    if (tid != getpid())
        pthread_setname_np(pthread_self(), name);
    if (places == NULL || own != NULL)
        return;
    place = take_place();
    if (place == NULL)
        return;
    snprintf(place->name, sizeof place->name, "%s", name);
    atomic_store(&place->call, NULL);
    atomic_store(&place->crashed, false);
    atomic_store(&place->asked, 0);
    atomic_store(&place->answered, 0);
    give_handler_stack(place);
    own = place;
    (void)pthread_setspecific(end_of_thread, place);
    atomic_store(&place->tid, tid);
}

void thread_is_within(const char *whose, const char *call)
{
    struct place *place = own;

    if (place == NULL)
        return;
    if (whose != NULL)
        (void)memccpy(place->whose, whose, '\0', sizeof place->whose - 1);
    atomic_store_explicit(&place->call, whose != NULL ? call : NULL, memory_order_release);
}

void thread_has_crashed(void)
{
    if (own != NULL)
        atomic_store(&own->crashed, true);
}

void thread_block_signals(sigset_t *before)
{
    sigset_t signals;

    sigfillset(&signals);
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        sigdelset(&signals, crashes[i]);
    sigdelset(&signals, SIGNAL);
    sigdelset(&signals, SIGSYS); /* what the sandbox refuses */
    pthread_sigmask(SIG_SETMASK, &signals, before);
}

/* ---- questions ---- */

static void note_frames(struct place *place)
{
    int count = backtrace(place->frames, THREAD_FRAMES_MAX);

    place->frame_count = count > 0 ? (unsigned)count : 0;
    atomic_store(&place->answered, atomic_load(&place->asked));
}

static void asked(int number)
{
    struct place *place = own;
    int saved = errno;

    (void)number;
    if (place != NULL && atomic_load(&place->asked) != atomic_load(&place->answered))
        note_frames(place);
    errno = saved;
}

void threads_watch(void)
{
    struct sigaction action = { .sa_handler = asked, .sa_flags = SA_RESTART };
    void *first[1];

    if (places != NULL)
        return;
    void *memory = mmap(NULL, THREAD_PLACES * sizeof *places, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || pthread_key_create(&end_of_thread, thread_ends) != 0)
        return;
    /* Its first call loads a library, which takes locks. */
    (void)backtrace(first, 1);
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGNAL, &action, NULL);
    places = memory;
}

/* True: it is to be waited for. */
static bool ask(struct place *place, unsigned number)
{
    pid_t tid = atomic_load(&place->tid);

    if (tid <= 0 || (atomic_load(&place->call) != NULL && !atomic_load(&place->crashed)))
        return false;
    atomic_store(&place->asked, number);
    if (place != own)
        return syscall(SYS_tgkill, getpid(), tid, SIGNAL) == 0;
    note_frames(place);
    return false;
}

static bool is_awaited(struct place *place, unsigned number)
{
    return atomic_load(&place->tid) > 0 && atomic_load(&place->asked) == number &&
           atomic_load(&place->answered) != number;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void threads_ask(unsigned wait_ms)
{
    unsigned number = atomic_fetch_add(&question, 1) + 1, count = atomic_load(&place_count);
    uint64_t end_ms = now_ms() + wait_ms;
    bool awaited = false;

    for (unsigned i = 0; places != NULL && i < count; i++)
        awaited |= ask(&places[i], number);
    while (awaited && now_ms() < end_ms) {
        nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
        awaited = false;
        for (unsigned i = 0; !awaited && i < count; i++)
            awaited = is_awaited(&places[i], number);
    }
}

bool threads_next(size_t *cursor, struct thread_view *out)
{
    unsigned number = atomic_load(&question), count = atomic_load(&place_count);

    while (places != NULL && *cursor < count) {
        struct place *place = &places[(*cursor)++];

        out->tid = atomic_load(&place->tid);
        if (out->tid <= 0)
            continue;
        memcpy(out->name, place->name, sizeof out->name);
        out->call = atomic_load(&place->call);
        memcpy(out->whose, place->whose, sizeof out->whose);
        out->answered = number != 0 && atomic_load(&place->answered) == number;
        out->frame_count = out->answered ? place->frame_count : 0;
        memcpy(out->frames, place->frames, out->frame_count * sizeof out->frames[0]);
        return true;
    }
    return false;
}
