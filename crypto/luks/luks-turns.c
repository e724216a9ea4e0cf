/* Derivations side by side: see luks-turns.h. */
#include "crypto/luks/luks-turns.h"

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static unsigned running, running_max = 1;
static uint64_t used_bytes, used_max_bytes;
/* In order, so that a large one is not overtaken for ever by small ones. */
static uint64_t next_ticket, served_ticket;

void luks_turns_allow(unsigned derivations_max, uint64_t memory_max_bytes)
{
    (void)pthread_mutex_lock(&mutex);
    running_max = derivations_max > 0 ? derivations_max : 1;
    used_max_bytes = memory_max_bytes;
    (void)pthread_mutex_unlock(&mutex);
}

static bool has_room(uint64_t memory_bytes)
{
    if (running == 0)
        return true;
    return running < running_max && used_bytes <= used_max_bytes &&
           memory_bytes <= used_max_bytes - used_bytes;
}

static void begin(struct luks_turn *turn, uint64_t memory_bytes, bool alone)
{
    (void)pthread_mutex_lock(&mutex);
    uint64_t ticket = next_ticket++;
    while (ticket != served_ticket || (alone ? running > 0 : !has_room(memory_bytes)))
        (void)pthread_cond_wait(&ended, &mutex);
    running++;
    used_bytes += memory_bytes;
    *turn = (struct luks_turn){ .memory_bytes = memory_bytes, .shared = !alone };
    if (!alone) { /* else nobody is let in before the end */
        served_ticket++;
        (void)pthread_cond_broadcast(&ended);
    }
    (void)pthread_mutex_unlock(&mutex);
}

void luks_turns_begin(struct luks_turn *turn, uint64_t memory_bytes)
{
    begin(turn, memory_bytes, running_max == 1);
}

void luks_turns_begin_alone(struct luks_turn *turn, uint64_t memory_bytes)
{
    begin(turn, memory_bytes, true);
}

void luks_turns_end(struct luks_turn *turn)
{
    (void)pthread_mutex_lock(&mutex);
    running--;
    used_bytes -= turn->memory_bytes;
    if (!turn->shared)
        served_ticket++;
    (void)pthread_cond_broadcast(&ended);
    (void)pthread_mutex_unlock(&mutex);
}
