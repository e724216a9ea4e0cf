#include "tests/sim/job.h"

#include <stdint.h>
#include <string.h>

#include "tests/sim/files.h"
#include "tests/sim/loop-hosts.h"
#include "tests/sim/op.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define KILLED_PER_MILLE 250u

static struct {
    unsigned host; /* 0: none is at work */
    int status;
    bool ended;
    struct fiber *fiber;
    const struct command *program;
    const char *words[JOB_WORDS_MAX];
} job;

static void (*cut_power)(void);
static unsigned cut_at;    /* so many of its writes are done; 0: it is not cut off */
static bool cut_in_header; /* only those of the header itself count, not those of keyslots */

static void *run(void *nothing)
{
    int count = 0, used = 0;

    while (job.words[count] != NULL)
        count++;
    char **words = (char **)(uintptr_t)job.words;
    const struct command *command = command_line_find(job.program, 1, words, &used);
    job.status = command_line_run(command, count, words);
    job.ended = true;
    fiber_wake_all(&job);
    return nothing;
}

void job_kill(void)
{
    if (job.host == 0)
        return;
    trace_event("the command is killed", 0, 0, 0, 0);
    mark(MARK_job_killed);
    loops_kill(job.host); /* what is in flight reads stacks */
    host_kill(job.host);
    files_close_all(job.host);
    job.host = 0;
    fiber_wake_all(&job);
}

/* An event, at one of its writes. */
static void cut_off(void *nothing)
{
    (void)nothing;
    if (job.host == 0)
        return;
    mark(MARK_job_cut_at_a_write);
    if (cut_in_header)
        mark(MARK_job_cut_in_its_header);
    job_kill();
    if (cut_power != NULL)
        cut_power();
}

/* Now and then it does not come to its end. */
static void wait_or_kill(bool killable)
{
    uint64_t until_ns = sim_now_ns + random_skewed(STREAM_OPERATOR, NS_PER_US, 500 * NS_PER_MS);

    if (random_chance(STREAM_OPERATOR, killable ? KILLED_PER_MILLE : 0)) {
        while (job.host != 0 && !job.ended && fiber_wait_until(&job, until_ns))
            ;
        if (!job.ended)
            job_kill();
    }
    while (job.host != 0 && !job.ended)
        fiber_wait(&job);
}

struct job_words job_words_of(const struct command *program, const char *const *words)
{
    struct job_words out = { .program = program };

    while (words[out.count] != NULL) {
        out.words[out.count] = words[out.count];
        out.count++;
    }
    return out;
}

struct job_words job_with_operand(struct job_words words, const char *operand)
{
    words.operand = operand;
    return words;
}

void job_cut_off_at(unsigned writes, bool in_header, void (*power_cut)(void))
{
    cut_at = writes;
    cut_in_header = in_header;
    cut_power = power_cut;
}

int job_run(struct job_words words, bool killable)
{
    memset(&job, 0, sizeof(job));
    if (options.detached) {
        words.words[words.count++] = "--header";
        words.words[words.count++] = SIM_FOLDER VOLUME_HEADER;
    }
    words.words[words.count++] = SIM_FOLDER VOLUME_IMAGE;
    if (words.operand != NULL)
        words.words[words.count++] = words.operand;
    memcpy(job.words, words.words, sizeof(job.words));
    job.program = words.program;
    job.host = host_create();
    trace_text(words.words[0]);
    job.fiber = fiber_start("job", job.host, run, NULL);
    if (killable && cut_at > 0)
        op_watch_writes(job.host, cut_at, cut_in_header ? volumes_header_bytes() : 0, cut_off);
    wait_or_kill(killable);
    if (job.host == 0)
        return -1;
    (void)fiber_join(job.fiber);
    if (files_open_count(job.host) > 0 || loops_count(job.host) > 0 ||
        host_fiber_count(job.host) > 0)
        sim_fail("the command '%s' has left something", words.words[0]);
    job.host = 0;
    trace_event("the command ended with status %llu", (uint64_t)job.status, 0, 0, 0);
    return job.status;
}
