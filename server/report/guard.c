#include "server/report/guard.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include "server/base/event.h"
#include "server/base/threads.h"
#include "server/report/report-maker.h"
#include "server/report/slow-requests.h"

#define SECOND_NS UINT64_C(1000000000)
#define REASON_BYTES 512u
#define ASKED_EVERY_NS SECOND_NS
#define AUTOMATIC_EVERY_NS (60 * SECOND_NS)
#define AUTOMATIC_BURST 3u
#define LOOKS_A_LIMIT 4u /* how often what may take so long is looked at */
#define LATE_NS (2 * SECOND_NS)

/* How often there is a report of a kind. */
struct pace {
    const char *kind;
    uint64_t every_ns, next_ns; /* when the bucket is full again */
    unsigned burst;
    uint64_t dropped;
};
enum { ASKED, STALL, HUNG, UNEXPECTED, PACES };

/* A thread that must answer. */
struct watched {
    struct loop_message question;
    struct guard_thread thread;
    atomic_bool answered;
    uint64_t asked_ns;
    bool told; /* that it does not answer */
};

static sem_t wake;
static atomic_uint signals;
static _Thread_local bool is_guard;

static struct {
    struct guard_settings settings;
    pthread_t thread;
    bool runs;
    atomic_bool ends;
    _Atomic(struct guard_request *) requests;
    _Atomic(const char *) unexpected;
    _Atomic(const struct report_cause *) crash;
    atomic_bool crash_told;

    struct watched *watched;
    size_t watched_count;
    atomic_bool watches;
    uint64_t last_tick_ns;
    uint64_t hung_look_ns;
    bool hung_told; /* there were some at the last look */
    struct pace paces[PACES];
} guard = {
    .paces = { [ASKED] = { "asked", ASKED_EVERY_NS, 0, 1, 0 },
               [STALL] = { "stall", AUTOMATIC_EVERY_NS, 0, AUTOMATIC_BURST, 0 },
               [HUNG] = { "hung", AUTOMATIC_EVERY_NS, 0, AUTOMATIC_BURST, 0 },
               [UNEXPECTED] = { "unexpected", AUTOMATIC_EVERY_NS, 0, AUTOMATIC_BURST, 0 } },
};

/* ---- the signal ---- */

/* Where it comes to a thread that is in somebody else's code, that is not interrupted again. */
static void signal_came(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    int saved = errno;

    (void)info;
    if (guard.runs && !is_guard)
        sigaddset(&interrupted->uc_sigmask, number);
    atomic_fetch_add(&signals, 1);
    sem_post(&wake);
    errno = saved;
}

void guard_take_signal(void)
{
    struct sigaction action = { .sa_sigaction = signal_came, .sa_flags = SA_RESTART | SA_SIGINFO };

    sem_init(&wake, 0, 0);
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGUSR1, &action, NULL);
}

static void receive_signal(void)
{
    sigset_t signal;

    sigemptyset(&signal);
    sigaddset(&signal, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &signal, NULL);
}

/* ---- reports ---- */

/* A bucket that holds `burst`; false: not now. */
static bool paced(struct pace *pace)
{
    uint64_t now_ns = board_now_ns(), room_ns = pace->burst * pace->every_ns;

    if (pace->next_ns < now_ns)
        pace->next_ns = now_ns;
    if (pace->next_ns + pace->every_ns > now_ns + room_ns) {
        pace->dropped++;
        return false;
    }
    pace->next_ns += pace->every_ns;
    return true;
}

static void make(struct pace *pace, const char *reason)
{
    char text[REASON_BYTES];

    if (!paced(pace))
        return;
    if (pace->dropped > 0)
        report_join(text, sizeof text, reason, " (", REPORT_DIGITS(pace->dropped),
                    " more like this had no report)", NULL);
    else
        report_join(text, sizeof text, reason, NULL);
    pace->dropped = 0;
    report_make(&(struct report_cause){ pace->kind, text });
}

static void answer_signals(void)
{
    struct pace *pace = &guard.paces[ASKED];

    if (atomic_load(&signals) == 0 || board_now_ns() < pace->next_ns)
        return; /* it is looked at again then: see wait_until() */
    atomic_store(&signals, 0);
    make(pace, "somebody sent SIGUSR1");
}

static void answer_requests(void)
{
    struct guard_request *request = atomic_exchange(&guard.requests, NULL);

    while (request != NULL) {
        struct guard_request *next = request->next;

        request->done->result = report_make_for(&(struct report_cause){ "asked", request->reason },
                                                request->out, request->room_bytes, request->json);
        loop_post(request->loop, request->done);
        request = next;
    }
}

bool guard_ask(struct guard_request *request)
{
    if (!guard.runs)
        return false;
    request->next = atomic_load(&guard.requests);
    while (!atomic_compare_exchange_weak(&guard.requests, &request->next, request))
        continue;
    sem_post(&wake);
    return true;
}

void guard_look_soon(void)
{
    if (guard.runs)
        sem_post(&wake);
}

static void answer_unexpected(void)
{
    const char *why = atomic_exchange(&guard.unexpected, NULL);

    if (why != NULL)
        make(&guard.paces[UNEXPECTED], why);
}

void report_unexpected(const char *why)
{
    atomic_store(&guard.unexpected, why);
    sem_post(&wake);
}

/* ---- the last report ---- */

bool guard_make_at_end(const struct report_cause *cause, unsigned wait_ms)
{
    uint64_t end_ns = board_now_ns() + wait_ms * UINT64_C(1000000);

    if (!guard.runs || is_guard)
        return false;
    atomic_store(&guard.crash, cause);
    sem_post(&wake);
    while (!atomic_load(&guard.crash_told) && board_now_ns() < end_ns)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    return atomic_load(&guard.crash_told);
}

static void answer_crash(void)
{
    const struct report_cause *cause = atomic_load(&guard.crash);

    if (cause == NULL || atomic_load(&guard.crash_told))
        return;
    (void)report_make_at_end(cause);
    atomic_store(&guard.crash_told, true);
}

/* ---- threads that must answer ---- */

/* On the thread that was asked. */
static void answer(struct io_event *ev, int result)
{
    struct watched *watched = container_of(ev, struct watched, question.event);

    (void)result;
    atomic_store(&watched->answered, true);
}

static void ask(struct watched *watched, uint64_t now_ns)
{
    watched->asked_ns = now_ns;
    watched->told = false;
    atomic_store(&watched->answered, false);
    loop_post(watched->thread.loop, &watched->question);
}

static void tell_stall(const struct watched *watched, uint64_t age_ns)
{
    char reason[REASON_BYTES];

    report_join(reason, sizeof reason, watched->thread.name, " has not answered for ",
                REPORT_DIGITS(age_ns / SECOND_NS), " s", NULL);
    make(&guard.paces[STALL], reason);
}

static void look_at_threads(uint64_t now_ns)
{
    uint64_t limit_ns = guard.settings.stall_seconds * SECOND_NS;

    for (size_t i = 0; atomic_load(&guard.watches) && i < guard.watched_count; i++) {
        struct watched *watched = &guard.watched[i];
        uint64_t age_ns = now_ns - watched->asked_ns;

        if (atomic_load(&watched->answered) && age_ns >= limit_ns / LOOKS_A_LIMIT) {
            ask(watched, now_ns);
        } else if (!atomic_load(&watched->answered) && age_ns >= limit_ns && !watched->told) {
            watched->told = true;
            tell_stall(watched, age_ns);
        }
    }
}

/* The machine slept, or we did: nobody could answer. */
static void forgive(uint64_t now_ns)
{
    for (size_t i = 0; i < guard.watched_count; i++)
        guard.watched[i].asked_ns = now_ns;
}

int guard_watch(const struct guard_thread *threads, size_t count, struct error *err)
{
    if (guard.settings.stall_seconds == 0)
        return 0;
    guard.watched = calloc(count, sizeof *guard.watched);
    if (guard.watched == NULL)
        return error_no_memory(err, "to watch threads");
    for (size_t i = 0; i < count; i++) {
        guard.watched[i].question.event.fn = answer;
        guard.watched[i].thread = threads[i];
        guard.watched[i].asked_ns = board_now_ns();
        atomic_store(&guard.watched[i].answered, true);
    }
    guard.watched_count = count;
    atomic_store(&guard.watches, true);
    sem_post(&wake);
    return 0;
}

void guard_unwatch(void)
{
    atomic_store(&guard.watches, false);
}

/* ---- requests that take too long ---- */

/* The oldest one that is older than the limit; false: there is none. */
static bool find_hung(uint64_t now_ns, struct board_command *oldest)
{
    uint64_t limit_ns = guard.settings.hung_seconds * SECOND_NS;
    struct board_command one;
    board_cursor cursor = 0;
    bool found = false;

    while (board_next_command(guard.settings.board, &cursor, &one)) {
        /* What waits for its client is not ours to hurry. */
        if (one.torn || one.phase != BOARD_BACKEND || one.start_ns + limit_ns > now_ns ||
            (found && one.start_ns >= oldest->start_ns))
            continue;
        *oldest = one;
        found = true;
    }
    return found;
}

static void tell_hung(uint64_t now_ns, const struct board_command *command)
{
    struct board_export export = { .name = "" };
    struct board_connection connection = { .peer = "a client that has gone" };
    char reason[REASON_BYTES];

    (void)board_read_connection(guard.settings.board, command->connection, &connection);
    (void)board_read_export(guard.settings.board, command->export_id, &export);
    report_join(reason, sizeof reason, "export '", export.name, "': ", board_op_name(command->op),
                " ", REPORT_DIGITS(command->offset_bytes), "+",
                REPORT_DIGITS(command->length_bytes), " of client ",
                REPORT_DIGITS(command->connection), " has been in phase ",
                board_phase_name(command->phase), " for ",
                REPORT_DIGITS((now_ns - command->start_ns) / SECOND_NS), " s", NULL);
    EVENT(.type = "hung-request", .export = export.name, .peer = connection.peer,
          .client = command->connection, .reason = reason);
    make(&guard.paces[HUNG], reason);
}

/* Storage that hangs has one report, however many wait for it. */
static void look_at_requests(uint64_t now_ns)
{
    struct board_command oldest;

    if (guard.settings.hung_seconds == 0 || now_ns < guard.hung_look_ns)
        return;
    guard.hung_look_ns = now_ns + guard.settings.hung_seconds * SECOND_NS / LOOKS_A_LIMIT;
    bool found = find_hung(now_ns, &oldest);
    if (found && !guard.hung_told)
        tell_hung(now_ns, &oldest);
    guard.hung_told = found;
}

/* ---- the thread ---- */

/* How often it looks: 0: only when it is woken. */
static uint64_t tick_ns(void)
{
    unsigned stall = guard.settings.stall_seconds, hung = guard.settings.hung_seconds;
    unsigned shortest = stall == 0 || (hung != 0 && hung < stall) ? hung : stall;
    uint64_t tick_ns = shortest * SECOND_NS / LOOKS_A_LIMIT;
    uint64_t slow_ns = slow_requests_every_ns(guard.settings.board);

    return slow_ns > 0 && (tick_ns == 0 || slow_ns < tick_ns) ? slow_ns : tick_ns;
}

static uint64_t wait_until(uint64_t now_ns)
{
    uint64_t until_ns = tick_ns() > 0 ? now_ns + tick_ns() : UINT64_MAX;
    uint64_t asked_ns = guard.paces[ASKED].next_ns;

    if (atomic_load(&signals) > 0 && asked_ns < until_ns)
        until_ns = asked_ns;
    return until_ns;
}

static void sleep_until(uint64_t until_ns)
{
    struct timespec until = { .tv_sec = (time_t)(until_ns / SECOND_NS),
                              .tv_nsec = (long)(until_ns % SECOND_NS) };

    if (until_ns == UINT64_MAX)
        (void)sem_wait(&wake);
    else
        (void)sem_clockwait(&wake, CLOCK_MONOTONIC, &until);
    while (sem_trywait(&wake) == 0)
        continue;
}

static void look(void)
{
    uint64_t now_ns = board_now_ns();

    if (tick_ns() > 0 && now_ns > guard.last_tick_ns + tick_ns() + LATE_NS)
        forgive(now_ns);
    guard.last_tick_ns = now_ns;
    answer_crash();
    answer_requests();
    answer_signals();
    answer_unexpected();
    look_at_threads(now_ns);
    look_at_requests(now_ns);
    slow_requests_look(guard.settings.board, board_now_ns());
    guard.last_tick_ns = board_now_ns(); /* a report takes its time */
}

static void *watch(void *unused)
{
    (void)unused;
    thread_begin("nbdcrypt-guard");
    is_guard = true;
    receive_signal();
    guard.last_tick_ns = board_now_ns();
    while (!atomic_load(&guard.ends)) {
        look();
        sleep_until(wait_until(board_now_ns()));
    }
    answer_unexpected();
    return NULL;
}

int guard_start(const struct guard_settings *settings, struct error *err)
{
    guard.settings = *settings;
    int result = report_maker_start(&guard.settings.files, settings->board, err);
    if (result < 0)
        return result;
    guard.runs = true;
    result = -pthread_create(&guard.thread, NULL, watch, NULL);
    if (result == 0)
        return 0;
    guard.runs = false;
    report_maker_stop();
    return error_set(err, result, "a thread that watches the others could not be started: %s",
                     strerror(-result));
}

void guard_stop(void)
{
    if (!guard.runs)
        return;
    atomic_store(&guard.ends, true);
    sem_post(&wake);
    pthread_join(guard.thread, NULL);
    guard.runs = false;
    report_maker_stop();
    free(guard.watched);
    guard.watched = NULL;
    guard.watched_count = 0;
}
