/* simulate-ring [--verbose] [--first-failure] [--every-mark] [--seeds N] SEED
 *
 * Runs the real server/loop/loop.c on a simulated io_uring; each seed in a process of its own.
 * See README.md. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/random.h"
#include "tests/sim/ring-kernel.h"
#include "tests/sim/ring-work.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

#define CPU_SECONDS_MAX 20u /* of a seed */

struct outcome {
    uint64_t hash, events;
    unsigned marks[RING_MARK_COUNT];
};

static const char *const mark_names[] = {
#define RING_MARK_NAME(name) #name,
    RING_MARKS(RING_MARK_NAME)
#undef RING_MARK_NAME
};

static uint64_t seed, seeds = 1;
static bool verbose, first_failure, every_mark;

static void usage(void)
{
    fprintf(stderr, "usage: simulate-ring [--verbose] [--first-failure] [--every-mark] [--seeds N] "
                    "SEED\n");
    exit(2);
}

static void show_how(void)
{
    ring_work_show();
    fprintf(stderr, "again: simulate-ring %" PRIu64 "\n", seed);
}

static void run_seed(struct outcome *out)
{
    sim_fail_shows(show_how);
    random_seed(seed);
    if (verbose)
        trace_aloud();
    schedule_run(fiber_start("world", HOST_WORLD, ring_work, NULL));
    out->hash = trace_hash();
    out->events = trace_event_count();
    memcpy(out->marks, ring_marks, sizeof(out->marks));
}

static bool run_apart(struct outcome *out)
{
    int ends[2], status;

    if (pipe(ends) != 0)
        sim_fail("no pipe");
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = { CPU_SECONDS_MAX, CPU_SECONDS_MAX };
        struct outcome own = { 0 };

        (void)setrlimit(RLIMIT_CPU, &limit);
        run_seed(&own);
        _exit(write(ends[1], &own, sizeof(own)) == (ssize_t)sizeof(own) ? 0 : 1);
    }
    close(ends[1]);
    bool whole = child > 0 && read(ends[0], out, sizeof(*out)) == (ssize_t)sizeof(*out);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (whole && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status))
        fprintf(stderr, "FAILED: ended by signal %d (%s)\n", WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    return false;
}

static int run_many(void)
{
    uint64_t totals[RING_MARK_COUNT] = { 0 }, first = seed, run = 0, failed = 0;

    for (; run < seeds; seed++, run++) {
        struct outcome outcome = { 0 };

        if (!run_apart(&outcome)) {
            printf("seed %" PRIu64 " FAILED\n", seed);
            failed++;
            if (first_failure && ++run)
                break;
            continue;
        }
        for (unsigned i = 0; i < RING_MARK_COUNT; i++)
            totals[i] += outcome.marks[i];
        if (seeds == 1)
            printf("seed %" PRIu64 " trace %016" PRIx64 " events %" PRIu64 "\n", seed, outcome.hash,
                   outcome.events);
    }
    for (unsigned i = 0; i < RING_MARK_COUNT && seeds > 1; i++)
        printf("%-24s %10" PRIu64 "\n", mark_names[i], totals[i]);
    printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64 " failed\n", run, first, failed);
    for (unsigned i = 0; i < RING_MARK_COUNT && every_mark; i++)
        if (totals[i] == 0) {
            printf("%s has never happened\n", mark_names[i]);
            failed++;
        }
    return failed > 0 ? 1 : 0;
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
    int at = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--verbose") == 0)
            verbose = true;
        else if (strcmp(argv[at], "--first-failure") == 0)
            first_failure = true;
        else if (strcmp(argv[at], "--every-mark") == 0)
            every_mark = true;
        else if (strcmp(argv[at], "--seeds") == 0 && at + 1 < argc)
            seeds = number(argv[++at]);
        else
            usage();
    }
    if (at + 1 != argc)
        usage();
    seed = number(argv[at]);
    return run_many();
}
