#include "tests/sim/keys.h"

#include <stdint.h>
#include <stdio.h>

#include "server/cli/command-key.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

static char names[KEYS_MAX][16] = { KEYS_FIRST };
static unsigned key_count = 1;
static enum risk risk; /* of the command at work */

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
        keys_known.states[i] = open ? KEY_THERE : KEY_GONE;
    }
    mark(MARK_job_looked_at);
    if (has(before, KEY_THERE) && has(after, KEY_THERE) && !keys_any_is_there() &&
        !has(&keys_known, KEY_UNKNOWN))
        sim_fail("a command that was cut off has left no key");
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

int keys_change(struct job_words words, const struct keys *after, bool killable)
{
    struct keys before = keys_known;
    uint64_t errors = volumes_errors();

    risk = RISK_NONE;
    forget(&before, after);
    int status = job_run(words, killable);
    if (status == 0) {
        keys_known = *after;
        mark(MARK_key_changed);
        if (random_chance(STREAM_OPERATOR, 300))
            keys_check((unsigned)random_below(STREAM_OPERATOR, key_count));
    } else if (status > 0 && volumes_errors() == errors) {
        keys_known = before; /* it was refused */
    } else {
        forget(&before, after);
        if (!risk && volumes_errors() <= errors + 1) /* which it has undone */
            look(&before, after);
    }
    return status;
}
