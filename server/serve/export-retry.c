#include "server/serve/export-retry.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/threads.h"
#include "server/serve/notify.h"

struct export_retry {
    const struct export_opening *opening;
    unsigned every_seconds;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stopping;
    bool busy; /* opening one */
};

/* ---- one export ---- */

static bool is_due(const struct export_opening *opening, size_t index)
{
    return opening->exports[index] != NULL && !export_is_open(opening->exports[index]) &&
           !export_opens_in_order(&opening->settings[index]);
}

static void tell_served(const struct export_opening *opening, size_t index)
{
    char state[128];

    log_export(LOG_NOTICE, LOG_ID_EXPORT_ADDED, opening->settings[index].name,
               "export '%s' is served from now on", opening->settings[index].name);
    EVENT(.type = "export.added", .export = opening->settings[index].name);
    (void)snprintf(state, sizeof state, "STATUS=%zu of %zu exports are served",
                   export_opening_count(opening), opening->count);
    notify_service_manager(state);
}

/* With the mutex, which is given up while it is opened.  After the end began nobody may find it. */
static void try_one(struct export_retry *retry, size_t index)
{
    const struct export_opening *opening = retry->opening;
    struct export opened;

    retry->busy = true;
    (void)pthread_mutex_unlock(&retry->mutex);
    int result = export_opening_try(opening, index, &opened);
    (void)pthread_mutex_lock(&retry->mutex);
    retry->busy = false;
    if (result < 0)
        return;
    if (retry->stopping || opening->exports[index] == NULL) {
        export_close(&opened);
        return;
    }
    export_publish(opening->exports[index], &opened);
    export_opening_warn(opening, index);
    tell_served(opening, index);
}

/* ---- all of them ---- */

static void wait_for_next(struct export_retry *retry)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)retry->every_seconds;
    while (!retry->stopping && pthread_cond_clockwait(&retry->wake, &retry->mutex, CLOCK_MONOTONIC,
                                                      &until) != ETIMEDOUT)
        continue;
}

static bool any_is_due(const struct export_opening *opening)
{
    for (size_t i = 0; i < opening->count; i++)
        if (is_due(opening, i))
            return true;
    return false;
}

static void *try_again(void *context)
{
    struct export_retry *retry = context;
    const struct export_opening *opening = retry->opening;

    thread_begin("nbdcrypt-retry");
    (void)pthread_mutex_lock(&retry->mutex);
    while (!retry->stopping && any_is_due(opening)) {
        wait_for_next(retry);
        for (size_t i = 0; i < opening->count && !retry->stopping; i++)
            if (is_due(opening, i))
                try_one(retry, i);
    }
    (void)pthread_mutex_unlock(&retry->mutex);
    return NULL;
}

int export_retry_start(struct export_retry **out, const struct export_opening *opening,
                       unsigned every_seconds, struct error *err)
{
    *out = NULL;
    if (every_seconds == 0 || !any_is_due(opening))
        return 0;
    struct export_retry *retry = calloc(1, sizeof *retry);
    if (retry == NULL)
        return error_no_memory(err, "to try exports again");
    retry->opening = opening;
    retry->every_seconds = every_seconds;
    pthread_mutex_init(&retry->mutex, NULL);
    pthread_cond_init(&retry->wake, NULL);
    int result = pthread_create(&retry->thread, NULL, try_again, retry);
    if (result != 0) {
        free(retry);
        return error_set(err, -result, "a thread to try exports again could not be started: %s",
                         strerror(result));
    }
    *out = retry;
    return 0;
}

void export_retry_forget(struct export_retry *retry, const struct export_opening *opening,
                         size_t index)
{
    if (retry != NULL)
        (void)pthread_mutex_lock(&retry->mutex);
    opening->exports[index] = NULL;
    if (retry != NULL)
        (void)pthread_mutex_unlock(&retry->mutex);
}

bool export_retry_stop(struct export_retry *retry)
{
    if (retry == NULL)
        return true;
    (void)pthread_mutex_lock(&retry->mutex);
    retry->stopping = true;
    bool busy = retry->busy;
    (void)pthread_cond_signal(&retry->wake);
    (void)pthread_mutex_unlock(&retry->mutex);
    if (busy)
        return false;
    (void)pthread_join(retry->thread, NULL);
    return true;
}

void export_retry_free(struct export_retry *retry)
{
    if (retry == NULL)
        return;
    (void)pthread_cond_destroy(&retry->wake);
    (void)pthread_mutex_destroy(&retry->mutex);
    free(retry);
}
