#include "tests/sim/idle.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/loop-hosts.h"
#include "tests/sim/options.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/session.h"
#include "tests/sim/trace.h"

#define LOOK_NS (20 * NS_PER_MS)
#define QUIET_NS (100 * NS_PER_MS) /* besides what is on its way, both ways */

static bool wanted;
static struct fiber *watcher;
static unsigned life; /* of the front */

/* Limits, another server, a key or a disk that has gone: then the server waits, too. */
static bool may_wait(void)
{
    return options.remote > 0 || options.live_ms > 0 || options.stall_permille > 0 ||
           options.limit_iops + options.limit_kib + options.client_iops + options.group_iops > 0;
}

static bool is_excused(void)
{
    bool same = life == server_life(SITE_FRONT);

    life = server_life(SITE_FRONT);
    return !same || server_state(SITE_FRONT) != SERVER_UP || server_disk_is_away() ||
           server_lacked_memory();
}

static uint64_t quiet_ns(void)
{
    return QUIET_NS + 4 * (options.net_us + options.loop_us + options.batch_us) * NS_PER_US;
}

static void *watch(void *nothing)
{
    while (wanted) {
        fiber_sleep(LOOK_NS);
        uint64_t quiet = quiet_ns();
        if (is_excused() || sim_now_ns < quiet || loops_idle_since_ns() > sim_now_ns - quiet)
            continue;
        if (sessions_wait_since(sim_now_ns - quiet))
            sim_fail("a client waits for an answer, and the server does nothing for %llu ms",
                     (unsigned long long)(quiet / NS_PER_MS));
    }
    return nothing;
}

void idle_watch_begin(void)
{
    wanted = !may_wait();
    if (wanted)
        watcher = fiber_start("idle watcher", HOST_WORLD, watch, NULL);
}

void idle_watch_end(void)
{
    if (!wanted)
        return;
    wanted = false;
    (void)fiber_join(watcher);
}
