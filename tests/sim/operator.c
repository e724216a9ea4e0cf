#include "tests/sim/operator.h"

#include <stddef.h>

#include "tests/sim/client.h"
#include "tests/sim/idle.h"
#include "tests/sim/job.h"
#include "tests/sim/jobs.h"
#include "tests/sim/keys.h"
#include "tests/sim/liar.h"
#include "tests/sim/live.h"
#include "tests/sim/neighbour.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/oracle.h"
#include "tests/sim/random.h"
#include "tests/sim/rates.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/session.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define STARTS_MAX 30u
#define LOOK_NS (5 * NS_PER_MS)
#define DRAINED_SECONDS_MAX 120u
#define DISK_SECONDS_MAX 100u

enum death { DEATH_POWER, DEATH_KILL, DEATH_TERM };

static bool store_is_left_alone = true;

static void end_faults(void)
{
    volumes_end_faults();
    liar_ends();
    network.stall = 0;
}

static bool anything_may_fail(void)
{
    return volumes_errors() > 0 || volumes_are_in_trouble() || jobs_go_on();
}

/* What the clients were not answered will not happen any more: also at the store, where it may have
 * been on its way. */
static void front_is_gone(void)
{
    uint64_t end_ns = sim_now_ns + DRAINED_SECONDS_MAX * NS_PER_S;

    while (options.remote && server_connections(SITE_STORE) > 0) {
        fiber_sleep(LOOK_NS);
        if (sim_now_ns > end_ns)
            sim_fail("the store keeps connections of a server that is gone");
    }
    oracle_server_gone();
    volumes_forget_errors();
}

static void start(enum site site);
static bool end_server(enum site site, enum death death);

/* A sync of it has failed: it makes nothing durable until it is started again. */
static void restart_store(void)
{
    volumes_trouble();
    (void)end_server(SITE_STORE, DEATH_TERM);
    start(SITE_STORE);
}

static void power_cut(void)
{
    mark(MARK_power_cut);
    job_kill();
    keys_power_is_cut();
    volumes_power_cut();
    sessions_are_owed();
    oracle_power_cut();
}

static void begin(enum site site)
{
    const struct rates rates = rates_of(1);

    if (site == SITE_FRONT) {
        jobs_settle();
        volumes_forget_errors(); /* that a job was told of, and nobody else will be */
        rates_hold(&rates);
    }
    server_begin(site);
}

/* Dies while it starts, now and then, and is started again. */
static void start(enum site site)
{
    for (unsigned i = 0;; i++) {
        uint64_t errors = volumes_errors();

        if (i == STARTS_MAX)
            end_faults();
        if (i > 2 * STARTS_MAX && !volumes_are_in_trouble())
            sim_fail("server %u does not start, and nothing fails any more", (unsigned)site);
        if (i >= STARTS_MAX && site == SITE_FRONT && options.remote && store_is_left_alone) {
            restart_store();
        }
        begin(site);
        if (i < 3 && random_chance(STREAM_OPERATOR, (unsigned)options.early_permille)) {
            fiber_sleep(random_skewed(STREAM_OPERATOR, NS_PER_US, 100 * NS_PER_MS));
            if (server_state(site) != SERVER_DOWN)
                server_kill(site);
            if (site == SITE_FRONT)
                front_is_gone();
            if (!options.remote && random_chance(STREAM_OPERATOR, 500))
                power_cut();
            continue;
        }
        if (server_has_started(site))
            return;
        mark(MARK_start_failed);
        if (errors == volumes_errors() && !anything_may_fail())
            sim_fail("server %u did not start, and nothing has failed", (unsigned)site);
        schedule_progress();
        fiber_sleep(options.remote ? 100 * NS_PER_MS : 1);
    }
}

static enum death draw_death(void)
{
    uint64_t sum = options.power + options.kill + options.term;
    uint64_t drawn = random_below(STREAM_OPERATOR, sum > 0 ? sum : 1);

    if (sum == 0)
        return DEATH_TERM;
    if (drawn < options.power)
        return DEATH_POWER;
    return drawn < options.power + options.kill ? DEATH_KILL : DEATH_TERM;
}

/* True: it had the time to end in good order. */
static bool end_server(enum site site, enum death death)
{
    if (death != DEATH_TERM) {
        server_kill(site);
        return false;
    }
    server_terminate(site);
    if (random_chance(STREAM_OPERATOR, 200)) { /* it does not last that long */
        fiber_sleep(random_skewed(STREAM_OPERATOR, NS_PER_US, 100 * NS_PER_MS));
        if (server_state(site) != SERVER_DOWN) {
            server_kill(site);
            return false;
        }
    }
    server_has_ended(site);
    return true;
}

static void end_front(enum death death)
{
    if (death == DEATH_TERM && clients_running() > 0)
        mark(MARK_terminate_with_commands);
    bool in_order = end_server(SITE_FRONT, death);
    front_is_gone();
    if (options.remote)
        return;
    /* After the end in good order all was flushed, or an error was told. */
    if (death == DEATH_POWER || (in_order && random_chance(STREAM_OPERATOR, 500)))
        power_cut();
}

/* ---- the store ---- */

static bool store_may_die = true;

/* The front has started without its disk, and can't open it: then somebody looks after the store.
 */
static void wait_for_disk(void)
{
    uint64_t since_ns = sim_now_ns;

    while (store_may_die) {
        fiber_sleep(LOOK_NS);
        if (server_state(SITE_FRONT) != SERVER_UP || !server_disk_is_away())
            since_ns = sim_now_ns;
        if (sim_now_ns < since_ns + DISK_SECONDS_MAX * NS_PER_S)
            continue;
        store_is_left_alone = false;
        restart_store();
        store_is_left_alone = true;
        since_ns = sim_now_ns;
    }
}

/* It goes, with the power or without, and comes again, while the front lives on. */
static void *look_after_store(void *nothing)
{
    store_is_left_alone = false;
    for (uint64_t deaths = 0; store_may_die && deaths < options.store_deaths; deaths++) {
        uint64_t least_ns = options.store_life_ms * NS_PER_MS / 4;

        fiber_sleep(least_ns + random_below(STREAM_OPERATOR, 4 * least_ns));
        if (!store_may_die)
            break;
        enum death death = draw_death();
        volumes_trouble();
        mark(MARK_store_died);
        bool in_order = end_server(SITE_STORE, death);
        volumes_forget_errors();
        if (death == DEATH_POWER || (in_order && random_chance(STREAM_OPERATOR, 500)))
            power_cut();
        fiber_sleep(random_skewed(STREAM_OPERATOR, NS_PER_MS, 2 * NS_PER_S));
        start(SITE_STORE);
        volumes_trouble(); /* what was asked for meanwhile may have failed */
    }
    store_is_left_alone = true;
    if (options.retry_exports)
        wait_for_disk();
    return nothing;
}

static void end_store_faults(struct fiber *store)
{
    store_may_die = false;
    if (store != NULL)
        (void)fiber_join(store);
}

/* ---- all of it ---- */

static void wait_for_answers(unsigned count)
{
    while (clients_running() > 0 && server_answers() < count)
        fiber_sleep(LOOK_NS);
}

static void last_look(void)
{
    end_faults();
    end_front(draw_death());
    if (options.remote) {
        enum death death = draw_death();
        bool in_order = end_server(SITE_STORE, death);

        if (death == DEATH_POWER || in_order)
            power_cut();
        start(SITE_STORE);
    }
    begin(SITE_FRONT);
    if (!server_has_started(SITE_FRONT))
        sim_fail("the server does not start, and nothing fails any more");
    client_verify();
    client_verify();
    jobs_verify();
    server_terminate(SITE_FRONT);
    server_has_ended(SITE_FRONT);
    if (options.remote) {
        server_terminate(SITE_STORE);
        server_has_ended(SITE_STORE);
    }
}

void *operator_work(void *nothing)
{
    struct fiber *store = NULL;

    schedule_patience(300 * NS_PER_S);
    volumes_make();
    if (options.remote)
        start(SITE_STORE);
    start(SITE_FRONT);
    if (options.remote)
        store = fiber_start("store", HOST_WORLD, look_after_store, NULL);
    clients_start();
    jobs_begin();
    live_begin();
    neighbour_begin();
    idle_watch_begin();
    for (unsigned life = 1; life < options.lives && clients_running() > 0; life++) {
        wait_for_answers((unsigned)random_skewed(STREAM_OPERATOR, 1, options.life_commands));
        fiber_sleep(random_skewed(STREAM_OPERATOR, 1, LOOK_NS));
        end_front(draw_death());
        fiber_sleep(random_skewed(STREAM_OPERATOR, 1, NS_PER_S));
        jobs_without_server(power_cut);
        start(SITE_FRONT);
    }
    clients_end();
    live_end();
    neighbour_end();
    idle_watch_end();
    jobs_end();
    end_store_faults(store);
    last_look();
    return nothing;
}
