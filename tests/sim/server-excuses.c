/* What lets a server do less than it should: see server.h. */
#include "tests/sim/options.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"

static bool lacked_memory;
static uint64_t disturbances;

void server_lacks_memory(void)
{
    mark(MARK_memory_short);
    lacked_memory |=
        options.stall_permille > 0 || options.slow_permille > 0 || options.freeze_permille > 0;
}

bool server_lacked_memory(void)
{
    return lacked_memory;
}

void server_is_disturbed(bool more)
{
    disturbances += more ? 1 : UINT64_MAX;
}

uint64_t server_disturbances(void)
{
    return disturbances;
}
