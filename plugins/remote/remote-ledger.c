#include "plugins/remote/remote-ledger.h"

#include <errno.h>
#include <stddef.h>

static void raise_to(atomic_uint_fast64_t *level, uint64_t to)
{
    uint_fast64_t now = atomic_load(level);

    while (now < to && !atomic_compare_exchange_weak(level, &now, to))
        ;
}

static void lower_to(atomic_uint_fast64_t *level, uint64_t to)
{
    uint_fast64_t now = atomic_load(level);

    while (now > to && !atomic_compare_exchange_weak(level, &now, to))
        ;
}

/* ---- writes ---- */

uint32_t remote_ledger_epoch(struct remote_ledger *ledger)
{
    return atomic_load(&ledger->losses) + 1;
}

unsigned remote_ledger_generation(struct remote_ledger *ledger)
{
    return atomic_load(&ledger->generation);
}

bool remote_ledger_has_primary(struct remote_ledger *ledger)
{
    return atomic_load(&ledger->generation) % 2 == 0;
}

bool remote_ledger_is_current(struct remote_ledger *ledger, unsigned generation)
{
    return generation % 2 == 0 && atomic_load(&ledger->generation) == generation;
}

void remote_ledger_answered(struct remote_ledger *ledger, unsigned count, uint32_t oldest_epoch)
{
    uint64_t answered = atomic_fetch_add(&ledger->answered, count) + count;

    if (oldest_epoch != remote_ledger_epoch(ledger))
        raise_to(&ledger->lost, answered);
}

/* ---- losses ---- */

static void all_may_be_lost(struct remote_ledger *ledger)
{
    atomic_fetch_add(&ledger->losses, 1);
    raise_to(&ledger->lost, atomic_load(&ledger->answered));
}

void remote_ledger_primary_lost(struct remote_ledger *ledger)
{
    atomic_fetch_add(&ledger->generation, 1);
    all_may_be_lost(ledger);
}

/* One of an earlier generation was counted with the primary. */
void remote_ledger_connection_lost(struct remote_ledger *ledger, unsigned generation)
{
    if (remote_ledger_is_current(ledger, generation))
        all_may_be_lost(ledger);
}

void remote_ledger_sync_failed(struct remote_ledger *ledger)
{
    all_may_be_lost(ledger);
}

void remote_ledger_primary_connected(struct remote_ledger *ledger)
{
    atomic_fetch_add(&ledger->generation, 1);
}

/* ---- who is told ---- */

void remote_ledger_flusher_begin(struct remote_ledger *ledger, struct flusher *flusher)
{
    flusher->vanished_before = atomic_load(&ledger->vanished);
    flusher->settled = atomic_load(&ledger->settled);
    atomic_store(&flusher->told, flusher->settled);
}

/* Whether nobody vanished who may come back and has to be told, unless this is who came back. */
static bool may_settle(struct remote_ledger *ledger, const struct flusher *flusher)
{
    return atomic_load(&ledger->vanished) == flusher->vanished_before ||
           atomic_load(&ledger->orphaned) <= atomic_load(&ledger->lost_from);
}

/* It knows: another FLUSH of it, or its farewell, came after the answer to the one that failed. */
static void settle(struct remote_ledger *ledger, struct flusher *flusher)
{
    uint64_t told = atomic_load(&flusher->told), before = flusher->settled;

    if (told <= before)
        return;
    flusher->settled = told;
    if (!may_settle(ledger, flusher))
        return;
    raise_to(&ledger->settled, told);
    if (!may_settle(ledger, flusher)) /* now: who vanished may have lowered it already */
        lower_to(&ledger->settled, before);
}

void remote_ledger_flusher_end(struct remote_ledger *ledger, struct flusher *flusher,
                               bool in_good_order)
{
    if (in_good_order) {
        settle(ledger, flusher);
        return;
    }
    raise_to(&ledger->orphaned, atomic_load(&ledger->answered));
    atomic_fetch_add(&ledger->vanished, 1);
    lower_to(&ledger->settled, flusher->settled);
}

uint64_t remote_ledger_flush_mark(struct remote_ledger *ledger, struct flusher *flusher)
{
    if (flusher != NULL)
        settle(ledger, flusher);
    return atomic_load(&ledger->answered);
}

void remote_ledger_flush_failed(struct flusher *flusher, uint64_t mark)
{
    raise_to(&flusher->told, mark);
}

/* ---- FLUSH ---- */

/* To be called before `flushed` rises: what is flushed later was not flushed when it was lost. */
static void note_losses(struct remote_ledger *ledger)
{
    uint64_t lost = atomic_load(&ledger->lost);

    if (lost <= ledger->flushed || lost <= ledger->missing)
        return;
    if (atomic_load(&ledger->settled) >= ledger->missing)
        atomic_store(&ledger->lost_from, ledger->flushed);
    ledger->missing = lost;
}

bool remote_ledger_flush_refused(struct remote_ledger *ledger, uint64_t told)
{
    note_losses(ledger);
    return ledger->missing > told;
}

bool remote_ledger_flush_is_void(const struct remote_ledger *ledger, uint64_t mark,
                                 bool since_start)
{
    return (ledger->has_flushed || since_start) && mark <= ledger->flushed;
}

int remote_ledger_flush_done(struct remote_ledger *ledger, uint64_t mark, uint64_t told)
{
    if (remote_ledger_flush_refused(ledger, told)) /* another connection was lost meanwhile */
        return EIO;
    if (ledger->flushed < mark)
        ledger->flushed = mark;
    ledger->has_flushed = true;
    return 0;
}
