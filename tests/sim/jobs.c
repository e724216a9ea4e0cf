#include "tests/sim/jobs.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/cli/command-header.h"
#include "server/cli/command-key.h"
#include "tests/sim/files.h"
#include "tests/sim/job.h"
#include "tests/sim/keys.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define CUT_PER_MILLE 700u
#define WRITES_FEW 24u   /* of a change of a key, */
#define WRITES_MANY 90u  /* and of a header that is restored */
#define HEADER_WRITES 3u /* of these, to the header itself */
#define CUT_IN_HEADER_PER_MILLE 300u
#define RARE_PER_MILLE 250u
#define TRIES_MAX 200u
#define ITERATIONS "--pbkdf", "pbkdf2", "--pbkdf-iterations", "1000"
#define PATH_BACKUP SIM_FOLDER VOLUME_BACKUP

static bool wanted, busy, has_backup, wrecked;
static struct fiber *changer;
static struct keys in_backup;
static bool copies_are_whole = true; /* of the header, as far as commands write it */

/* ---- commands ---- */

static int find_key_to_change(void)
{
    for (unsigned i = 1; i < keys_count(); i++)
        if (keys_known.states[i] == KEY_THERE)
            return (int)i;
    return -1;
}

/* Of a command that would make `after` of them. */
static int change_keys(struct job_words words, const struct keys *after, bool killable)
{
    uint64_t errors = volumes_errors();
    int status = keys_change(words, after, killable);

    /* A change is done although one copy could not be written, which is told; and a backup has them
     * as they were then. */
    copies_are_whole = status == 0 && volumes_errors() == errors && after != &in_backup;
    return status;
}

static void add(bool killable)
{
    unsigned index = keys_make();
    struct keys after = keys_known;

    after.states[index] = KEY_THERE;
    (void)change_keys(JOB_WORDS(&command_key, "add", "--key-file", keys_any(), "--new-key-file",
                                keys_name(index), ITERATIONS),
                      &after, killable);
}

static void change(unsigned old, bool killable)
{
    unsigned index = keys_make();
    struct keys after = keys_known;

    after.states[index] = KEY_THERE;
    after.states[old] = KEY_GONE;
    (void)change_keys(JOB_WORDS(&command_key, "change", "--key-file", keys_name(old),
                                "--new-key-file", keys_name(index), ITERATIONS),
                      &after, killable);
}

static void remove_key(unsigned old, bool killable)
{
    struct keys after = keys_known;

    after.states[old] = KEY_GONE;
    (void)change_keys(JOB_WORDS(&command_key, "remove", "--key-file", keys_name(old)), &after,
                      killable);
}

static void backup(bool killable)
{
    struct job_words words =
        job_with_operand(JOB_WORDS(&command_header, "backup", "--force"), PATH_BACKUP);

    if (keys_known.states[0] != KEY_THERE || job_run(words, killable) != 0)
        return;
    mark(MARK_header_backup);
    has_backup = true;
    in_backup = keys_known;
}

static int restore(bool killable)
{
    /* What is left of keys is data for it, which may be somebody's. */
    bool force = wrecked && random_chance(STREAM_OPERATOR, 500);
    struct job_words words = JOB_WORDS(&command_header, "restore", force ? "--force" : "--yes");

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
        keys_known.states[i] = KEY_UNKNOWN;
}

static void erase(bool killable)
{
    struct keys after = { { KEY_GONE } };

    if (change_keys(JOB_WORDS(&command_erase, "erase", "--yes"), &after, killable) == 0)
        mark(MARK_header_erased);
}

/* A header is written anew, and all keys stay. */
static void switch_discard(bool killable)
{
    const char *state = random_chance(STREAM_OPERATOR, 500) ? "on" : "off";
    struct keys after = keys_known;

    (void)change_keys(job_with_operand(JOB_WORDS(&command_header, "discard"), state), &after,
                      killable);
}

/* Keys stay, and which is tried first may be another one. */
static void look_at_keyslots(bool killable)
{
    struct job_words words = JOB_WORDS(&command_key, "priority", "--slot", "0");
    struct keys after = keys_known;

    words.operand = random_chance(STREAM_OPERATOR, 500) ? "prefer" : "normal";
    if (random_chance(STREAM_OPERATOR, 500))
        (void)job_run(JOB_WORDS(&command_key, "list"), false);
    else
        (void)change_keys(words, &after, killable);
}

/* ---- what is rarer, or wrong: drawn from a stream of its own ---- */

static bool rare(unsigned per_mille)
{
    return random_chance(STREAM_RARE, per_mille);
}

/* Nothing comes of it. */
static void refuse(struct job_words words, const char *why)
{
    mark(MARK_job_refused);
    if (job_run(words, false) == 0)
        sim_fail("the command '%s' was carried out: %s", words.words[0], why);
}

static void ask_for_what_cant_be(void)
{
    const char *there = keys_any(), *nowhere = "key-of-nobody";

    switch (random_below(STREAM_RARE, 9)) {
    case 0:
        refuse(JOB_WORDS(&command_key, "add", "--key-file", nowhere, "--new-key-file", "key-x",
                         ITERATIONS),
               "the old key opens nothing");
        break;
    case 1:
        refuse(JOB_WORDS(&command_key, "change", "--key-file", nowhere, "--new-key-file", "key-x",
                         ITERATIONS),
               "the old key opens nothing");
        break;
    case 2:
        refuse(JOB_WORDS(&command_key, "remove", "--key-file", nowhere), "the key opens nothing");
        break;
    case 3:
        refuse(JOB_WORDS(&command_key, "remove", "--slot", "31"), "there is no such keyslot");
        break;
    case 4:
        refuse(JOB_WORDS(&command_key, "add", "--key-file", there, "--new-key-file", "key-x",
                         "--new-slot", "31", "--priority", "prefer", "--pbkdf", "argon2i",
                         "--pbkdf-memory-kib", "1"),
               "no function takes so little memory");
        break;
    case 5:
        refuse(job_with_operand(JOB_WORDS(&command_key, "priority", "--slot", "31"), "prefer"),
               "there is no such keyslot");
        break;
    case 6:
        refuse(JOB_WORDS(&command_erase, "erase"), "nobody has confirmed it");
        break;
    case 7:
        refuse(job_with_operand(JOB_WORDS(&command_header, "restore", "--yes"),
                                SIM_FOLDER VOLUME_OTHER "1"),
               "the backup is none");
        break;
    default:
        volumes_make_foreign_backup();
        refuse(job_with_operand(JOB_WORDS(&command_header, "restore", "--yes"),
                                SIM_FOLDER VOLUME_FOREIGN),
               "the backup is of another volume");
        break;
    }
}

/* In a keyslot that is named, which may be in use, by a function that takes memory. */
static void add_in_detail(bool killable)
{
    unsigned index = keys_make();
    struct keys after = keys_known;
    char slot[4];

    (void)snprintf(slot, sizeof(slot), "%u", (unsigned)random_below(STREAM_RARE, 8));
    after.states[index] = KEY_THERE;
    struct job_words words =
        JOB_WORDS(&command_key, "add", "--key-file", keys_any(), "--new-key-file", keys_name(index),
                  "--new-slot", slot, "--pbkdf");
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
    struct keys after = keys_known;

    if (!options.zero_holes)
        return;
    (void)change_keys(job_with_operand(JOB_WORDS(&command_header, "zero-holes", "--yes"),
                                       rare(500) ? "on" : "off"),
                      &after, killable);
}

static void list_for_scripts(void)
{
    (void)job_run(rare(500)
                      ? JOB_WORDS(&command_key, "list", "--json")
                      : JOB_WORDS(&command_key, "test", "--slot", "0", "--key-file", keys_any()),
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
    if (!keys_any_is_there() || !rare(RARE_PER_MILLE))
        return false;
    switch (random_below(STREAM_RARE, 5)) {
    case 0:
        list_for_scripts();
        break;
    case 1:
        record_zero_holes(killable);
        break;
    case 2:
        if (keys_count() + 1 < KEYS_MAX)
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
    else if (keys_count() + 1 >= KEYS_MAX || random_chance(STREAM_OPERATOR, 150))
        switch_discard(killable);
    else if (!keys_any_is_there())
        return;
    else if (index < 0)
        add(killable);
    else if (random_chance(STREAM_OPERATOR, 500))
        change((unsigned)index, killable);
    else
        remove_key((unsigned)index, killable);
}

/* ---- beside the server ---- */

static bool is_served(void)
{
    return server_state(SITE_FRONT) == SERVER_UP && !server_disk_is_away();
}

/* Where the server has the image all the time, its header stays. */
static void restore_beside_server(void)
{
    unsigned life = server_life(SITE_FRONT);
    uint64_t disturbances = server_disturbances();
    bool served = is_served();
    int status = restore(false);

    if (!served || !is_served() || server_life(SITE_FRONT) != life ||
        server_disturbances() != disturbances)
        return;
    if (status == 0)
        sim_fail("a header was restored, and the server has its disk");
    mark(MARK_header_kept);
}

static void try_to_replace(void)
{
    if (has_backup && random_chance(STREAM_OPERATOR, 500))
        restore_beside_server();
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
        keys_settle();
        if (!keys_any_is_there())
            restore_beside_server();
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

    if (keys_any_is_there() && rare(RARE_PER_MILLE))
        damage_one_copy();
    if (!has_backup || drawn == 0)
        backup(true);
    else if (!keys_any_is_there() || drawn < 4)
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
    unsigned writes = 0;

    if (random_chance(STREAM_OPERATOR, CUT_PER_MILLE))
        writes = 1 + (unsigned)random_below(STREAM_OPERATOR, random_chance(STREAM_OPERATOR, 400)
                                                                 ? WRITES_MANY
                                                                 : WRITES_FEW);
    bool in_header = random_chance(STREAM_RARE, CUT_IN_HEADER_PER_MILLE);
    if (in_header)
        writes = 1 + (unsigned)random_below(STREAM_RARE, HEADER_WRITES);
    job_cut_off_at(writes, in_header, power ? power_cut : NULL);
    do_one();
    job_cut_off_at(0, false, NULL);
}

/* Until the server can be started. */
static void mend(void)
{
    for (unsigned i = 0; !keys_any_is_there(); i++) {
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
    keys_settle();
    if (!has_backup)
        backup(true);
    for (unsigned i = 0; wanted && i < count; i++)
        do_one_and_cut(power_cut);
    mend();
    busy = false;
    fiber_wake_all(&busy);
}

void jobs_settle(void)
{
    if (!keys_are_in_doubt())
        return;
    while (busy)
        fiber_wait(&busy);
    busy = true;
    keys_settle();
    mend();
    busy = false;
    fiber_wake_all(&busy);
}

void jobs_verify(void)
{
    for (unsigned i = 0; i < keys_count() && options.layer > 0 && !options.remote; i++)
        keys_check(i);
}
