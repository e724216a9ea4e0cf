#include "server/range-lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* All claims, granted and waiting, in the order in which they came. A claim waits for the
 * claims in front of it that conflict with it, granted or not. */
struct range_lock {
    pthread_mutex_t mutex;
    struct range_claim *first, *last;
    unsigned exclusive_count; /* granted and waiting */
};

int range_lock_create(struct range_lock **out, struct error *err)
{
    struct range_lock *lock = calloc(1, sizeof *lock);

    if (lock == NULL)
        return error_set(err, -ENOMEM, "not enough memory for a range lock");
    pthread_mutex_init(&lock->mutex, NULL);
    *out = lock;
    return 0;
}

void range_lock_destroy(struct range_lock *lock)
{
    if (lock == NULL)
        return;
    pthread_mutex_destroy(&lock->mutex);
    free(lock);
}

static bool conflict(const struct range_claim *a, const struct range_claim *b)
{
    return (a->exclusive || b->exclusive) && a->start_bytes < b->end_bytes &&
           b->start_bytes < a->end_bytes;
}

/* No claim in front of this one stands in its way. */
static bool may_be_granted(const struct range_claim *claim)
{
    for (const struct range_claim *other = claim->previous; other != NULL; other = other->previous)
        if (conflict(other, claim))
            return false;
    return true;
}

bool range_lock_claim(struct range_lock *lock, struct range_claim *claim)
{
    pthread_mutex_lock(&lock->mutex);
    claim->next = NULL;
    claim->previous = lock->last;
    if (lock->last != NULL)
        lock->last->next = claim;
    else
        lock->first = claim;
    lock->last = claim;
    lock->exclusive_count += claim->exclusive;
    bool granted = lock->exclusive_count == 0 || may_be_granted(claim);
    claim->granted = granted; /* once the mutex is open, a waiting claim is not ours to read */
    pthread_mutex_unlock(&lock->mutex);
    return granted;
}

void range_lock_release(struct range_lock *lock, struct range_claim *claim)
{
    pthread_mutex_lock(&lock->mutex);
    struct range_claim *later = claim->next;
    if (claim->previous != NULL)
        claim->previous->next = claim->next;
    else
        lock->first = claim->next;
    if (claim->next != NULL)
        claim->next->previous = claim->previous;
    else
        lock->last = claim->previous;
    bool others_may_wait = lock->exclusive_count > 0;
    lock->exclusive_count -= claim->exclusive;

    for (; others_may_wait && later != NULL; later = later->next) {
        if (later->granted || !conflict(claim, later) || !may_be_granted(later))
            continue;
        later->granted = true;
        later->message.result = 0;
        loop_post(later->loop, &later->message);
    }
    pthread_mutex_unlock(&lock->mutex);
}
