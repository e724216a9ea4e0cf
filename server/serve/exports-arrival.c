#include "server/serve/exports-arrival.h"

#include <errno.h>
#include <stdlib.h>

#include "server/base/log.h"
#include "server/client/channel.h"
#include "server/loop/loop.h"
#include "server/serve/errand.h"

/* When one has failed, the others may end, and what was opened is closed: then nothing is in use
 * when that is told. */
#define FAILED_MS 5000u
#define DEPARTURE_SECONDS 5u

struct arrival {
    struct errand errand;
    struct exports_addition addition;
    size_t index;
    struct offload *offload;
    unsigned workers, seconds;
    struct export *export;
    int code;
    struct error error;
};

/* ---- on its thread ---- */

static void open_it(struct errand *errand)
{
    struct arrival *one = container_of(errand, struct arrival, errand);

    one->code =
        export_open(one->export, one->addition.settings, one->offload, one->workers, &one->error);
}

static void free_one(struct arrival *one)
{
    free(one->export);
    free(one);
}

/* Nobody wants it any more. */
static void drop(struct errand *errand)
{
    struct arrival *one = container_of(errand, struct arrival, errand);

    log_notice(
        "export '%s': its opening has come back, which was given up: nothing of it is in use "
        "any more",
        one->addition.settings->name);
    if (one->code == 0)
        export_close(one->export);
    one->addition.free_settings(one->addition.settings);
    free_one(one);
}

/* ---- one of them ---- */

/* The first one counts. */
static void fail(struct arrivals *arrivals, const struct exports_addition *addition, int code,
                 const struct error *why)
{
    struct exports_change *change = arrivals->change;

    if (change->code < 0)
        return;
    change->error = *why;
    error_prefix(&change->error, "export '%s': ", addition->settings->name);
    (void)exports_change_fail(change, code);
    for (unsigned i = 0; i < ARRIVALS_AT_ONCE; i++) {
        uint64_t until_ms = channel_clock_ms() + FAILED_MS;

        if (arrivals->under_way[i] != NULL && arrivals->under_way[i]->errand.until_ms > until_ms)
            arrivals->under_way[i]->errand.until_ms = until_ms;
    }
}

static struct arrival *create(const struct arrivals *arrivals)
{
    struct arrival *one = calloc(1, sizeof *one);

    if (one == NULL)
        return NULL;
    one->addition = arrivals->change->added[arrivals->begun];
    one->index = arrivals->begun;
    one->offload = arrivals->terms.offload;
    one->workers = arrivals->terms.workers;
    one->seconds = arrivals->terms.seconds;
    one->errand = (struct errand){ .work = open_it, .drop = drop, .wake = arrivals->terms.wake };
    one->export = calloc(1, sizeof *one->export);
    if (one->export != NULL)
        return one;
    free(one);
    return NULL;
}

static void begin(struct arrivals *arrivals, struct arrival **place)
{
    struct arrival *one = create(arrivals);
    struct error err;
    int result =
        one == NULL ? error_no_memory(&err, NULL) : errand_begin(&one->errand, one->seconds, &err);

    if (result == 0) {
        *place = one;
        arrivals->begun++;
        return;
    }
    fail(arrivals, &arrivals->change->added[arrivals->begun], result, &err);
    if (one != NULL)
        free_one(one);
}

static void give_up(struct arrivals *arrivals, struct arrival *one)
{
    struct error err;

    error_set(&err, -ETIMEDOUT,
              "it could not be opened within %u seconds (--open-timeout): its storage, or whoever "
              "gives its key, does not answer",
              one->seconds);
    fail(arrivals, &one->addition, -ETIMEDOUT, &err);
    arrivals->change->added[one->index].settings = NULL;
    errand_leave(&one->errand);
}

/* True: it is not under way any more. */
static bool look_at(struct arrivals *arrivals, struct arrival *one)
{
    if (errand_has_ended(&one->errand)) {
        if (one->code < 0) {
            fail(arrivals, &one->addition, one->code, &one->error);
        } else {
            arrivals->opened[one->index] = one->export;
            one->export->free_settings = one->addition.free_settings;
            one->export = NULL;
        }
        free_one(one);
        return true;
    }
    if (!errand_is_late(&one->errand))
        return false;
    give_up(arrivals, one);
    return true;
}

/* ---- what was opened in vain ---- */

struct departure {
    struct errand errand;
    struct export **opened;
    size_t count;
};

static void close_opened(struct export **opened, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (opened[i] == NULL)
            continue;
        export_close(opened[i]);
        free(opened[i]);
        opened[i] = NULL;
    }
}

static void close_them(struct errand *errand)
{
    struct departure *departure = container_of(errand, struct departure, errand);

    close_opened(departure->opened, departure->count);
}

static void free_departure(struct errand *errand)
{
    struct departure *departure = container_of(errand, struct departure, errand);

    free(departure->opened);
    free(departure);
}

static size_t count_opened(const struct arrivals *arrivals)
{
    size_t count = 0;

    for (size_t i = 0; i < arrivals->begun; i++)
        count += arrivals->opened[i] != NULL;
    return count;
}

/* Closing says goodbye to storage, and may hang as opening may. */
static void depart(struct arrivals *arrivals)
{
    struct departure *departure = calloc(1, sizeof *departure);
    struct error err;

    if (departure != NULL) {
        *departure = (struct departure){
            .errand = { .work = close_them, .drop = free_departure, .wake = arrivals->terms.wake },
            .opened = arrivals->opened,
            .count = arrivals->begun,
        };
        if (errand_begin(&departure->errand, DEPARTURE_SECONDS, &err) == 0) {
            arrivals->opened = NULL;
            arrivals->departure = departure;
            return;
        }
    }
    close_opened(arrivals->opened, arrivals->begun);
    free(departure);
}

/* True: it is over, or not waited for any more. */
static bool look_at_departure(struct arrivals *arrivals)
{
    struct departure *departure = arrivals->departure;

    if (departure == NULL)
        return true;
    if (errand_has_ended(&departure->errand))
        free_departure(&departure->errand);
    else if (errand_is_late(&departure->errand))
        errand_leave(&departure->errand);
    else
        return false;
    arrivals->departure = NULL;
    return true;
}

/* ---- all of them ---- */

int arrivals_create(struct arrivals **out, struct exports_change *change,
                    const struct arrival_terms *terms, struct error *err)
{
    struct arrivals *arrivals = calloc(1, sizeof *arrivals);

    if (arrivals != NULL)
        arrivals->opened = calloc(change->added_count + 1, sizeof *arrivals->opened);
    if (arrivals == NULL || arrivals->opened == NULL) {
        free(arrivals);
        return error_no_memory(err, NULL);
    }
    arrivals->change = change;
    arrivals->terms = *terms;
    *out = arrivals;
    return 0;
}

static bool all_have_come(struct arrivals *arrivals)
{
    const struct exports_change *change = arrivals->change;
    unsigned under_way = 0;

    for (unsigned i = 0; i < ARRIVALS_AT_ONCE; i++) {
        struct arrival **place = &arrivals->under_way[i];

        if (*place != NULL && look_at(arrivals, *place))
            *place = NULL;
        if (*place == NULL && change->code == 0 && arrivals->begun < change->added_count)
            begin(arrivals, place);
        under_way += *place != NULL;
    }
    return under_way == 0;
}

bool arrivals_look(struct arrivals *arrivals)
{
    if (!all_have_come(arrivals))
        return false;
    if (arrivals->change->code < 0 && arrivals->departure == NULL && arrivals->opened != NULL &&
        count_opened(arrivals) > 0)
        depart(arrivals);
    return look_at_departure(arrivals);
}

uint64_t arrivals_next_ms(const struct arrivals *arrivals)
{
    uint64_t soonest =
        arrivals->departure != NULL ? arrivals->departure->errand.until_ms : UINT64_MAX;

    for (unsigned i = 0; i < ARRIVALS_AT_ONCE; i++)
        if (arrivals->under_way[i] != NULL && arrivals->under_way[i]->errand.until_ms < soonest)
            soonest = arrivals->under_way[i]->errand.until_ms;
    return soonest;
}

void arrivals_leave(struct arrivals *arrivals)
{
    for (unsigned i = 0; i < ARRIVALS_AT_ONCE; i++) {
        struct arrival *one = arrivals->under_way[i];

        if (one == NULL)
            continue;
        arrivals->change->added[one->index].settings = NULL;
        errand_leave(&one->errand);
        arrivals->under_way[i] = NULL;
    }
    if (arrivals->departure != NULL)
        errand_leave(&arrivals->departure->errand);
    arrivals->departure = NULL;
}

void arrivals_free(struct arrivals *arrivals)
{
    free(arrivals->opened);
    free(arrivals);
}
