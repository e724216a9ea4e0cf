#include "bench/load.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/cpu-time.h"
#include "bench/load-thread.h"
#include "bench/progress.h"

#define SECOND_NS 1000000000ull
#define NEVER UINT64_MAX

struct load {
    const struct load_config *config;
    struct load_shared shared;
    struct load_thread *threads;
    struct load_thread_client *clients;
    unsigned started_count;
    struct load_result *result;

    struct progress progress;
    uint64_t next_look_ns; /* at progress, and at whether there is some */
    uint64_t requests_seen, bytes_seen, last_answer_ns;
    bool measuring, measured; /* the CPU times of the start, of the end have been taken */
    bool time_is_over, timed_out;
    uint64_t own_cpu_ns, server_cpu_ns; /* at the start */
    uint64_t cpu_late_ns;               /* by which they were taken later than measuring began */
};

void load_block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

/* ---- start ---- */

/* Connections are dealt out in equal shares. */
static int allocate(struct load *load, struct error *err)
{
    const struct load_config *config = load->config;
    unsigned taken = 0;

    load->threads = calloc(config->thread_count, sizeof *load->threads);
    load->clients = calloc(config->client_count, sizeof *load->clients);
    if (load->threads == NULL || load->clients == NULL)
        return error_set(err, -ENOMEM, "not enough memory for %u threads", config->thread_count);
    for (unsigned i = 0; i < config->thread_count; i++) {
        struct load_thread *thread = &load->threads[i];

        thread->shared = &load->shared;
        thread->clients = &load->clients[taken];
        thread->client_count = config->client_count / config->thread_count +
                               (i < config->client_count % config->thread_count);
        for (unsigned k = 0; k < thread->client_count; k++, taken++) {
            load->clients[taken].thread = thread;
            load->clients[taken].client = &config->clients[taken];
            workload_stream_init(&load->clients[taken].stream, &load->shared.workload, taken);
        }
    }
    return 0;
}

static int start_threads(struct load *load, struct error *err)
{
    for (; load->started_count < load->config->thread_count; load->started_count++) {
        struct load_thread *thread = &load->threads[load->started_count];
        int result = pthread_create(&thread->thread, NULL, load_thread_main, thread);

        if (result != 0)
            return error_set(err, -result, "thread %u can't be started: %s", load->started_count,
                             strerror(result));
    }
    return 0;
}

static int take_server_cpu(const struct load *load, uint64_t *out_ns, struct error *err)
{
    *out_ns = 0;
    return load->config->server_pid != 0 ? cpu_time_of_tree(out_ns, load->config->server_pid, err)
                                         : 0;
}

/* Own time last at the start and first at the end: reading the server's costs some. */
static int begin_measuring(struct load *load, struct error *err)
{
    load->measuring = true;
    int result = take_server_cpu(load, &load->server_cpu_ns, err);
    load->own_cpu_ns = cpu_time_own();
    load->cpu_late_ns = load_clock_ns() - load->shared.measure_start_ns;
    return result;
}

static int end_measuring(struct load *load, struct error *err)
{
    uint64_t server_cpu_ns;

    load->measured = true;
    load->result->own_cpu_ns = cpu_time_own() - load->own_cpu_ns;
    int result = take_server_cpu(load, &server_cpu_ns, err);
    load->result->server_cpu_ns = server_cpu_ns - load->server_cpu_ns;
    load->result->has_server_cpu = load->config->server_pid != 0;
    return result;
}

/* Once all loops are there, so that starting up is in no figure. */
static void set_times(struct load *load)
{
    const struct load_config *config = load->config;
    uint64_t now = load_clock_ns(), start = now + config->warm_up_ns;

    load->shared.measure_start_ns = start;
    atomic_store(&load->shared.measure_end_ns,
                 config->time_ns > 0 ? start + config->time_ns : NEVER);
    load->next_look_ns = now + SECOND_NS;
    load->last_answer_ns = now;
}

/* ---- while it runs ---- */

static void stop_threads(struct load *load)
{
    atomic_store(&load->shared.stopping, true);
}

/* Connections whose answers do not come end without them. */
static void give_up(struct load *load)
{
    load->timed_out = true;
    stop_threads(load);
    for (unsigned i = 0; i < load->started_count; i++) {
        if (load->threads[i].loop != NULL)
            loop_post(load->threads[i].loop, &load->threads[i].abort_message);
    }
}

static void show_progress(struct load *load, uint64_t now, uint64_t requests, uint64_t bytes)
{
    const struct load_shared *shared = &load->shared;
    uint64_t begin = now < shared->measure_start_ns
                         ? shared->measure_start_ns - load->config->warm_up_ns
                         : shared->measure_start_ns;
    const char *title =
        now < shared->measure_start_ns ? "warming up" : load->config->progress_title;

    if (load->config->show_progress)
        progress_show(&load->progress, "%s, %llu s: %llu requests/s, %.1f MB/s", title,
                      (unsigned long long)((now - begin) / SECOND_NS),
                      (unsigned long long)(requests - load->requests_seen),
                      (double)(bytes - load->bytes_seen) / 1e6);
}

/* Once a second. */
static void look(struct load *load, uint64_t now)
{
    uint64_t requests = 0, bytes = 0;

    for (unsigned i = 0; i < load->started_count; i++) {
        requests += atomic_load_explicit(&load->threads[i].requests_done, memory_order_relaxed);
        bytes += atomic_load_explicit(&load->threads[i].bytes_done, memory_order_relaxed);
    }
    show_progress(load, now, requests, bytes);
    if (requests != load->requests_seen)
        load->last_answer_ns = now;
    else if (now - load->last_answer_ns >= load->config->timeout_s * SECOND_NS && !load->timed_out)
        give_up(load);
    load->requests_seen = requests;
    load->bytes_seen = bytes;
    load->next_look_ns += SECOND_NS;
}

static bool all_ended(const struct load *load)
{
    return atomic_load(&load->shared.threads_ended) == load->started_count;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Sleeps until there is something to do, or a thread has ended, or the user has had enough. */
static void wait_for_event(struct load *load, uint64_t now)
{
    struct load_shared *shared = &load->shared;
    uint64_t until = load->next_look_ns;
    sigset_t signals;

    if (!load->measuring)
        until = least(until, shared->measure_start_ns);
    if (!load->measured)
        until = least(until, atomic_load(&shared->measure_end_ns));
    uint64_t wait_ns = until > now ? until - now : 0;
    struct timespec wait = {
        .tv_sec = (time_t)(wait_ns / SECOND_NS),
        .tv_nsec = (long)(wait_ns % SECOND_NS),
    };
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    int signal = sigtimedwait(&signals, NULL, &wait);
    if (signal != SIGINT && signal != SIGTERM)
        return;
    load->result->interrupted = true;
    atomic_store(&shared->measure_end_ns, least(load_clock_ns(), shared->measure_end_ns));
}

/* Until every thread has ended; they do so by the clock, the count, or a failure. */
static int watch(struct load *load, struct error *err)
{
    int result = 0;

    for (;;) {
        bool over = all_ended(load);
        uint64_t now = load_clock_ns();

        load->time_is_over |= !load->measured && now >= load->shared.measure_end_ns;
        if (result == 0 && !load->measuring && now >= load->shared.measure_start_ns)
            result = begin_measuring(load, err);
        if (result == 0 && load->measuring && !load->measured && (over || load->time_is_over))
            result = end_measuring(load, err);
        if (over)
            return result;
        if (result != 0)
            stop_threads(load);
        if (now >= load->next_look_ns)
            look(load, now);
        wait_for_event(load, now);
    }
}

/* ---- end ---- */

static int collect_failure(const struct load *load, struct error *err)
{
    for (unsigned i = 0; i < load->started_count; i++) {
        if (load->threads[i].failed)
            return error_set(err, -EIO, "%s", load->threads[i].failure.text);
    }
    return 0;
}

static void add_command(struct load_command_result *sum, const struct load_command_result *more)
{
    sum->requests += more->requests;
    sum->bytes += more->bytes;
    histogram_merge(&sum->latency, &more->latency);
}

/* On a machine with more to do than CPUs, this thread may run later than it wanted to: what it has
 * missed is taken to have cost as much as what it has seen.  Late at the end is no matter, as then
 * the server has nothing to do any more. */
static int correct_cpu_times(const struct load *load, struct error *err)
{
    struct load_result *result = load->result;
    uint64_t late_ns = load->cpu_late_ns;

    if (late_ns == 0 || !load->measuring)
        return 0;
    if (result->has_server_cpu && late_ns > result->elapsed_ns / 2 && !result->interrupted)
        return error_set(
            err, -EBUSY,
            "this machine is too busy to measure CPU times in %.3f s: the first one was "
            "taken %.3f s late; measure for longer",
            (double)result->elapsed_ns / 1e9, (double)late_ns / 1e9);
    if (late_ns >= result->elapsed_ns)
        return 0;
    double factor = (double)result->elapsed_ns / (double)(result->elapsed_ns - late_ns);
    result->own_cpu_ns = (uint64_t)((double)result->own_cpu_ns * factor);
    result->server_cpu_ns = (uint64_t)((double)result->server_cpu_ns * factor);
    return 0;
}

static void collect_figures(struct load *load)
{
    struct load_result *result = load->result;
    uint64_t end_ns = load->shared.measure_start_ns;

    for (unsigned i = 0; i < load->started_count; i++) {
        const struct load_thread *thread = &load->threads[i];

        for (unsigned k = 0; k < WORKLOAD_COMMANDS; k++) {
            add_command(&result->commands[k], &thread->commands[k]);
            add_command(&result->total, &thread->commands[k]);
        }
        if (thread->last_completion_ns > end_ns)
            end_ns = thread->last_completion_ns;
    }
    if (load->time_is_over)
        end_ns = load->shared.measure_end_ns;
    if (end_ns > load->shared.measure_start_ns)
        result->elapsed_ns = end_ns - load->shared.measure_start_ns;
}

static void tear_down(struct load *load)
{
    for (unsigned i = 0; i < load->started_count; i++)
        pthread_join(load->threads[i].thread, NULL);
    for (unsigned i = 0; i < load->started_count; i++)
        loop_destroy(load->threads[i].loop);
    load_gate_destroy(&load->shared.gate);
    free(load->threads);
    free(load->clients);
}

int load_run(const struct load_config *config, struct load_result *result, struct error *err)
{
    struct load load = {
        .config = config,
        .result = result,
        .shared = { .config = config, .main_thread = pthread_self() },
    };

    progress_init(&load.progress);
    workload_init(&load.shared.workload, &config->workload);
    load_gate_init(&load.shared.gate);
    int code = allocate(&load, err);
    if (code == 0) {
        code = start_threads(&load, err);
        load_gate_wait_for(&load.shared.gate, load.started_count);
        set_times(&load);
        if (code == 0 && config->warm_up_ns == 0)
            code = begin_measuring(&load, err);
        if (code != 0)
            stop_threads(&load);
        load_gate_open(&load.shared.gate);
        int watched = watch(&load, code == 0 ? err : NULL);
        code = code != 0 ? code : watched;
    }
    progress_clear(&load.progress);
    if (code == 0)
        code = collect_failure(&load, err);
    if (code == 0) {
        collect_figures(&load);
        code = correct_cpu_times(&load, err);
    }
    tear_down(&load);
    return code;
}
