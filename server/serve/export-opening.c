#include "server/serve/export-opening.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks/luks-turns.h"
#include "server/client/channel.h"
#include "server/block/image.h"
#include "server/base/log.h"
#include "server/block/luks-layer.h"
#include "server/base/memory-limit.h"
#include "server/base/threads.h"
#include "server/serve/notify.h"

/* Of these most may wait for storage; how many calculate is for luks-turns.h to decide. */
#define THREADS_MAX 16u
#define TELL_EVERY_MS 1000u
/* The longest that one export takes as a rule: a program that prints the key has 60 s. */
#define EXTEND_TIMEOUT_S 120u

struct run {
    const struct export_opening *opening;
    pthread_mutex_t mutex;
    size_t next; /* to be begun by a thread */
    size_t done_count;
    size_t failed_index; /* strict: the first one; SIZE_MAX: none */
    uint64_t told_ms;
    struct error *err;
};

/* ---- one export ---- */

/* What this process was handed, or a person at the terminal, gives one key after the other, and
 * once. */
bool export_opens_in_order(const struct export_settings *settings)
{
    const struct key_source *key = &settings->key;

    if (!settings->raw &&
        (key_source_given(key) == NULL || key_source_is_stdin(key) || key->fd != 0))
        return true;
    return image_opens_in_order(settings->image) ||
           (settings->header != NULL && image_opens_in_order(settings->header));
}

/* As long as something happens, it is no hanging start. */
static void tell_progress(struct run *run)
{
    size_t count = run->opening->count;
    uint64_t now_ms = channel_clock_ms();
    char state[128];

    if (count < 2 || (run->told_ms != 0 && now_ms < run->told_ms + TELL_EVERY_MS))
        return;
    run->told_ms = now_ms;
    (void)snprintf(state, sizeof state,
                   "STATUS=Opening exports: %zu of %zu\nEXTEND_TIMEOUT_USEC=%u000000",
                   run->done_count, count, EXTEND_TIMEOUT_S);
    notify_service_manager(state);
}

/* Each is tried by one thread at a time. */
static void tell_failure(const struct export_opening *opening, size_t index,
                         const struct error *err)
{
    char **reason = &opening->reasons[index];

    if (*reason != NULL && strcmp(*reason, err->text) == 0)
        return;
    log_export(LOG_ERROR, NULL, opening->settings[index].name, "export '%s' is not served: %s",
               opening->settings[index].name, err->text);
    free(*reason);
    *reason = strdup(err->text); /* NULL: it is told again */
}

static int open_for(const struct export_opening *opening, size_t index, struct export *opened,
                    struct error *err)
{
    return export_open(opened, &opening->settings[index], opening->offload, opening->workers, err);
}

int export_opening_try(const struct export_opening *opening, size_t index, struct export *opened)
{
    struct error err;
    int result = open_for(opening, index, opened, &err);

    if (result < 0)
        tell_failure(opening, index, &err);
    return result;
}

static void open_one(struct run *run, size_t index)
{
    const struct export_opening *opening = run->opening;
    struct export opened;
    struct error err;
    int result = open_for(opening, index, &opened, &err);

    if (result == 0)
        export_publish(opening->exports[index], &opened);
    else if (!opening->strict)
        tell_failure(opening, index, &err);
    (void)pthread_mutex_lock(&run->mutex);
    run->done_count++;
    if (result < 0 && opening->strict && index < run->failed_index) {
        run->failed_index = index;
        *run->err = err;
    }
    tell_progress(run);
    (void)pthread_mutex_unlock(&run->mutex);
}

/* ---- all of them ---- */

static void open_those_in_order(struct run *run)
{
    const struct export_opening *opening = run->opening;

    for (size_t i = 0; i < opening->count && run->failed_index == SIZE_MAX; i++)
        if (export_opens_in_order(&opening->settings[i]))
            open_one(run, i);
}

/* SIZE_MAX: there is none, or it would be in vain. */
static size_t take_next(struct run *run)
{
    const struct export_opening *opening = run->opening;
    size_t index = SIZE_MAX;

    (void)pthread_mutex_lock(&run->mutex);
    while (run->next < opening->count && export_opens_in_order(&opening->settings[run->next]))
        run->next++;
    if (run->next < opening->count && run->failed_index == SIZE_MAX)
        index = run->next++;
    (void)pthread_mutex_unlock(&run->mutex);
    return index;
}

static void *open_others(void *context)
{
    struct run *run = context;

    thread_begin("nbdcrypt-open");
    for (size_t index = take_next(run); index != SIZE_MAX; index = take_next(run))
        open_one(run, index);
    return NULL;
}

/* This thread and others.  One that can't be started is done without. */
static void open_side_by_side(struct run *run)
{
    pthread_t threads[THREADS_MAX];
    unsigned started = 0;

    while (started + 1 < THREADS_MAX && started + 1 < run->opening->count &&
           pthread_create(&threads[started], NULL, open_others, run) == 0)
        started++;
    (void)open_others(run);
    while (started > 0)
        (void)pthread_join(threads[--started], NULL);
}

/* A copied header, or one detached header for several images.  A copy that is only read, such as a
 * snapshot, gets no new data under the same key.  Fifty of one key make fifty lines. */
static void warn_of_shared_key(struct export *const *exports, size_t index, size_t count)
{
    const struct export *other = exports[index];

    for (size_t i = 0; i < count; i++) {
        const struct export *one = exports[i];

        if (i == index || one == NULL || !export_is_open(one) || one->limits.read_only ||
            other->limits.read_only || !luks_stages_share_key(one->top, other->top))
            continue;
        log_warning("exports '%s' and '%s' have the same volume key: whoever reads their storage "
                    "sees where the two disks are equal, and whoever writes it can exchange their "
                    "sectors; format one of them anew",
                    one->name, other->name);
        return;
    }
}

int export_opening_run(const struct export_opening *opening, struct error *err)
{
    struct run run = {
        .opening = opening, .mutex = PTHREAD_MUTEX_INITIALIZER, .failed_index = SIZE_MAX, .err = err
    };

    luks_turns_allow(opening->cpus, memory_limit_available_bytes() / 2);
    tell_progress(&run);
    open_those_in_order(&run);
    open_side_by_side(&run);
    if (run.failed_index != SIZE_MAX)
        return -EINVAL;
    for (size_t i = 0; i < opening->count; i++)
        if (export_is_open(opening->exports[i]))
            warn_of_shared_key(opening->exports, i, i);
    if (export_opening_count(opening) == 0 && !opening->none_will_do)
        return error_set(err, -EINVAL, "none of the %zu exports can be served", opening->count);
    return 0;
}

void export_opening_warn(const struct export_opening *opening, size_t index)
{
    warn_of_shared_key(opening->exports, index, opening->count);
}

size_t export_opening_count(const struct export_opening *opening)
{
    size_t count = 0;

    for (size_t i = 0; i < opening->count; i++)
        count += opening->exports[i] != NULL && export_is_open(opening->exports[i]);
    return count;
}
