#include "server/serve/exports-removal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/block/image.h"
#include "server/client/channel.h"
#include "server/connection/worker-exports.h"

#define CLOSINGS_MAX 16u /* at a time: so many may hang before others that go have to wait */

/* Somebody else who waits for it. */
struct awaiting {
    struct awaiting *next;
    struct exports_change *change;
};

struct removal {
    struct removal *next;
    struct removals *removals;
    struct export *export;
    const char *name; /* of it, also while it is being closed */
    struct awaiting *awaiting;
    struct exports_change *change; /* NULL: it has been told */
    uint64_t hurry_at_ms;          /* by channel_clock_ms(); UINT64_MAX: it has been hurried */
    atomic_uint pending;           /* answers of workers that are still to come */
    struct export_closing closing;
    struct goodbye {
        struct worker_leave leave;
        struct removal *removal;
    } goodbyes[]; /* one per worker */
};

/* ---- clients and workers ---- */

static void said_goodbye(struct worker_leave *leave)
{
    struct removal *removal = container_of(leave, struct goodbye, leave)->removal;
    sem_t *wake = removal->removals->wake;

    if (atomic_fetch_sub(&removal->pending, 1) == 1) /* it may be gone from here on */
        sem_post(wake);
}

static void hurry(struct removal *removal)
{
    unsigned workers = removal->removals->worker_count;

    removal->hurry_at_ms = UINT64_MAX;
    atomic_fetch_add(&removal->pending, workers);
    for (unsigned i = 0; i < workers; i++)
        worker_hurry_export(&removal->goodbyes[i].leave);
}

int removals_reserve(struct removals *removals, size_t count)
{
    size_t bytes = sizeof(struct removal) + removals->worker_count * sizeof(struct goodbye);

    for (const struct removal *one = removals->spare; count > 0 && one != NULL; one = one->next)
        count--;
    for (; count > 0; count--) {
        struct removal *removal = calloc(1, bytes);

        if (removal == NULL)
            return -ENOMEM;
        removal->next = removals->spare;
        removals->spare = removal;
    }
    return 0;
}

void removals_add(struct removals *removals, struct exports_change *change, struct export *export)
{
    struct removal *removal = removals->spare;

    removals->spare = removal->next;
    removal->removals = removals;
    removal->export = export;
    removal->name = export->name;
    removal->change = change;
    change->leaving++;
    if (export_is_open(export))
        image_is_leaving(export->top);
    removal->next = removals->first;
    removals->first = removal;
    atomic_init(&removal->pending, removals->worker_count);
    for (unsigned i = 0; i < removals->worker_count; i++) {
        removal->goodbyes[i].removal = removal;
        removal->goodbyes[i].leave =
            (struct worker_leave){ .export = export, .done = said_goodbye };
        worker_leave_export(&removals->workers[i]->worker, &removal->goodbyes[i].leave);
    }
    if (change->farewell == EXPORTS_DRAIN && !exports_change_adds(change, export->name))
        removal->hurry_at_ms = channel_clock_ms() + change->drain_seconds * 1000ull;
    else
        hurry(removal);
}

static int await(struct removal *removal, struct exports_change *change)
{
    struct awaiting *one = malloc(sizeof *one);

    if (one == NULL)
        return error_no_memory(&change->error, NULL);
    *one = (struct awaiting){ removal->awaiting, change };
    removal->awaiting = one;
    change->leaving++;
    if (change->farewell == EXPORTS_NOW && removal->hurry_at_ms != UINT64_MAX)
        hurry(removal);
    return 0;
}

int removals_await(struct removals *removals, struct exports_change *change, const char *name)
{
    for (struct removal *one = removals->first; one != NULL; one = one->next)
        if (strcmp(one->name, name) == 0 && await(one, change) < 0)
            return change->leaving > 0 ? 0 : -ENOMEM; /* those before will tell */
    return 0;
}

uint64_t removals_next_ms(const struct removals *removals)
{
    uint64_t soonest = UINT64_MAX;

    for (const struct removal *one = removals->first; one != NULL; one = one->next)
        if (one->hurry_at_ms < soonest)
            soonest = one->hurry_at_ms;
    return soonest;
}

/* ---- closing ---- */

static void tell(struct exports_change *change, const struct export_closing *closing)
{
    if (closing->code < 0) {
        change->error = closing->error;
        change->code = -EIO;
    }
    if (--change->leaving == 0)
        change->done(change);
}

static void tell_others(struct removal *removal)
{
    while (removal->awaiting != NULL) {
        struct awaiting *one = removal->awaiting;

        removal->awaiting = one->next;
        tell(one->change, &removal->closing);
        free(one);
    }
}

static void finish(struct removals *removals, struct removal *removal)
{
    struct exports_change *change = removal->change;

    removals->closing_count--;
    (void)export_closing_end(&removal->closing, removals->loop); /* its code is told */
    export_closing_free(&removal->closing);
    tell_others(removal);
    tell(change, &removal->closing);
    free(removal);
}

/* Who has to wait for others is looked at again when one of them has ended. */
static bool can_be_finished(struct removals *removals, struct removal *removal)
{
    bool closing = removal->closing.export != NULL;

    if (atomic_load(&removal->pending) > 0 ||
        (!closing && atomic_load(&removal->export->visits) > 0))
        return false;
    removal->hurry_at_ms = UINT64_MAX;
    if (!closing && removals->closing_count < CLOSINGS_MAX) {
        removals->closing_count++;
        export_closing_begin(&removal->closing, removal->export, &removals->keepers,
                             removals->wake);
    }
    return removal->closing.export != NULL && export_closing_has_ended(&removal->closing);
}

/* False: one has been finished, and the others want to be looked at again. */
static bool look(struct removals *removals)
{
    for (struct removal **link = &removals->first; *link != NULL; link = &(*link)->next) {
        struct removal *removal = *link;

        if (can_be_finished(removals, removal)) {
            *link = removal->next;
            finish(removals, removal);
            return false;
        }
        if (removal->hurry_at_ms <= channel_clock_ms())
            hurry(removal);
    }
    return true;
}

void removals_look(struct removals *removals)
{
    while (!look(removals))
        continue;
}

/* ---- the end ---- */

static void fail(struct exports_change *change)
{
    if (--change->leaving > 0)
        return;
    (void)exports_change_fail_for_the_end(change);
    change->done(change);
}

void removals_fail(struct removals *removals)
{
    for (struct removal *one = removals->first; one != NULL; one = one->next) {
        struct exports_change *change = one->change;

        one->change = NULL;
        if (change != NULL)
            fail(change);
        while (one->awaiting != NULL) {
            struct awaiting *other = one->awaiting;

            one->awaiting = other->next;
            fail(other->change);
            free(other);
        }
    }
}

static int flush(struct removal *removal, struct loop *loop)
{
    if (removal->closing.export != NULL)
        return export_closing_end(&removal->closing, loop);
    return export_closing_flush(removal->export, loop);
}

int removals_flush(struct removals *removals, struct loop *loop)
{
    int result = 0;

    for (struct removal *one = removals->first; one != NULL; one = one->next)
        result |= flush(one, loop);
    return result < 0 ? -EIO : 0;
}

void removals_close(struct removals *removals)
{
    while (removals->spare != NULL) {
        struct removal *removal = removals->spare;

        removals->spare = removal->next;
        free(removal);
    }
    while (removals->first != NULL) {
        struct removal *removal = removals->first;

        removals->first = removal->next;
        if (removal->closing.export != NULL)
            export_closing_free(&removal->closing);
        else
            export_closing_now(removal->export, &removals->keepers);
        free(removal);
    }
}
