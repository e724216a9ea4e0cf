#include "tests/sim/jobs.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/command-header.h"
#include "server/cli/command-key.h"
#include "tests/sim/files.h"
#include "tests/sim/loop-hosts.h"
#include "tests/sim/op.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define WORDS_MAX 32u
#define KEYS_MAX 24u
#define KILLED_PER_MILLE 250u
#define CUT_PER_MILLE 700u
#define WRITES_FEW 24u   /* of a change of a key, */
#define WRITES_MANY 90u  /* and of a header that is restored */
#define HEADER_WRITES 3u /* of these, to the header itself */
#define CUT_IN_HEADER_PER_MILLE 300u
#define RARE_PER_MILLE 250u
#define TRIES_MAX 200u
#define ITERATIONS "--pbkdf", "pbkdf2", "--pbkdf-iterations", "1000"
#define PATH_BACKUP SIM_FOLDER VOLUME_BACKUP

enum key_state { KEY_GONE, KEY_THERE, KEY_UNKNOWN };

/* What is known of each key; those that were not made yet are gone. */
struct keys {
    enum key_state states[KEYS_MAX];
};

static char names[KEYS_MAX][16] = { JOBS_FIRST_KEY };
static unsigned key_count = 1;
static struct keys known = { { KEY_THERE } }, in_backup;
static enum risk risk;               /* of the command at work */
static bool copies_are_whole = true; /* of the header, as far as commands write it */

static struct {
    unsigned host; /* 0: none is at work */
    int status;
    bool ended;
    struct fiber *fiber;
    const struct command *program;
    const char *words[WORDS_MAX];
} job;

static bool wanted, busy, has_backup, wrecked;
static struct fiber *changer;
static void (*cut_power)(void);
static unsigned cut_at;    /* so many of its writes are done; 0: it is not cut off */
static bool cut_in_header; /* only those of the header itself count, not those of keyslots */

const char *jobs_key(void)
{
    const char *there[KEYS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < key_count; i++)
        if (known.states[i] == KEY_THERE)
            there[count++] = names[i];
    return count > 0 ? there[random_below(STREAM_OPERATOR, count)] : JOBS_FIRST_KEY;
}

static bool has(const struct keys *keys, enum key_state state)
{
    for (unsigned i = 0; i < key_count; i++)
        if (keys->states[i] == state)
            return true;
    return false;
}

static bool any_is_there(void)
{
    return has(&known, KEY_THERE);
}

void jobs_are_at_risk(enum risk of)
{
    risk = of;
}

/* ---- a process ---- */

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

void jobs_kill(void)
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
    jobs_kill();
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
            jobs_kill();
    }
    while (job.host != 0 && !job.ended)
        fiber_wait(&job);
}

/* A command as its words, which begin with the last one of its name. */
struct words {
    const struct command *program;
    const char *words[WORDS_MAX];
    unsigned count;
    const char *operand; /* behind IMAGE; NULL: none */
};

static struct words words_of(const struct command *program, const char *const *words)
{
    struct words out = { .program = program };

    while (words[out.count] != NULL) {
        out.words[out.count] = words[out.count];
        out.count++;
    }
    return out;
}

static struct words with_operand(struct words words, const char *operand)
{
    words.operand = operand;
    return words;
}

#define WORDS(program, ...) words_of(program, (const char *const[]){ __VA_ARGS__, NULL })

/* Its exit status; -1: it was killed. */
static int run_job(struct words words, bool killable)
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

/* ---- what is known afterwards ---- */

static bool opens(unsigned index, bool *failed)
{
    uint64_t errors = volumes_errors();
    int status = run_job(WORDS(&command_key, "test", "--key-file", names[index]), false);

    *failed = status < 0 || volumes_errors() != errors;
    return status == 0;
}

static bool differs(const struct keys *before, const struct keys *after, unsigned index)
{
    return before->states[index] != after->states[index] && before->states[index] != KEY_UNKNOWN &&
           after->states[index] != KEY_UNKNOWN;
}

/* All of it has happened, or nothing.  A LUKS1 header is one copy of two sectors, in which each key
 * comes or goes for itself; but there is always one. */
static void look(const struct keys *before, const struct keys *after)
{
    const struct keys *found = NULL;

    for (unsigned i = 0; i < key_count; i++) {
        bool failed;

        if (!differs(before, after, i))
            continue;
        bool open = opens(i, &failed);
        if (failed)
            return;
        const struct keys *one = (after->states[i] == KEY_THERE) == open ? after : before;
        trace_event("key %llu says that the command has happened: %llu", i, one == after, 0, 0);
        if (found != NULL && found != one && options.layer != 1)
            sim_fail("a command that was cut off has changed a part of the keys");
        found = one;
        known.states[i] = open ? KEY_THERE : KEY_GONE;
    }
    mark(MARK_job_looked_at);
    if (has(before, KEY_THERE) && has(after, KEY_THERE) && !any_is_there() &&
        !has(&known, KEY_UNKNOWN))
        sim_fail("a command that was cut off has left no key");
}

/* What has come of it is open where the two differ. */
static void forget(const struct keys *before, const struct keys *after)
{
    for (unsigned i = 0; i < key_count; i++)
        known.states[i] = risk == RISK_ALL || before->states[i] != after->states[i]
                              ? KEY_UNKNOWN
                              : before->states[i];
}

static void check(unsigned index)
{
    bool failed;

    if (known.states[index] == KEY_UNKNOWN)
        return;
    bool open = opens(index, &failed);
    if (known.states[index] == KEY_THERE && !open && !failed)
        sim_fail("'%s' opens the volume no more", names[index]);
    if (known.states[index] == KEY_GONE && open)
        sim_fail("'%s' opens the volume, and was told to be gone", names[index]);
}

/* Of a command that would make `after` of them. */
static int change_keys(struct words words, const struct keys *after, bool killable)
{
    struct keys before = known;
    uint64_t errors = volumes_errors();

    risk = RISK_NONE;
    forget(&before, after);
    int status = run_job(words, killable);
    copies_are_whole = status == 0 && after != &in_backup; /* which has them as they were then */
    if (status == 0) {
        known = *after;
        mark(MARK_key_changed);
        if (random_chance(STREAM_OPERATOR, 300))
            check((unsigned)random_below(STREAM_OPERATOR, key_count));
    } else if (status > 0 && volumes_errors() == errors) {
        known = before; /* it was refused */
    } else {
        forget(&before, after);
        if (!risk && volumes_errors() <= errors + 1) /* which it has undone */
            look(&before, after);
    }
    return status;
}

/* ---- commands ---- */

static int find_key_to_change(void)
{
    for (unsigned i = 1; i < key_count; i++)
        if (known.states[i] == KEY_THERE)
            return (int)i;
    return -1;
}

static unsigned new_key(void)
{
    unsigned index = key_count++;

    (void)snprintf(names[index], sizeof(names[index]), "key-%u", index);
    return index;
}

static void add(bool killable)
{
    unsigned index = new_key();
    struct keys after = known;

    after.states[index] = KEY_THERE;
    (void)change_keys(WORDS(&command_key, "add", "--key-file", jobs_key(), "--new-key-file",
                            names[index], ITERATIONS),
                      &after, killable);
}

static void change(unsigned old, bool killable)
{
    unsigned index = new_key();
    struct keys after = known;

    after.states[index] = KEY_THERE;
    after.states[old] = KEY_GONE;
    (void)change_keys(WORDS(&command_key, "change", "--key-file", names[old], "--new-key-file",
                            names[index], ITERATIONS),
                      &after, killable);
}

static void remove_key(unsigned old, bool killable)
{
    struct keys after = known;

    after.states[old] = KEY_GONE;
    (void)change_keys(WORDS(&command_key, "remove", "--key-file", names[old]), &after, killable);
}

static void backup(bool killable)
{
    struct words words = with_operand(WORDS(&command_header, "backup", "--force"), PATH_BACKUP);

    if (known.states[0] != KEY_THERE || run_job(words, killable) != 0)
        return;
    mark(MARK_header_backup);
    has_backup = true;
    in_backup = known;
}

static int restore(bool killable)
{
    /* What is left of keys is data for it, which may be somebody's. */
    bool force = wrecked && random_chance(STREAM_OPERATOR, 500);
    struct words words = WORDS(&command_header, "restore", force ? "--force" : "--yes");

    words.operand = PATH_BACKUP;
    int status = change_keys(words, &in_backup, killable);
    if (status == 0) {
        mark(MARK_header_restored);
        wrecked = false;
    }
    return status;
}

/* Nothing opens the volume until it is restored. */
static void wreck(void)
{
    volumes_wreck_header(options.layer > 1 && random_chance(STREAM_RARE, 300));
    mark(MARK_header_wrecked);
    wrecked = true;
    for (unsigned i = 0; i < KEYS_MAX; i++)
        known.states[i] = KEY_UNKNOWN;
}

static void erase(bool killable)
{
    struct keys after = { { KEY_GONE } };

    if (change_keys(WORDS(&command_erase, "erase", "--yes"), &after, killable) == 0)
        mark(MARK_header_erased);
}

/* A header is written anew, and all keys stay. */
static void switch_discard(bool killable)
{
    const char *state = random_chance(STREAM_OPERATOR, 500) ? "on" : "off";
    struct keys after = known;

    (void)change_keys(with_operand(WORDS(&command_header, "discard"), state), &after, killable);
}

/* Keys stay, and which is tried first may be another one. */
static void look_at_keyslots(bool killable)
{
    struct words words = WORDS(&command_key, "priority", "--slot", "0");
    struct keys after = known;

    words.operand = random_chance(STREAM_OPERATOR, 500) ? "prefer" : "normal";
    if (random_chance(STREAM_OPERATOR, 500))
        (void)run_job(WORDS(&command_key, "list"), false);
    else
        (void)change_keys(words, &after, killable);
}

/* ---- what is rarer, or wrong: drawn from a stream of its own ---- */

static bool rare(unsigned per_mille)
{
    return random_chance(STREAM_RARE, per_mille);
}

/* Nothing comes of it. */
static void refuse(struct words words, const char *why)
{
    struct keys before = known;

    mark(MARK_job_refused);
    if (run_job(words, false) == 0)
        sim_fail("the command '%s' was carried out: %s", words.words[0], why);
    known = before;
}

static void ask_for_what_cant_be(void)
{
    const char *there = jobs_key(), *nowhere = "key-of-nobody";

    switch (random_below(STREAM_RARE, 9)) {
    case 0:
        refuse(WORDS(&command_key, "add", "--key-file", nowhere, "--new-key-file", "key-x",
                     ITERATIONS),
               "the old key opens nothing");
        break;
    case 1:
        refuse(WORDS(&command_key, "change", "--key-file", nowhere, "--new-key-file", "key-x",
                     ITERATIONS),
               "the old key opens nothing");
        break;
    case 2:
        refuse(WORDS(&command_key, "remove", "--key-file", nowhere), "the key opens nothing");
        break;
    case 3:
        refuse(WORDS(&command_key, "remove", "--slot", "31"), "there is no such keyslot");
        break;
    case 4:
        refuse(WORDS(&command_key, "add", "--key-file", there, "--new-key-file", "key-x",
                     "--new-slot", "31", "--priority", "prefer", "--pbkdf", "argon2i",
                     "--pbkdf-memory-kib", "1"),
               "no function takes so little memory");
        break;
    case 5:
        refuse(with_operand(WORDS(&command_key, "priority", "--slot", "31"), "prefer"),
               "there is no such keyslot");
        break;
    case 6:
        refuse(WORDS(&command_erase, "erase"), "nobody has confirmed it");
        break;
    case 7:
        refuse(
            with_operand(WORDS(&command_header, "restore", "--yes"), SIM_FOLDER VOLUME_OTHER "1"),
            "the backup is none");
        break;
    default:
        volumes_make_foreign_backup();
        refuse(with_operand(WORDS(&command_header, "restore", "--yes"), SIM_FOLDER VOLUME_FOREIGN),
               "the backup is of another volume");
        break;
    }
}

/* In a keyslot that is named, which may be in use, by a function that takes memory. */
static void add_in_detail(bool killable)
{
    unsigned index = new_key();
    struct keys after = known;
    char slot[4];

    (void)snprintf(slot, sizeof(slot), "%u", (unsigned)random_below(STREAM_RARE, 8));
    after.states[index] = KEY_THERE;
    struct words words = WORDS(&command_key, "add", "--key-file", jobs_key(), "--new-key-file",
                               names[index], "--new-slot", slot, "--pbkdf");
    words.words[words.count++] = options.layer > 1 ? "argon2id" : "pbkdf2";
    words.words[words.count++] = "--pbkdf-iterations";
    words.words[words.count++] = options.layer > 1 ? "4" : "1000";
    if (options.layer > 1) {
        words.words[words.count++] = "--pbkdf-memory-kib";
        words.words[words.count++] = "32";
        words.words[words.count++] = "--pbkdf-parallel";
        words.words[words.count++] = "1";
        words.words[words.count++] = "--priority";
        words.words[words.count++] = "prefer";
    }
    (void)change_keys(words, &after, killable);
}

/* The header says of holes what the server is told anyway. */
static void record_zero_holes(bool killable)
{
    struct keys after = known;

    if (!options.zero_holes)
        return;
    (void)change_keys(
        with_operand(WORDS(&command_header, "zero-holes", "--yes"), rare(500) ? "on" : "off"),
        &after, killable);
}

static void list_for_scripts(void)
{
    (void)run_job(rare(500) ? WORDS(&command_key, "list", "--json")
                            : WORDS(&command_key, "test", "--slot", "0", "--key-file", jobs_key()),
                  false);
}

/* A change is made of the other copy, and makes both good again. */
static void damage_one_copy(void)
{
    if (options.layer < 2 || options.zero_holes || !copies_are_whole)
        return; /* a server with zero-holes writes the header, too */
    volumes_damage_header(rare(500));
    copies_are_whole = false;
    mark(MARK_header_damaged);
}

/* Beside a server, too.  True: it was one of these. */
static bool change_rarely(bool killable)
{
    if (!any_is_there() || !rare(RARE_PER_MILLE))
        return false;
    switch (random_below(STREAM_RARE, 5)) {
    case 0:
        list_for_scripts();
        break;
    case 1:
        record_zero_holes(killable);
        break;
    case 2:
        if (key_count + 1 < KEYS_MAX)
            add_in_detail(killable);
        break;
    default:
        ask_for_what_cant_be();
        break;
    }
    return true;
}

static void change_one_key(bool killable)
{
    int index = find_key_to_change();

    if (change_rarely(killable))
        return;
    if (random_chance(STREAM_OPERATOR, 150))
        look_at_keyslots(killable);
    else if (key_count + 1 >= KEYS_MAX || random_chance(STREAM_OPERATOR, 150))
        switch_discard(killable);
    else if (!any_is_there())
        return;
    else if (index < 0)
        add(killable);
    else if (random_chance(STREAM_OPERATOR, 500))
        change((unsigned)index, killable);
    else
        remove_key((unsigned)index, killable);
}

/* ---- beside the server ---- */

/* It has the image: what replaces its header is refused. */
static void try_to_replace(void)
{
    if (has_backup && random_chance(STREAM_OPERATOR, 500))
        (void)restore(false);
    else
        backup(true);
}

static void *change_now_and_then(void *nothing)
{
    while (wanted) {
        fiber_sleep(random_skewed(STREAM_OPERATOR, NS_PER_MS, options.job_ms * NS_PER_MS));
        if (!wanted || busy)
            continue;
        busy = true;
        if (!any_is_there())
            (void)restore(false);
        else if (random_chance(STREAM_OPERATOR, 300))
            try_to_replace();
        else
            change_one_key(true);
        busy = false;
        fiber_wake_all(&busy);
    }
    return nothing;
}

static bool is_wanted(void)
{
    return options.job_ms > 0 && options.layer > 0 && !options.remote;
}

void jobs_begin(void)
{
    wanted = is_wanted();
    if (wanted)
        changer = fiber_start("changer", HOST_WORLD, change_now_and_then, NULL);
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

/* ---- while there is no server ---- */

static void do_one(void)
{
    uint64_t drawn = random_below(STREAM_OPERATOR, 10);

    if (any_is_there() && rare(RARE_PER_MILLE))
        damage_one_copy();
    if (!has_backup || drawn == 0)
        backup(true);
    else if (!any_is_there() || drawn < 4)
        (void)restore(true);
    else if (drawn < 6)
        erase(true);
    else if (drawn < 7)
        wreck();
    else
        change_one_key(true);
}

static void do_one_and_cut(void (*power_cut)(void))
{
    bool power = random_chance(STREAM_OPERATOR, 700);

    cut_power = power ? power_cut : NULL;
    if (random_chance(STREAM_OPERATOR, CUT_PER_MILLE))
        cut_at = 1 + (unsigned)random_below(STREAM_OPERATOR, random_chance(STREAM_OPERATOR, 400)
                                                                 ? WRITES_MANY
                                                                 : WRITES_FEW);
    cut_in_header = random_chance(STREAM_RARE, CUT_IN_HEADER_PER_MILLE);
    if (cut_in_header)
        cut_at = 1 + (unsigned)random_below(STREAM_RARE, HEADER_WRITES);
    do_one();
    cut_in_header = false;
    cut_at = 0;
    cut_power = NULL;
}

/* Until the server can be started. */
static void mend(void)
{
    for (unsigned i = 0; !any_is_there(); i++) {
        if (i == TRIES_MAX / 2)
            volumes_end_faults();
        if (i == TRIES_MAX)
            sim_fail("a header can't be restored, and nothing fails any more");
        (void)restore(false);
    }
}

void jobs_without_server(void (*power_cut)(void))
{
    unsigned count = (unsigned)random_below(STREAM_OPERATOR, 6);

    if (!is_wanted())
        return;
    while (busy)
        fiber_wait(&busy);
    busy = true;
    if (!has_backup)
        backup(true);
    for (unsigned i = 0; wanted && i < count; i++)
        do_one_and_cut(power_cut);
    mend();
    busy = false;
    fiber_wake_all(&busy);
}

void jobs_verify(void)
{
    for (unsigned i = 0; i < key_count && options.layer > 0 && !options.remote; i++)
        check(i);
}
