#include "tests/sim/jobs.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/command-key.h"
#include "tests/sim/files.h"
#include "tests/sim/loop-hosts.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define KEYS_MAX 12u
#define KILLED_PER_MILLE 250u
#define FIRST_KEY "key" /* it is never removed */

enum key_state { KEY_UNKNOWN, KEY_THERE, KEY_GONE };

static struct key {
    char name[16];
    enum key_state state;
} keys[KEYS_MAX] = { { .name = FIRST_KEY, .state = KEY_THERE } };

static unsigned key_count = 1;

static struct {
    unsigned host; /* 0: none is at work */
    int status;
    bool ended;
    struct fiber *fiber;
    const char *words[16];
} job;

static bool wanted, may_be_killed = true;
static struct fiber *changer;

const char *jobs_key(void)
{
    const char *there[KEYS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < key_count; i++)
        if (keys[i].state == KEY_THERE)
            there[count++] = keys[i].name;
    return there[random_below(STREAM_OPERATOR, count)];
}

/* ---- a command ---- */

static void *run(void *nothing)
{
    int count = 0, used = 0;

    while (job.words[count] != NULL)
        count++;
    const struct command *command =
        command_line_find(&command_key, 1, (char **)(uintptr_t)job.words, &used);
    job.status = command_line_run(command, count, (char **)(uintptr_t)job.words);
    job.ended = true;
    fiber_wake_all(&job);
    return nothing;
}

void jobs_kill(void)
{
    if (job.host == 0)
        return;
    trace_event("the command is killed", 0, 0, 0, 0);
    mark(MARK_job_killed);
    host_kill(job.host);
    loops_kill(job.host);
    files_close_all(job.host);
    job.host = 0;
    fiber_wake_all(&job);
}

/* Now and then it does not come to its end. */
static void wait_or_kill(void)
{
    uint64_t until_ns = sim_now_ns + random_skewed(STREAM_OPERATOR, NS_PER_US, 500 * NS_PER_MS);

    if (random_chance(STREAM_OPERATOR, may_be_killed ? KILLED_PER_MILLE : 0)) {
        while (job.host != 0 && !job.ended && fiber_wait_until(&job, until_ns))
            ;
        if (!job.ended)
            jobs_kill();
    }
    while (job.host != 0 && !job.ended)
        fiber_wait(&job);
}

/* Its exit status; -1: it was killed. */
static int wait_for_job(const char *const *words, unsigned count)
{
    memset(&job, 0, sizeof(job));
    memcpy(job.words, words, count * sizeof(*words));
    if (options.detached) {
        job.words[count++] = "--header";
        job.words[count++] = SIM_FOLDER VOLUME_HEADER;
    }
    job.words[count++] = SIM_FOLDER VOLUME_IMAGE;
    job.host = host_create();
    trace_text(words[0]);
    job.fiber = fiber_start("job", job.host, run, NULL);
    wait_or_kill();
    if (job.host == 0)
        return -1;
    (void)fiber_join(job.fiber);
    if (files_open_count(job.host) > 0 || loops_count(job.host) > 0 ||
        host_fiber_count(job.host) > 0)
        sim_fail("the command 'key %s' has left something", words[0]);
    job.host = 0;
    trace_event("the command ended with status %llu", (uint64_t)job.status, 0, 0, 0);
    return job.status;
}

/* ---- what they change ---- */

static struct key *new_key(void)
{
    struct key *key = &keys[key_count++];

    (void)snprintf(key->name, sizeof(key->name), "key-%u", key_count);
    key->state = KEY_GONE;
    return key;
}

static struct key *key_to_change(void)
{
    for (unsigned i = 1; i < key_count; i++)
        if (keys[i].state == KEY_THERE)
            return &keys[i];
    return NULL;
}

/* What a command that failed or was killed has done is open. */
static void note(struct key *key, enum key_state after, int status)
{
    if (key != NULL)
        key->state = status == 0 ? after : KEY_UNKNOWN;
    if (status == 0)
        mark(MARK_key_changed);
}

static void add(void)
{
    struct key *key = new_key();
    const char *words[] = { "add",     "--key-file", FIRST_KEY, "--new-key-file",
                            key->name, "--pbkdf",    "pbkdf2",  "--pbkdf-iterations",
                            "1000" };

    key->state = KEY_UNKNOWN;
    note(key, KEY_THERE, wait_for_job(words, 9));
}

static void change(struct key *old)
{
    struct key *key = new_key();
    const char *words[] = { "change",  "--key-file", old->name, "--new-key-file",
                            key->name, "--pbkdf",    "pbkdf2",  "--pbkdf-iterations",
                            "1000" };

    key->state = old->state = KEY_UNKNOWN;
    int status = wait_for_job(words, 9);
    note(key, KEY_THERE, status);
    note(old, KEY_GONE, status);
}

static void remove_key(struct key *old)
{
    const char *words[] = { "remove", "--key-file", old->name };

    old->state = KEY_UNKNOWN;
    note(old, KEY_GONE, wait_for_job(words, 3));
}

static void *change_keys(void *nothing)
{
    while (wanted && key_count + 1 < KEYS_MAX) {
        struct key *key = key_to_change();

        fiber_sleep(random_skewed(STREAM_OPERATOR, NS_PER_MS, options.job_ms * NS_PER_MS));
        if (!wanted)
            break;
        if (key == NULL)
            add();
        else if (random_chance(STREAM_OPERATOR, 500))
            change(key);
        else
            remove_key(key);
    }
    return nothing;
}

void jobs_begin(void)
{
    wanted = options.job_ms > 0 && options.layer > 0 && !options.remote;
    if (wanted)
        changer = fiber_start("changer", HOST_WORLD, change_keys, NULL);
}

bool jobs_go_on(void)
{
    return wanted;
}

void jobs_end(void)
{
    wanted = false;
    if (changer != NULL)
        (void)fiber_join(changer);
    changer = NULL;
}

void jobs_verify(void)
{
    may_be_killed = false;
    for (unsigned i = 0; i < key_count && options.layer > 0 && !options.remote; i++) {
        const char *words[] = { "test", "--key-file", keys[i].name };

        if (keys[i].state == KEY_UNKNOWN)
            continue;
        int status = wait_for_job(words, 3);
        if (keys[i].state == KEY_THERE && status != 0)
            sim_fail("'%s' opens the volume no more", keys[i].name);
        if (keys[i].state == KEY_GONE && status == 0)
            sim_fail("'%s' opens the volume, and was told to be gone", keys[i].name);
    }
}
