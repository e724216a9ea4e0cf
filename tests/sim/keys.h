/* What is known of the keys of the volume: one that a command has told to be there opens it
 * whatever happened since, and one that was told to be gone never does again.  A command that was
 * cut off has changed all or nothing. */
#ifndef NBDCRYPT_SIM_KEYS_H
#define NBDCRYPT_SIM_KEYS_H

#include <stdbool.h>

#include "tests/sim/job.h"

#define KEYS_MAX 24u
#define KEYS_FIRST "key" /* commands on keys never remove it */

enum key_state { KEY_GONE, KEY_THERE, KEY_UNKNOWN };

/* Those that were not made yet are gone. */
struct keys {
    enum key_state states[KEYS_MAX];
};

extern struct keys keys_known;

/* So many have been made; the first is there from the start. */
unsigned keys_count(void);
const char *keys_name(unsigned index);
/* Another one, which is not there yet: its index. */
unsigned keys_make(void);
/* A key that opens the volume for sure; a drawn one. */
const char *keys_any(void);
bool keys_any_is_there(void);

/* A command that makes `after` of them; its exit status, or -1. */
int keys_change(struct job_words words, const struct keys *after, bool killable);
/* What a killed command has written is there to read, and may be gone when the power goes: keys
 * that were looked at in between are not known any more. */
void keys_power_is_cut(void);
bool keys_are_in_doubt(void);
/* Looks at them again. */
void keys_settle(void);
/* Whether the key does what is known of it. */
void keys_check(unsigned index);

/* A command has said that it could not undo what it has changed: the keys before and after are to
 * be kept, for the storage may have either, and what is read of it now says nothing of what a power
 * cut leaves.  Or a restore, that no key opens the volume when it is interrupted. */
enum risk { RISK_NONE, RISK_CHANGED, RISK_ALL };
void keys_are_at_risk(enum risk risk);

#endif
