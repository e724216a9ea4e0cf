#include "plugins/remote/remote-syncs.h"

#include <stddef.h>

void remote_syncs_init(struct remote_syncs *syncs)
{
    pthread_mutex_init(&syncs->mutex, NULL);
}

void remote_syncs_destroy(struct remote_syncs *syncs)
{
    pthread_mutex_destroy(&syncs->mutex);
}

/* Whether all have ended that were sent up to that one. */
static bool are_over(const struct remote_syncs *syncs, uint64_t number)
{
    return syncs->first == NULL || syncs->first->number > number;
}

void remote_syncs_begin(struct remote_syncs *syncs, struct remote_sync *sync)
{
    pthread_mutex_lock(&syncs->mutex);
    *sync = (struct remote_sync){ .state = REMOTE_SYNC_UNDER_WAY,
                                  .before = syncs->last,
                                  .number = ++syncs->begun,
                                  .failures = syncs->failures };
    *(syncs->last != NULL ? &syncs->last->after : &syncs->first) = sync;
    syncs->last = sync;
    pthread_mutex_unlock(&syncs->mutex);
}

/* ---- waiting ---- */

static void wait_for(struct remote_syncs *syncs, struct remote_sync_waiter *waiter, uint64_t number)
{
    if (waiter->listed || waiter->posted)
        return;
    waiter->listed = true;
    waiter->number = number;
    waiter->next = syncs->waiters;
    syncs->waiters = waiter;
}

static void tell_waiters(struct remote_syncs *syncs)
{
    struct remote_sync_waiter **link = &syncs->waiters, *waiter;

    while ((waiter = *link) != NULL) {
        if (!are_over(syncs, waiter->number)) {
            link = &waiter->next;
            continue;
        }
        *link = waiter->next;
        waiter->listed = false;
        waiter->posted = true;
        loop_post(waiter->loop, &waiter->message);
    }
}

void remote_syncs_heard(struct remote_syncs *syncs, struct remote_sync_waiter *waiter)
{
    pthread_mutex_lock(&syncs->mutex);
    waiter->posted = false;
    pthread_mutex_unlock(&syncs->mutex);
}

void remote_syncs_forget(struct remote_syncs *syncs, struct remote_sync_waiter *waiter)
{
    struct remote_sync_waiter **link = &syncs->waiters;

    pthread_mutex_lock(&syncs->mutex);
    while (*link != NULL && *link != waiter)
        link = &(*link)->next;
    if (*link != NULL)
        *link = waiter->next;
    waiter->listed = false;
    pthread_mutex_unlock(&syncs->mutex);
}

/* ---- the end ---- */

static void remove_it(struct remote_syncs *syncs, struct remote_sync *sync)
{
    *(sync->before != NULL ? &sync->before->after : &syncs->first) = sync->after;
    *(sync->after != NULL ? &sync->after->before : &syncs->last) = sync->before;
    sync->state = REMOTE_SYNC_NONE;
    tell_waiters(syncs);
}

void remote_syncs_failed(struct remote_syncs *syncs, struct remote_sync *sync)
{
    pthread_mutex_lock(&syncs->mutex);
    syncs->failures++;
    remove_it(syncs, sync);
    pthread_mutex_unlock(&syncs->mutex);
}

void remote_syncs_dropped(struct remote_syncs *syncs, struct remote_sync *sync)
{
    pthread_mutex_lock(&syncs->mutex);
    remove_it(syncs, sync);
    pthread_mutex_unlock(&syncs->mutex);
}

/* `number`: of the last one that it waits for. */
static bool decide(struct remote_syncs *syncs, struct remote_sync *sync,
                   struct remote_sync_waiter *waiter)
{
    bool over = are_over(syncs, sync->number);

    sync->state = over ? REMOTE_SYNC_NONE : REMOTE_SYNC_HELD;
    sync->in_doubt = syncs->failures != sync->failures;
    if (!over)
        wait_for(syncs, waiter, sync->number);
    return over;
}

bool remote_syncs_succeeded(struct remote_syncs *syncs, struct remote_sync *sync,
                            struct remote_sync_waiter *waiter)
{
    pthread_mutex_lock(&syncs->mutex);
    remove_it(syncs, sync);
    sync->number = syncs->begun;
    bool over = decide(syncs, sync, waiter);
    pthread_mutex_unlock(&syncs->mutex);
    return over;
}

bool remote_syncs_are_over(struct remote_syncs *syncs, struct remote_sync *sync,
                           struct remote_sync_waiter *waiter)
{
    pthread_mutex_lock(&syncs->mutex);
    bool over = decide(syncs, sync, waiter);
    pthread_mutex_unlock(&syncs->mutex);
    return over;
}
