/* simulate [OPTIONS] [--seeds N | --seconds S] SEED [KEY=VALUE...]
 *
 * Runs the simulation of SEED, or of N seeds from there, or of as many as there is time for; each
 * in a process of its own, one on each CPU at a time (--jobs).  See README.md. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugins/plugin-table.h"
#include "server/base/log.h"
#include "server/block/image.h"
#include "tests/sim/disk.h"
#include "tests/sim/keys.h"
#include "tests/sim/network.h"
#include "tests/sim/operator.h"
#include "tests/sim/options.h"
#include "tests/sim/oracle.h"
#include "tests/sim/pki.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"
#include "tests/sim/wire.h"

#define CPU_SECONDS_MAX 60u /* of a seed, if it is not told otherwise: few need 20 */
#define JOBS_MAX 64u

struct arguments {
    bool verbose, first_failure, every_mark, shrink, traces, until_needed;
    const char *needed; /* a mark; NULL: none */
    uint64_t seeds, seconds, first, jobs, cpu_seconds;
    char **settings;
    int setting_count;
};

/* What the child tells. */
struct outcome {
    uint64_t hash, events, answers;
    unsigned marks[MARK_COUNT];
};

void __gcov_dump(void) __attribute__((weak)); /* of builds for tests/sim/coverage.sh */

static uint64_t seed;
static const struct arguments *given;
static const struct options *chosen; /* instead of what the seed draws; NULL: nothing */

static void usage(void)
{
    fprintf(stderr, "usage: simulate [--verbose] [--shrink] [--first-failure] [--traces]\n"
                    "                [--every-mark | --needs MARK | --until MARK]\n"
                    "                [--jobs N] [--cpu-seconds S] [--seeds N | --seconds S]\n"
                    "                SEED [KEY=VALUE...]\n");
    exit(2);
}

static void log_put(enum log_level level, uint64_t source, const struct log_about *about,
                    const char *format, va_list args)
{
    char text[200];
    const char *who = about->who;
    int used = snprintf(text, sizeof(text), "log %d: %s%s", (int)level, who != NULL ? who : "",
                        who != NULL ? ": " : "");

    (void)source;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
#pragma GCC diagnostic pop
    trace_text(text);
    if (strstr(text, "memory") != NULL)
        server_lacks_memory();
    if (strstr(text, "if the restore is interrupted") != NULL)
        keys_are_at_risk(RISK_ALL);
    if (strstr(text, "the change of the header failed, and could not be undone") != NULL)
        keys_are_at_risk(RISK_CHANGED);
    if (strstr(text, "the connection was lost (") != NULL && !volumes_are_in_trouble())
        sim_fail("the front has lost its connection to the store, and nothing has broken it");
}

static void show_how(void)
{
    fprintf(stderr, "again: simulate %" PRIu64, seed);
    options_print();
    fprintf(stderr, "\n");
}

static void draw_options(void)
{
    random_seed(seed);
    options_draw();
    for (int i = 0; i < given->setting_count; i++)
        if (!options_set(given->settings[i])) {
            fprintf(stderr, "simulate: '%s' is no option with a value that it can have\n",
                    given->settings[i]);
            exit(2);
        }
}

static void choose_options(void)
{
    draw_options();
    if (chosen != NULL)
        options = *chosen;
    options_agree();
}

static void set_options(void)
{
    choose_options();
    network = (struct network_settings){
        .delay_max_ns = options.net_us * NS_PER_US,
        .window_bytes = (uint32_t)options.window_bytes,
        .short_send = (unsigned)options.short_net_permille,
        .short_receive = (unsigned)options.short_net_permille,
        .stall = (unsigned)options.stall_permille,
    };
    oracle_init(&(struct oracle_settings){
        .size_bytes = volumes_export_bytes(),
        .desert_bytes = volumes_desert_bytes(),
        .starts_as_zeros = options.layer == 0 || options.zero_holes,
        .block_bytes = options.layer == 3  ? 4096
                       : options.layer > 0 ? 512
                                           : CELL_BYTES,
        .halves_are_noise = options.cbc || options.zero_holes,
        .trim_is_zero_or_old = options.layer == 0 || options.zero_holes,
    });
}

static void run_seed(struct outcome *out)
{
    static const struct log_sink sink = { .put = log_put };

    set_options();
    sim_fail_shows(show_how);
    if (given->verbose)
        trace_aloud();
    log_set_sink(&sink);
    if (freopen("/dev/null", "w", stdout) == NULL) /* commands say there what they have done */
        sim_fail("standard output can't be turned off");
    log_set_level(LOG_INFO);
    schedule_run(fiber_start("operator", HOST_WORLD, operator_work, NULL));
    out->hash = trace_hash();
    out->events = trace_event_count();
    for (unsigned i = 0; i < MARK_COUNT; i++)
        out->marks[i] = mark_count((enum mark)i);
}

/* ---- processes ---- */

struct child {
    uint64_t seed, cpu_ms;
    pid_t pid;
    int outcome_fd, errors_fd; /* -1: it says itself what is wrong */
};

_Noreturn static void be_child(int outcome_fd)
{
    struct rlimit limit = { given->cpu_seconds, given->cpu_seconds };
    struct outcome own = { 0 };

    (void)setrlimit(RLIMIT_CPU, &limit);
    run_seed(&own);
    if (__gcov_dump != NULL) /* _exit() does not */
        __gcov_dump();
    _exit(write(outcome_fd, &own, sizeof(own)) == (ssize_t)sizeof(own) ? 0 : 1);
}

/* Here, for all seeds after this one, and of the same bytes whichever comes first. */
static void make_what_it_needs(void)
{
    choose_options();
    volumes_make_fixtures();
}

static struct child begin(bool kept)
{
    struct child child = { .seed = seed, .errors_fd = -1 };
    int ends[2];

    if (kept)
        child.errors_fd = memfd_create("errors", MFD_CLOEXEC);
    if (pipe(ends) != 0)
        sim_fail("no pipe");
    fflush(stdout);
    make_what_it_needs();
    child.pid = fork();
    if (child.pid == 0) {
        if (child.errors_fd >= 0)
            (void)dup2(child.errors_fd, STDERR_FILENO);
        be_child(ends[1]);
    }
    close(ends[1]);
    child.outcome_fd = ends[0];
    return child;
}

static void tell_errors(int fd)
{
    char text[4096];
    ssize_t bytes;

    (void)lseek(fd, 0, SEEK_SET);
    while ((bytes = read(fd, text, sizeof(text))) > 0)
        (void)fwrite(text, 1, (size_t)bytes, stderr);
}

static uint64_t cpu_ms_of(const struct rusage *usage)
{
    return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000 +
           (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1000;
}

/* Waits for it; false: it has failed, and that is told. */
static bool end(struct child *child, struct outcome *out)
{
    struct rusage usage = { 0 };
    int status = 0;
    bool whole =
        child->pid > 0 && read(child->outcome_fd, out, sizeof(*out)) == (ssize_t)sizeof(*out);

    close(child->outcome_fd);
    while (wait4(child->pid, &status, 0, &usage) < 0 && errno == EINTR)
        ;
    child->cpu_ms = cpu_ms_of(&usage);
    bool success = whole && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!success && child->errors_fd >= 0)
        tell_errors(child->errors_fd);
    if (child->errors_fd >= 0)
        close(child->errors_fd);
    if (WIFSIGNALED(status))
        printf("seed %" PRIu64 " ended by signal %d (%s)\n", child->seed, WTERMSIG(status),
               strsignal(WTERMSIG(status)));
    return success;
}

static bool run_apart(struct outcome *out)
{
    struct child child = begin(false);

    return end(&child, out);
}

static double now_s(void)
{
    struct timespec now;

    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_marks(const uint64_t totals[MARK_COUNT], const unsigned seeds_with[MARK_COUNT])
{
    for (unsigned i = 0; i < MARK_COUNT; i++)
        printf("%-24s %10" PRIu64 " in %u seeds\n", mark_name((enum mark)i), totals[i],
               seeds_with[i]);
}

static bool is_needed(enum mark mark)
{
    bool rare = mark == MARK_flush_failed_as_owed || mark == MARK_start_failed ||
                mark == MARK_client_silent || mark == MARK_header_damaged ||
                mark == MARK_beyond_32_bits || mark >= MARK_lie_in_handshake;

    return given->needed != NULL ? strcmp(given->needed, mark_name(mark)) == 0
                                 : given->every_mark && !rare;
}

/* What many seeds have come to. */
struct sum {
    uint64_t run, failed, events;
    uint64_t cpu_ms, longest_ms, longest_seed; /* of CPU: how busy others are does not matter */
    uint64_t marks[MARK_COUNT];
    unsigned seeds_with[MARK_COUNT];
};

/* Some run at a time, and are looked at in their order. */
struct line {
    struct child children[JOBS_MAX];
    unsigned first, count;
    uint64_t begun;
    double end_s;
};

static bool is_more(const struct line *line)
{
    return given->seconds > 0 ? now_s() < line->end_s : line->begun < given->seeds;
}

static void fill(struct line *line)
{
    for (; line->count < given->jobs && is_more(line); line->count++, line->begun++) {
        seed = given->first + line->begun;
        line->children[(line->first + line->count) % JOBS_MAX] = begin(given->jobs > 1);
    }
}

static struct child *take(struct line *line)
{
    struct child *child = &line->children[line->first];

    line->first = (line->first + 1) % JOBS_MAX;
    line->count--;
    return child;
}

static void add(struct sum *sum, const struct child *child, const struct outcome *outcome)
{
    sum->events += outcome->events;
    for (unsigned i = 0; i < MARK_COUNT; i++) {
        sum->marks[i] += outcome->marks[i];
        sum->seeds_with[i] += outcome->marks[i] > 0;
    }
    if (given->seeds == 1 || given->traces)
        printf("seed %" PRIu64 " trace %016" PRIx64 " events %" PRIu64 "\n", child->seed,
               outcome->hash, outcome->events);
}

static bool has_what_is_needed(const struct sum *sum)
{
    for (unsigned i = 0; i < MARK_COUNT && given->until_needed; i++)
        if (is_needed((enum mark)i) && sum->seeds_with[i] > 0)
            return true;
    return false;
}

static void add_cpu(struct sum *sum, const struct child *child)
{
    sum->cpu_ms += child->cpu_ms;
    if (child->cpu_ms < sum->longest_ms)
        return;
    sum->longest_ms = child->cpu_ms;
    sum->longest_seed = child->seed;
}

static void run_all(struct sum *sum)
{
    struct line line = { .end_s = now_s() + (double)given->seconds };
    bool enough = false;

    for (fill(&line); line.count > 0; enough ? (void)0 : fill(&line)) {
        struct outcome outcome = { 0 };
        struct child *child = take(&line);

        if (enough) /* nobody asks what has become of it */
            (void)kill(child->pid, SIGKILL);
        bool success = end(child, &outcome);
        if (enough)
            continue;
        sum->run++;
        add_cpu(sum, child);
        if (success) {
            add(sum, child, &outcome);
            enough = has_what_is_needed(sum);
            continue;
        }
        printf("seed %" PRIu64 " FAILED\n", child->seed);
        sum->failed++;
        enough = given->first_failure;
    }
}

static int run_many(void)
{
    struct sum sum = { 0 };
    double start_s = now_s();

    run_all(&sum);
    if (given->seeds != 1)
        print_marks(sum.marks, sum.seeds_with);
    double seconds = now_s() - start_s;
    printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " failed, %" PRIu64
           " events, %.1f s, %.1f seeds/s\n",
           sum.run, given->first, sum.failed, sum.events, seconds, (double)sum.run / seconds);
    if (sum.run > 0)
        printf("%" PRIu64 " ms of CPU for each, at most %" PRIu64 " (seed %" PRIu64 ")\n",
               sum.cpu_ms / sum.run, sum.longest_ms, sum.longest_seed);
    for (unsigned i = 0; i < MARK_COUNT; i++)
        if (sum.seeds_with[i] == 0 && is_needed((enum mark)i)) {
            printf("%s has never happened\n", mark_name((enum mark)i));
            sum.failed++;
        }
    return sum.failed > 0 ? 1 : 0;
}

/* ---- shrinking ---- */

static bool still_fails(const struct options *wanted)
{
    struct outcome outcome;

    chosen = wanted;
    return !run_apart(&outcome);
}

/* Tries the least value, then half of it; true: it became less. */
static bool shrink_option(struct options *least_known, unsigned n)
{
    uint64_t least, *value;

    options = *least_known;
    value = options_at(n, &least);
    uint64_t before = *value, tries[] = { least, (before + least) / 2 };
    for (unsigned i = 0; i < 2 && before > least; i++) {
        struct options wanted = *least_known;

        options = wanted;
        *value = tries[i];
        wanted = options;
        if (tries[i] < before && still_fails(&wanted)) {
            *least_known = wanted;
            return true;
        }
    }
    return false;
}

/* What fails with fewer clients, commands and faults is easier to understand. */
static int shrink(void)
{
    struct options least_known;
    int errors_fd = dup(STDERR_FILENO), nothing_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    bool less = true;

    seed = given->first;
    draw_options();
    least_known = options;
    (void)dup2(nothing_fd, STDERR_FILENO);
    while (less && still_fails(&least_known)) {
        uint64_t least;

        less = false;
        for (unsigned n = 0; options_at(n, &least) != NULL; n++)
            less |= shrink_option(&least_known, n);
    }
    (void)dup2(errors_fd, STDERR_FILENO);
    return still_fails(&least_known) ? 1 : 0;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    if (*end != '\0' || end == text)
        usage();
    return value;
}

int main(int argc, char **argv)
{
    struct arguments arguments = { .seeds = 1, .cpu_seconds = CPU_SECONDS_MAX };
    int at = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--verbose") == 0)
            arguments.verbose = true;
        else if (strcmp(argv[at], "--first-failure") == 0)
            arguments.first_failure = true;
        else if (strcmp(argv[at], "--traces") == 0)
            arguments.traces = true;
        else if (strcmp(argv[at], "--every-mark") == 0)
            arguments.every_mark = true;
        else if (strcmp(argv[at], "--shrink") == 0)
            arguments.shrink = true;
        else if (strcmp(argv[at], "--needs") == 0 && at + 1 < argc)
            arguments.needed = argv[++at];
        else if (strcmp(argv[at], "--until") == 0 && at + 1 < argc) {
            arguments.needed = argv[++at];
            arguments.until_needed = true;
        } else if (strcmp(argv[at], "--seeds") == 0 && at + 1 < argc)
            arguments.seeds = number(argv[++at]);
        else if (strcmp(argv[at], "--jobs") == 0 && at + 1 < argc)
            arguments.jobs = number(argv[++at]);
        else if (strcmp(argv[at], "--cpu-seconds") == 0 && at + 1 < argc)
            arguments.cpu_seconds = number(argv[++at]);
        else if (strcmp(argv[at], "--seconds") == 0 && at + 1 < argc)
            arguments.seconds = number(argv[++at]);
        else
            usage();
    }
    if (at == argc)
        usage();
    if (arguments.jobs == 0)
        arguments.jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (arguments.jobs > JOBS_MAX)
        arguments.jobs = JOBS_MAX;
    if (arguments.seconds == 0 && arguments.seeds == 1)
        arguments.jobs = 1; /* it says what it does at once */
    arguments.first = number(argv[at]);
    arguments.settings = argv + at + 1;
    arguments.setting_count = argc - at - 1;
    if (arguments.seconds > 0)
        arguments.seeds = 0;
    given = &arguments;
    random_seed(0);
    image_set_backends(plugin_table);
    wire_make_key();
    pki_make();
    return arguments.shrink ? shrink() : run_many();
}
