#include "plugins/remote-ledger.h"

#include <errno.h>

void remote_ledger_write_answered(struct remote_ledger *ledger)
{
    atomic_fetch_add(&ledger->answered, 1);
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

static void all_may_be_lost(struct remote_ledger *ledger)
{
    uint_fast64_t answered = atomic_load(&ledger->answered);
    uint_fast64_t lost = atomic_load(&ledger->lost);

    while (lost < answered && !atomic_compare_exchange_weak(&ledger->lost, &lost, answered))
        ;
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

void remote_ledger_primary_connected(struct remote_ledger *ledger)
{
    remote_ledger_settle(ledger);
    atomic_fetch_add(&ledger->generation, 1);
}

uint64_t remote_ledger_flush_mark(struct remote_ledger *ledger)
{
    return atomic_load(&ledger->answered);
}

bool remote_ledger_flush_refused(struct remote_ledger *ledger, uint64_t mark)
{
    if (atomic_load(&ledger->lost) <= ledger->flushed)
        return false;
    if (ledger->told < mark)
        ledger->told = mark;
    return true;
}

bool remote_ledger_flush_is_void(const struct remote_ledger *ledger, uint64_t mark)
{
    return mark <= ledger->flushed;
}

int remote_ledger_flush_done(struct remote_ledger *ledger, uint64_t mark)
{
    if (remote_ledger_flush_refused(ledger, mark)) { /* another connection was lost meanwhile */
        remote_ledger_settle(ledger);
        return EIO;
    }
    if (ledger->flushed < mark)
        ledger->flushed = mark;
    return 0;
}

void remote_ledger_settle(struct remote_ledger *ledger)
{
    uint64_t lost = atomic_load(&ledger->lost);

    if (ledger->told >= lost && ledger->flushed < lost)
        ledger->flushed = lost;
}
