#include "server/serve/exports.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/base/event.h"
#include "server/base/log.h"
#include "server/base/threads.h"
#include "server/board/board-owner.h"
#include "server/client/channel.h"
#include "server/serve/errand.h"
#include "server/serve/exports-arrival.h"
#include "server/serve/exports-keys.h"
#include "server/serve/exports-removal.h"

#define LOOP_ENTRIES 8u
#define LOOK_AT_STOP_MS 50u

struct exports {
    struct exports_settings settings;
    unsigned worker_count;
    uint64_t last_id;
    struct removals removals;
    struct arrivals *arrivals; /* of changes that wait for them */
    struct exports_keys keys;  /* under way */
    struct worker_round *unanswered;
    atomic_uint open_timeout_seconds;

    pthread_t thread;
    sem_t wake, started;
    int start_code;
    struct error *start_error;
    pthread_mutex_t mutex; /* never held for long: of what follows */
    struct export_set *set;
    struct exports_change *queue, **queue_end;
    bool stopping;
};

/* All that a change needs memory for, so that it can't fail any more when it is seen. */
struct publication {
    struct worker_round *round;
    bool *goes;
    struct export_set *next;
};

/* In order of execution. */
static void run(struct exports *exports, struct exports_change *change);
static int check_clients(struct exports *exports, struct exports_change *change);
static void begin_key_change(struct exports *exports, struct exports_change *change);
static int begin_opening(struct exports *exports, struct exports_change *change);
static void look_at_arrivals(struct exports *exports);
static void fail_arrivals(struct exports *exports);
static int prepare_publication(struct exports *exports, struct exports_change *change,
                               struct export **opened, struct publication *out);
static void drop_publication(const struct exports *exports, const struct exports_change *change,
                             struct export **opened, struct publication *publication);
static int publish(struct exports *exports, struct exports_change *change, struct export **opened,
                   struct publication *publication);
static void answer_failure(struct exports_change *change);

/* ---- what others ask ---- */

static bool is_stopping(struct exports *exports)
{
    pthread_mutex_lock(&exports->mutex);
    bool stopping = exports->stopping;
    pthread_mutex_unlock(&exports->mutex);
    return stopping;
}

/* Nothing of it has been made. */
static void drop_for_the_end(struct exports_change *change)
{
    (void)exports_change_fail_for_the_end(change);
    answer_failure(change);
}

void exports_submit(struct exports *exports, struct exports_change *change)
{
    change->next = NULL;
    change->code = 0;
    change->clients = 0;
    change->leaving = 0;
    change->error.text[0] = '\0';
    pthread_mutex_lock(&exports->mutex);
    bool stopping = exports->stopping;
    if (!stopping) {
        *exports->queue_end = change;
        exports->queue_end = &change->next;
    }
    pthread_mutex_unlock(&exports->mutex);
    if (stopping)
        drop_for_the_end(change);
    else
        sem_post(&exports->wake);
}

/* NULL: there is none. */
static struct exports_change *take(struct exports *exports)
{
    pthread_mutex_lock(&exports->mutex);
    struct exports_change *change = exports->queue;
    if (change != NULL) {
        exports->queue = change->next;
        if (exports->queue == NULL)
            exports->queue_end = &exports->queue;
    }
    pthread_mutex_unlock(&exports->mutex);
    return change;
}

/* ---- the thread ---- */

/* By channel_clock_ms(); UINT64_MAX: nothing is due. */
static uint64_t next_look_ms(const struct exports *exports)
{
    uint64_t soonest = removals_next_ms(&exports->removals);

    for (const struct arrivals *one = exports->arrivals; one != NULL; one = one->next)
        if (arrivals_next_ms(one) < soonest)
            soonest = arrivals_next_ms(one);
    if (exports_keys_next_ms(&exports->keys) < soonest)
        soonest = exports_keys_next_ms(&exports->keys);
    return soonest;
}

static void wait_for_work(struct exports *exports)
{
    uint64_t until_ms = next_look_ms(exports), now_ms = channel_clock_ms();
    struct timespec until;

    if (until_ms == UINT64_MAX) {
        while (sem_wait(&exports->wake) != 0)
            continue;
        return;
    }
    uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(left_ms / 1000);
    until.tv_nsec += (long)(left_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    while (sem_clockwait(&exports->wake, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
        continue;
}

/* Until the workers have been joined. */
static void keep_unanswered(struct exports *exports, struct worker_round *rounds)
{
    while (rounds != NULL) {
        struct worker_round *round = rounds;

        rounds = round->next;
        round->next = exports->unanswered;
        exports->unanswered = round;
    }
}

/* What has not been made yet fails. */
static void fail_what_is_left(struct exports *exports)
{
    struct exports_change *change;

    while ((change = take(exports)) != NULL)
        drop_for_the_end(change);
    fail_arrivals(exports);
    keep_unanswered(exports, exports_keys_fail(&exports->keys));
    removals_fail(&exports->removals);
}

static void *serve_changes(void *context)
{
    struct exports *exports = context;
    struct loop_config config = { .entries = LOOP_ENTRIES };
    struct exports_change *change;

    thread_begin("nbdcrypt-export");
    exports->start_code = loop_create(&exports->removals.loop, &config, exports->start_error);
    bool started = exports->start_code == 0;
    sem_post(&exports->started);
    while (started && !is_stopping(exports)) {
        wait_for_work(exports);
        removals_look(&exports->removals);
        look_at_arrivals(exports);
        exports_keys_look(&exports->keys);
        while (!is_stopping(exports) && (change = take(exports)) != NULL)
            run(exports, change);
    }
    fail_what_is_left(exports);
    loop_destroy(exports->removals.loop);
    return NULL;
}

/* ---- a change ---- */

static void rescan(const struct exports *exports)
{
    for (size_t i = 0; i < exports->set->count; i++)
        if (export_is_open(exports->set->exports[i]))
            export_grow(exports->set->exports[i]);
}

static void free_settings(const struct exports_addition *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (items[i].free_settings != NULL && items[i].settings != NULL)
            items[i].free_settings(items[i].settings);
}

/* Nothing of it has been made; change->code says why. */
static void answer_failure(struct exports_change *change)
{
    free_settings(change->added, change->added_count);
    free_settings(change->altered, change->altered_count);
    change->done(change);
}

static void answer(struct exports *exports, struct exports_change *change)
{
    if (change->rescan)
        rescan(exports);
    if (change->published != NULL)
        change->published(change);
    if (change->leaving == 0)
        change->done(change);
    else
        removals_look(&exports->removals);
}

/* With what it adds, which is opened. */
static int make(struct exports *exports, struct exports_change *change, struct export **opened)
{
    struct publication publication;
    int result = exports_change_check(change, exports->set);

    if (result == 0)
        result = check_clients(exports, change);
    if (result == 0)
        result = prepare_publication(exports, change, opened, &publication);
    if (result < 0)
        return result;
    result = change->record != NULL ? change->record(change) : 0;
    if (result == 0)
        return publish(exports, change, opened, &publication);
    drop_publication(exports, change, opened, &publication);
    return exports_change_fail(change, result);
}

/* It may be gone, and it is: what is to be recorded of that is, and who is going is waited for. */
static void await_absent(struct exports *exports, struct exports_change *change)
{
    int result = 0;

    change->absent = true;
    if (change->record != NULL)
        result = exports_change_fail(change, change->record(change));
    if (result == 0)
        result = removals_await(&exports->removals, change, change->removed[0]);
    if (result < 0)
        (void)exports_change_fail(change, result);
    if (change->leaving == 0)
        change->done(change);
}

static void run(struct exports *exports, struct exports_change *change)
{
    if (exports_keys_are_meant(change)) {
        begin_key_change(exports, change);
    } else if (change->if_present && exports_find(exports->set, change->removed[0]) == NULL) {
        await_absent(exports, change);
    } else if (change->added_count == 0) {
        struct export *none = NULL;

        if (make(exports, change, &none) == 0)
            answer(exports, change);
        else
            answer_failure(change);
    } else if (begin_opening(exports, change) < 0) {
        answer_failure(change);
    }
}

/* ---- asking all workers ---- */

/* Workers that have ended answer no more: the end of the server is not waited out. */
static int wait_for_all(struct exports *exports, struct worker_round *round)
{
    while (!worker_round_wait(round, LOOK_AT_STOP_MS))
        if (is_stopping(exports)) {
            round->next = exports->unanswered;
            exports->unanswered = round;
            return -ESHUTDOWN;
        }
    return 0;
}

/* -ENOMEM, -ESHUTDOWN, or 0 and how many. */
static int count_clients(struct exports *exports, const struct export *export, unsigned *clients)
{
    struct worker_round *round = worker_round_create(exports->worker_count);

    if (round == NULL)
        return -ENOMEM;
    worker_round_count(round, exports->settings.workers, export);
    int result = wait_for_all(exports, round);
    if (result < 0)
        return result;
    *clients = worker_round_clients(round);
    worker_round_free(round);
    return 0;
}

static int check_clients(struct exports *exports, struct exports_change *change)
{
    for (size_t i = 0; change->farewell == EXPORTS_SAFE && i < change->removed_count; i++) {
        const struct export *export = exports_find(exports->set, change->removed[i]);
        int result = count_clients(exports, export, &change->clients);

        if (result == -ESHUTDOWN)
            return exports_change_fail_for_the_end(change);
        if (result < 0)
            return exports_change_fail(change,
                                       error_set(&change->error, result, "not enough memory"));
        if (change->clients > 0)
            return exports_change_fail(
                change, error_set(&change->error, -EBUSY, "export '%s' has %u client%s",
                                  export->name, change->clients, change->clients == 1 ? "" : "s"));
    }
    return 0;
}

/* ---- what is new ---- */

/* False: one of these names is being opened for another change. */
static bool names_are_free(const struct exports *exports, struct exports_change *change)
{
    for (const struct arrivals *one = exports->arrivals; one != NULL; one = one->next)
        for (size_t i = 0; i < change->added_count; i++) {
            const char *name = change->added[i].settings->name;

            if (!exports_change_adds(one->change, name))
                continue;
            (void)exports_change_fail(
                change,
                error_set(&change->error, -EEXIST, "an export '%s' is being opened already", name));
            return false;
        }
    return true;
}

static int begin_opening(struct exports *exports, struct exports_change *change)
{
    const struct export_opening *opening = exports->settings.opening;
    struct arrival_terms terms = { .offload = opening->offload,
                                   .workers = opening->workers,
                                   .seconds = atomic_load(&exports->open_timeout_seconds),
                                   .wake = &exports->wake };
    struct arrivals *arrivals;
    int result = exports_change_check(change, exports->set);

    if (result == 0)
        result = check_clients(exports, change);
    if (result < 0 || !names_are_free(exports, change))
        return change->code;
    result = arrivals_create(&arrivals, change, &terms, &change->error);
    if (result < 0)
        return exports_change_fail(change, result);
    arrivals->next = exports->arrivals;
    exports->arrivals = arrivals;
    (void)arrivals_look(arrivals); /* its end posts `wake` */
    sem_post(&exports->wake);
    return 0;
}

/* True: it has been answered. */
static bool settle(struct exports *exports, struct arrivals *arrivals)
{
    struct exports_change *change = arrivals->change;

    if (!arrivals_look(arrivals))
        return false;
    if (change->code == 0 && make(exports, change, arrivals->opened) == 0) {
        answer(exports, change);
        return true;
    }
    if (!arrivals_look(arrivals))
        return false;
    answer_failure(change);
    return true;
}

static void look_at_arrivals(struct exports *exports)
{
    struct arrivals **link = &exports->arrivals;

    while (*link != NULL) {
        struct arrivals *arrivals = *link;

        if (!settle(exports, arrivals)) {
            link = &arrivals->next;
            continue;
        }
        *link = arrivals->next;
        arrivals_free(arrivals);
    }
}

static void fail_arrivals(struct exports *exports)
{
    while (exports->arrivals != NULL) {
        struct arrivals *arrivals = exports->arrivals;

        exports->arrivals = arrivals->next;
        arrivals_leave(arrivals);
        (void)exports_change_fail_for_the_end(arrivals->change);
        (void)arrivals_look(arrivals);
        arrivals_leave(arrivals);
        answer_failure(arrivals->change);
        arrivals_free(arrivals);
    }
}

/* ---- a key that goes, is there again, or becomes another one ---- */

static void begin_key_change(struct exports *exports, struct exports_change *change)
{
    const struct key_terms terms = { .workers = exports->settings.workers,
                                     .worker_count = exports->worker_count,
                                     .seconds = atomic_load(&exports->open_timeout_seconds),
                                     .wake = &exports->wake };

    exports_keys_begin(&exports->keys, change, exports->set, &terms);
}

/* ---- the next set ---- */

/* Of each of `set`, whether it goes; NULL: no memory. */
static bool *those_that_go(const struct exports_change *change, const struct export_set *set)
{
    bool *goes = calloc(set->count + 1, sizeof *goes);

    for (size_t i = 0; goes != NULL && i < change->removed_count; i++)
        goes[export_set_behind(set, exports_find(set, change->removed[i])->id) - 1] = true;
    return goes;
}

static void name_added(struct exports *exports, const struct exports_change *change,
                       struct export **opened)
{
    for (size_t i = 0; i < change->added_count; i++) {
        opened[i]->id = ++exports->last_id;
        export_join_board(opened[i], exports->settings.board);
        atomic_store(&opened[i]->missing, false);
    }
}

static void name_no_more(const struct exports *exports, const struct exports_change *change,
                         struct export **opened)
{
    for (size_t i = 0; i < change->added_count; i++)
        board_export_end(exports->settings.board, opened[i]->place);
}

static int next_set(struct exports *exports, const struct exports_change *change,
                    struct export **opened, const bool *goes, struct export_set **out,
                    struct error *err)
{
    const struct export_set *set = exports->set;
    struct export **all = calloc(set->count + change->added_count + 1, sizeof *all);
    size_t count = 0;

    if (all == NULL)
        return error_no_memory(err, NULL);
    name_added(exports, change, opened);
    for (size_t i = 0; i < set->count; i++)
        if (!goes[i])
            all[count++] = set->exports[i];
    for (size_t i = 0; i < change->added_count; i++)
        all[count++] = opened[i];
    int result = export_set_create(out, all, count, err);
    if (result < 0)
        name_no_more(exports, change, opened);
    free(all);
    return result;
}

/* The settings are exchanged: `altered` has those of before.  With the mutex. */
static void alter(const struct exports *exports, struct exports_change *change)
{
    for (size_t i = 0; i < change->altered_count; i++) {
        struct exports_addition *one = &change->altered[i];
        struct export *export = exports_find(exports->set, one->settings->name);
        const struct exports_addition before = { (struct export_settings *)export->settings,
                                                 export->free_settings };

        export_alter(export, one->settings);
        export->free_settings = one->free_settings;
        *one = before;
    }
}

static void tell(const struct exports_change *change)
{
    for (size_t i = 0; i < change->added_count; i++)
        EVENT(.type = "export.added", .export = change->added[i].settings->name);
    for (size_t i = 0; i < change->altered_count; i++)
        EVENT(.type = "export.changed", .export = change->altered[i].settings->name);
}

static void drop_publication(const struct exports *exports, const struct exports_change *change,
                             struct export **opened, struct publication *publication)
{
    if (publication->next != NULL) {
        name_no_more(exports, change, opened);
        export_set_free(publication->next);
    }
    if (publication->round != NULL)
        worker_round_free(publication->round);
    free(publication->goes);
}

static int prepare_publication(struct exports *exports, struct exports_change *change,
                               struct export **opened, struct publication *out)
{
    *out = (struct publication){ .round = worker_round_create(exports->worker_count),
                                 .goes = those_that_go(change, exports->set) };
    int result = removals_reserve(&exports->removals, change->removed_count);

    if (out->round == NULL || out->goes == NULL || result < 0)
        result = error_no_memory(&change->error, NULL);
    else
        result = next_set(exports, change, opened, out->goes, &out->next, &change->error);
    if (result == 0)
        return 0;
    drop_publication(exports, change, opened, out);
    return exports_change_fail(change, result);
}

/* From here on nothing fails but by the end of the server, which closes all there is. */
static int publish(struct exports *exports, struct exports_change *change, struct export **opened,
                   struct publication *publication)
{
    struct export_set *next = publication->next, *before = exports->set;
    struct worker_round *round = publication->round;

    if (change->about_to != NULL && !change->about_to(change)) {
        drop_publication(exports, change, opened, publication);
        return exports_change_fail_for_the_end(change);
    }
    pthread_mutex_lock(&exports->mutex);
    alter(exports, change);
    exports_change_keep_figures(change, before, next, exports->settings.board);
    exports->set = next;
    pthread_mutex_unlock(&exports->mutex);
    worker_round_use(round, exports->settings.workers, next, change->terms);
    int result = wait_for_all(exports, round);
    for (size_t i = 0; i < before->count; i++)
        if (publication->goes[i])
            removals_add(&exports->removals, change, before->exports[i]);
    free(publication->goes);
    tell(change);
    if (result == 0) { /* else a worker may still look at them: they stay until the process ends */
        worker_round_free(round);
        export_set_free(before);
        free_settings(change->altered, change->altered_count);
    }
    return 0;
}

/* ---- beginning and end ---- */

int exports_create(struct exports **out, const struct exports_settings *settings, struct error *err)
{
    struct exports *exports = calloc(1, sizeof *exports);

    if (exports == NULL)
        return error_no_memory(err, "for the exports");
    exports->settings = *settings;
    exports->set = settings->set;
    exports->worker_count = settings->opening->workers;
    exports->last_id = settings->opening->count;
    exports->queue_end = &exports->queue;
    exports->start_error = err;
    exports_set_open_timeout(exports, settings->open_timeout_seconds);
    pthread_mutex_init(&exports->mutex, NULL);
    sem_init(&exports->wake, 0, 0);
    exports->removals =
        (struct removals){ .wake = &exports->wake,
                           .workers = settings->workers,
                           .worker_count = exports->worker_count,
                           .keepers = { .board = settings->board, .opening = settings->opening } };
    sem_init(&exports->started, 0, 0);
    int result = -pthread_create(&exports->thread, NULL, serve_changes, exports);
    if (result < 0) {
        error_set(err, result, "the thread of the exports could not be started: %s",
                  strerror(-result));
    } else {
        while (sem_wait(&exports->started) != 0)
            continue;
        result = exports->start_code;
        if (result < 0)
            (void)pthread_join(exports->thread, NULL);
    }
    if (result < 0) {
        exports->set = NULL;
        exports_free(exports);
        return result;
    }
    *out = exports;
    return 0;
}

void exports_set_retry(struct exports *exports, struct export_retry *retry)
{
    exports->removals.keepers.retry = retry;
}

void exports_set_open_timeout(struct exports *exports, unsigned seconds)
{
    atomic_store(&exports->open_timeout_seconds, seconds);
}

const struct export_set *exports_lock(struct exports *exports)
{
    pthread_mutex_lock(&exports->mutex);
    return exports->set;
}

void exports_unlock(struct exports *exports)
{
    pthread_mutex_unlock(&exports->mutex);
}

void exports_stop(struct exports *exports)
{
    if (exports == NULL)
        return;
    pthread_mutex_lock(&exports->mutex);
    exports->stopping = true;
    pthread_mutex_unlock(&exports->mutex);
    sem_post(&exports->wake);
}

bool exports_join(struct exports *exports)
{
    if (exports == NULL)
        return true;
    (void)pthread_join(exports->thread, NULL);
    return errands_have_ended();
}

int exports_flush(struct exports *exports, struct loop *loop)
{
    int result = 0;

    for (size_t i = 0; i < exports->set->count; i++)
        result |= export_closing_flush(exports->set->exports[i], loop);
    result |= removals_flush(&exports->removals, loop); /* which may hang */
    return result < 0 ? -EIO : 0;
}

void exports_close(struct exports *exports)
{
    for (size_t i = 0; i < exports->set->count; i++)
        if (atomic_load(&exports->set->exports[i]->visits) == 0) /* else the process leaves it */
            export_closing_now(exports->set->exports[i], &exports->removals.keepers);
    removals_close(&exports->removals);
}

void exports_free(struct exports *exports)
{
    if (exports == NULL)
        return;
    while (exports->unanswered != NULL) {
        struct worker_round *round = exports->unanswered;

        exports->unanswered = round->next;
        worker_round_free(round);
    }
    export_set_free(exports->set);
    sem_destroy(&exports->started);
    sem_destroy(&exports->wake);
    (void)pthread_mutex_destroy(&exports->mutex);
    free(exports);
}
