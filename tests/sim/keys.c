#include "tests/sim/keys.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "server/cli/command-key.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define STATES_MAX 16u

/* One of these it is. */
struct possible {
    struct keys states[STATES_MAX];
    unsigned count;
};

static char names[KEYS_MAX][16] = { KEYS_FIRST };
static unsigned key_count = 1;
static enum risk risk; /* of the command at work */
/* What killed commands have found and left since the last one that has made its change durable:
 * what is read is one of these, and when the power goes it may be another one. */
static struct possible not_durable;
static unsigned cuts;
static bool in_doubt; /* the power has gone, and nobody has looked since */

struct keys keys_known = { { KEY_THERE } };

unsigned keys_count(void)
{
    return key_count;
}

const char *keys_name(unsigned index)
{
    return names[index];
}

unsigned keys_make(void)
{
    unsigned index = key_count++;

    (void)snprintf(names[index], sizeof(names[index]), "key-%u", index);
    return index;
}

const char *keys_any(void)
{
    const char *there[KEYS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < key_count; i++)
        if (keys_known.states[i] == KEY_THERE)
            there[count++] = names[i];
    return count > 0 ? there[random_below(STREAM_OPERATOR, count)] : KEYS_FIRST;
}

static bool has(const struct keys *keys, enum key_state state)
{
    for (unsigned i = 0; i < key_count; i++)
        if (keys->states[i] == state)
            return true;
    return false;
}

bool keys_any_is_there(void)
{
    return has(&keys_known, KEY_THERE);
}

void keys_are_at_risk(enum risk of)
{
    risk = of;
}

static bool opens(unsigned index, bool *failed)
{
    uint64_t errors = volumes_errors();
    int status = job_run(JOB_WORDS(&command_key, "test", "--key-file", names[index]), false);

    *failed = status < 0 || volumes_errors() != errors;
    return status == 0;
}

/* ---- which of several states it is ---- */

static void add(struct possible *possible, const struct keys *state)
{
    for (unsigned i = 0; i < possible->count; i++)
        if (memcmp(&possible->states[i], state, sizeof(*state)) == 0)
            return;
    possible->states[possible->count++] = *state;
}

/* Whether the key tells them apart. */
static bool differs(const struct possible *possible, unsigned index)
{
    bool there = false, gone = false;

    for (unsigned i = 0; i < possible->count; i++) {
        there |= possible->states[i].states[index] != KEY_GONE;
        gone |= possible->states[i].states[index] != KEY_THERE;
    }
    return there && gone;
}

static bool is_known_in_all(const struct possible *possible, unsigned index)
{
    for (unsigned i = 0; i < possible->count; i++)
        if (possible->states[i].states[index] == KEY_UNKNOWN)
            return false;
    return true;
}

static bool all_have_keys(const struct possible *possible)
{
    for (unsigned i = 0; i < possible->count; i++)
        if (!has(&possible->states[i], KEY_THERE))
            return false;
    return true;
}

/* Those in which it is otherwise are out. */
static void leave_out(struct possible *possible, unsigned index, enum key_state found)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < possible->count; i++)
        if (possible->states[i].states[index] == found)
            possible->states[kept++] = possible->states[i];
    possible->count = kept;
}

/* It is wholly one of them.  A LUKS1 header is one copy of two sectors, in which each key comes or
 * goes for itself; but there is always one. */
static void look(const struct possible *possible)
{
    struct possible left = *possible;

    for (unsigned i = 0; i < key_count; i++) {
        bool failed;

        if (!differs(possible, i) || !is_known_in_all(possible, i))
            continue;
        enum key_state found = opens(i, &failed) ? KEY_THERE : KEY_GONE;
        if (failed)
            return;
        leave_out(&left, i, found);
        trace_event("key %llu is there: %llu; states that are left: %llu", i, found == KEY_THERE,
                    left.count, 0);
        if (left.count == 0 && options.layer != 1)
            sim_fail("a command that was cut off has changed a part of the keys");
        keys_known.states[i] = found;
    }
    mark(MARK_job_looked_at);
    if (all_have_keys(possible) && !keys_any_is_there() && !has(&keys_known, KEY_UNKNOWN))
        sim_fail("a command that was cut off has left no key");
}

static void doubt(const struct possible *possible)
{
    for (unsigned i = 0; i < key_count; i++)
        if (differs(possible, i))
            keys_known.states[i] = KEY_UNKNOWN;
}

/* What has come of it is open where the two differ. */
static void forget(const struct keys *before, const struct keys *after)
{
    for (unsigned i = 0; i < key_count; i++)
        keys_known.states[i] = risk == RISK_ALL || before->states[i] != after->states[i]
                                   ? KEY_UNKNOWN
                                   : before->states[i];
}

void keys_check(unsigned index)
{
    bool failed;

    if (keys_known.states[index] == KEY_UNKNOWN)
        return;
    bool open = opens(index, &failed);
    if (keys_known.states[index] == KEY_THERE && !open && !failed)
        sim_fail("'%s' opens the volume no more", names[index]);
    if (keys_known.states[index] == KEY_GONE && open)
        sim_fail("'%s' opens the volume, and was told to be gone", names[index]);
}

/* ---- the power ---- */

void keys_power_is_cut(void)
{
    cuts++;
    if (not_durable.count == 0)
        return;
    in_doubt = true;
    doubt(&not_durable);
}

bool keys_are_in_doubt(void)
{
    return in_doubt;
}

static void all_is_durable(void)
{
    not_durable.count = 0;
    in_doubt = false;
}

void keys_settle(void)
{
    struct possible possible = not_durable;

    if (!in_doubt)
        return;
    mark(MARK_keys_in_doubt);
    all_is_durable();
    look(&possible);
}

/* ---- changes ---- */

/* It was killed, or has failed, and is as before, or as it was to be; or, where the power went
 * meanwhile, as commands before it have left it. */
static void find_out(const struct keys *before, const struct keys *after, bool cut)
{
    struct possible possible = { .count = 0 };

    if (cut || not_durable.count + 2 > STATES_MAX) {
        possible = not_durable;
        all_is_durable();
    }
    doubt(&possible);
    if (possible.count + 2 > STATES_MAX)
        return;
    add(&possible, before);
    add(&possible, after);
    for (unsigned i = 0; !cut && i < possible.count; i++)
        add(&not_durable, &possible.states[i]);
    look(&possible);
}

int keys_change(struct job_words words, const struct keys *after, bool killable)
{
    struct keys before = keys_known;
    uint64_t errors = volumes_errors();

    unsigned cuts_before = cuts;

    /* Without keys there is nothing to lose: when a restore is cut off, the copy of the header that
     * an erasure which was cut off had left may be in force, with those keys that the backup has,
     * too. */
    risk = has(&before, KEY_THERE) ? RISK_NONE : RISK_CHANGED;
    forget(&before, after);
    int status = job_run(words, killable);
    if (status == 0) {
        all_is_durable();
        keys_known = *after;
        mark(MARK_key_changed);
        if (random_chance(STREAM_OPERATOR, 300))
            keys_check((unsigned)random_below(STREAM_OPERATOR, key_count));
    } else if (status > 0 && volumes_errors() == errors) {
        keys_known = before; /* it was refused */
        if (in_doubt)
            doubt(&not_durable);
    } else {
        forget(&before, after);
        if (!risk && volumes_errors() <= errors + 1) { /* which it has undone */
            find_out(&before, after, cuts != cuts_before);
        } else {
            doubt(&not_durable);
            all_is_durable();
        }
    }
    return status;
}
