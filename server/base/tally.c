#include "server/base/tally.h"

#include <stdatomic.h>

static atomic_uint_fast64_t tallies[TALLIES];

void tally_add(enum tally tally)
{
    atomic_fetch_add_explicit(&tallies[tally], 1, memory_order_relaxed);
}

void tally_set(enum tally tally, uint64_t number)
{
    atomic_store_explicit(&tallies[tally], number, memory_order_relaxed);
}

uint64_t tally_get(enum tally tally)
{
    return atomic_load_explicit(&tallies[tally], memory_order_relaxed);
}
