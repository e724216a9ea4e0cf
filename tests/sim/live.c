#include "tests/sim/live.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "server/serve/added-export.h"
#include "server/serve/exports.h"
#include "tests/sim/config.h"
#include "tests/sim/files.h"
#include "tests/sim/keys.h"
#include "tests/sim/options.h"
#include "tests/sim/oracle.h"
#include "tests/sim/pki.h"
#include "tests/sim/random.h"
#include "tests/sim/rates.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/session.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define TRIES_MAX 400u
#define RARE_PER_MILLE 200u
#define PAUSE_NS (20 * NS_PER_MS)

/* Nobody knows when a server that was killed lets go of one: they are never freed. */
struct edit {
    struct server_change change;
    struct exports_addition added;
    const char *removed[1];
    bool settings_freed;
    struct added as_called; /* the last one: texts of a call may follow it */
};

static struct export_settings common; /* nothing is said of all */

static bool wanted;
static struct fiber *administrator;
static unsigned life; /* of the front, that what follows is about */
static struct config_wish config;
static unsigned other; /* as added by nbdcrypt ctl: its image; 0: it is not there */
static bool by_config; /* or by the configuration */
static bool
    disk_may_be_added; /* by nbdcrypt ctl: then it stays, whatever the configuration lacks */

static uint64_t resumed_ns;     /* the last time */
static bool limits_are_by_hand; /* and not those of the configuration */
static bool was_hung_up;        /* SIGHUP came: a reload may come at any time */

static bool is_over(void)
{
    return server_life(SITE_FRONT) != life || server_state(SITE_FRONT) != SERVER_UP;
}

static bool drawn(unsigned per_mille)
{
    return random_chance(STREAM_OPERATOR, per_mille);
}

/* One that changes the export gives it the limits of the configuration again. */
static int reload(bool dry_run)
{
    if (limits_are_by_hand)
        rates_hold(NULL);
    return server_reload(dry_run);
}

/* ---- changes of exports ---- */

static void free_settings(struct export_settings *settings)
{
    struct edit *edit = container_of(settings, struct edit, as_called.settings);

    if (edit->settings_freed)
        sim_fail("the settings of export '%s' are freed twice", settings->name);
    edit->settings_freed = true;
}

static struct edit *create(void)
{
    struct edit *edit = calloc(1, sizeof(*edit));

    if (edit == NULL)
        sim_fail("no memory");
    edit->as_called.common = &common;
    edit->added = (struct exports_addition){ &edit->as_called.settings, free_settings };
    edit->change.change.added = &edit->added;
    edit->change.change.removed = edit->removed;
    return edit;
}

static void add_disk(struct edit *edit)
{
    const struct rates rates = rates_of(config.limits + 1);

    edit->change.change.added_count = 1;
    edit->as_called.settings = (struct export_settings){
        .name = DISK,
        .image = config_image(SITE_FRONT),
        .header = options.layer > 0 && options.detached ? SIM_FOLDER VOLUME_HEADER : NULL,
        .key = { .file = options.layer > 0 ? keys_any() : NULL },
        .raw = options.layer == 0,
        .discard = options.discard,
        .zero_holes = options.zero_holes,
        .limits = { .iops = { [LIMIT_IOPS] = (unsigned)rates.iops },
                    .bandwidth = { [LIMIT_BANDWIDTH - LIMIT_IOPS_KINDS] = rates.bytes },
                    .client_iops = (unsigned)rates.client_iops,
                    .io_size_bytes = options.io_size_kib * 1024 },
        .limit_group = config_group(),
        .added = true,
    };
}

static void add_other(struct edit *edit, unsigned image)
{
    edit->change.change.added_count = 1;
    edit->as_called.settings = (struct export_settings){
        .name = OTHER,
        .image = image == 1 ? SIM_FOLDER VOLUME_OTHER "1" : SIM_FOLDER VOLUME_OTHER "2",
        .raw = true,
        .added = true,
    };
}

static void remove_it(struct edit *edit, const char *name, enum exports_farewell farewell)
{
    edit->removed[0] = name;
    edit->change.change.removed_count = 1;
    edit->change.change.farewell = farewell;
    edit->change.change.drain_seconds = 1 + (unsigned)random_below(STREAM_OPERATOR, 5);
}

/* 0 if it has to succeed, and did. */
static int submit(struct edit *edit, bool must_succeed)
{
    int result = server_change(&edit->change);

    trace_event("the change ended with %llu", (uint64_t)-result, 0, 0, 0);
    if (result < 0 && must_succeed && !is_over())
        sim_fail("a change of the exports has failed, and nothing else has: %s",
                 edit->change.change.error.text);
    if (result < 0 && result != -ETIMEDOUT && edit->change.change.added_count > 0 &&
        !edit->settings_freed && !is_over()) /* what was given up may still be looking at them */
        sim_fail("a change has failed and kept its settings");
    return result;
}

/* ---- the disk ---- */

/* What the old one was told of by the storage is forgotten with it, and so is what it had answered.
 */
static void disk_is_back(void)
{
    const struct rates rates = rates_of(config.limits + 1);

    if (is_over())
        return;
    limits_are_by_hand = false;
    rates_hold(&rates);
    oracle_opened_anew();
    volumes_forget_errors();
    server_disk_is_back();
}

#define LATE_NS (2 * NS_PER_S) /* until all workers have told their clients */

/* On the thread of the exports: it has been made, and clients are told to go, or will be. */
static void disk_has_gone(struct exports_change *change)
{
    uint64_t drain_ns = change->farewell == EXPORTS_DRAIN ? change->drain_seconds * NS_PER_S : 0;

    sessions_are_told_to_go(sim_now_ns + drain_ns + LATE_NS);
}

static void put_disk_back(bool by_reload)
{
    for (unsigned i = 0; !is_over() && !server_has_export(DISK); i++) {
        int result;

        if (i == TRIES_MAX)
            sim_fail("the disk can't be served again");
        if (by_reload) {
            config.no_disk = false;
            config_write(SITE_FRONT, &config);
            result = reload(false);
        } else {
            struct edit *edit = create();

            add_disk(edit);
            result = submit(edit, false);
        }
        if (result < 0)
            fiber_sleep(random_skewed(STREAM_OPERATOR, NS_PER_MS, 2 * NS_PER_S));
    }
    mark(MARK_disk_replaced);
    disk_may_be_added = !by_reload;
    disk_is_back();
}

static void remove_disk(void)
{
    enum exports_farewell farewell = (enum exports_farewell)random_below(STREAM_OPERATOR, 3);
    struct edit *edit = create();
    uint64_t sent = oracle_moment();

    server_disk_goes(true);
    remove_it(edit, DISK, farewell);
    edit->change.change.published = disk_has_gone;
    int result = submit(edit, false);
    if (is_over())
        return;
    if (result == 0)
        oracle_flushed_by_itself(sent, options.remote > 0);
    if (server_has_export(DISK)) {
        if (farewell != EXPORTS_SAFE)
            sim_fail("the disk is still served");
        mark(MARK_disk_in_use);
        server_disk_stays();
        return;
    }
    fiber_sleep(random_skewed(STREAM_OPERATOR, 1, NS_PER_S));
    put_disk_back(false); /* a configuration that has not changed changes nothing */
}

static void remove_disk_by_config(void)
{
    if (other > 0)
        return;
    config.no_disk = by_config = true;
    config.other = CONFIG_OTHER; /* a configuration without exports is refused */
    config_write(SITE_FRONT, &config);
    server_disk_goes(true);
    if (reload(false) < 0 && !is_over())
        sim_fail("a configuration without the disk is not taken");
    if (is_over())
        return;
    if (server_has_export(DISK)) {
        if (!disk_may_be_added)
            sim_fail("the disk is still served, and the configuration has it no more");
        config.no_disk = false;
        config_write(SITE_FRONT, &config);
        server_disk_stays();
        return;
    }
    fiber_sleep(random_skewed(STREAM_OPERATOR, 1, 10 * NS_PER_S));
    put_disk_back(drawn(700));
    config.no_disk = false;
}

/* ---- its key ---- */

/* All who were held up go on. */
static void see_clients_go_on(uint64_t since_ns)
{
    if (sessions_wait_since(since_ns))
        mark(MARK_resumed_clients);
    while (!is_over() && sessions_wait_since(since_ns))
        fiber_sleep(PAUSE_NS);
}

static void suspend(void)
{
    static struct key_source key;
    struct edit *edit = create();
    unsigned tries = 0;

    edit->change.change.suspended = DISK;
    edit->change.change.added_count = 0;
    int result = submit(edit, false);
    if (is_over())
        return;
    if (result == 0 && options.layer == 0)
        sim_fail("a disk without a key was suspended");
    if (result == 0)
        mark(MARK_suspended);
    fiber_sleep(random_skewed(STREAM_OPERATOR, 1, 2 * NS_PER_S));
    do {
        if (++tries == TRIES_MAX)
            sim_fail("the disk can't be resumed");
        if (tries > 1) /* a remote disk may be away for longer */
            fiber_sleep(options.remote ? NS_PER_S : PAUSE_NS);
        key = (struct key_source){ .file = keys_any() };
        edit = create();
        edit->change.change.resumed = DISK;
        edit->change.change.key = options.layer > 0 ? &key : NULL;
    } while (submit(edit, options.layer == 0) < 0 && !is_over());
    resumed_ns = sim_now_ns;
    if (random_chance(STREAM_RARE, 500))
        see_clients_go_on(sim_now_ns);
}

/* ---- another export ---- */

static void change_other(void)
{
    struct edit *edit = create();

    if (by_config)
        return;
    if (other == 0) {
        other = 1;
        add_other(edit, other);
    } else if (drawn(500)) {
        remove_it(edit, OTHER, EXPORTS_SAFE);
        other = 3 - other;
        add_other(edit, other);
        edit->change.change.farewell = EXPORTS_NOW;
    } else {
        other = 0;
        remove_it(edit, OTHER, EXPORTS_SAFE);
    }
    if (submit(edit, true) == 0)
        mark(MARK_other_changed);
}

static void rescan(void)
{
    struct edit *edit = create();

    edit->change.change.rescan = true;
    (void)submit(edit, true);
}

/* ---- files ---- */

static void read_config_again(void)
{
    struct config_wish before = config;
    /* Else the SIGHUP before it takes what this only asks about. */
    bool dry_run = drawn(200) && !server_is_reading();

    config.description = (unsigned)random_below(STREAM_OPERATOR, 3);
    config.other_rules = drawn(500);
    config.broken = drawn(200);
    if (other == 0)
        config.other = drawn(500) ? CONFIG_OTHER : 0;
    config_write(SITE_FRONT, &config);
    int result = reload(dry_run);
    if (is_over())
        return;
    if (result < 0 && !config.broken)
        sim_fail("a configuration is not taken, and there is nothing wrong with it");
    if (result == 0 && config.broken)
        sim_fail("half a configuration is taken");
    if (result == 0)
        mark(MARK_config_reread);
    if (result < 0 || dry_run)
        config = before;
    by_config = config.other > 0;
    config_write(SITE_FRONT, &config);
    if (server_has_export(OTHER) != (by_config || other > 0))
        sim_fail("an export of the configuration is there, or not, against it");
}

static void change_certificates(void)
{
    static unsigned server;
    struct pki_wish wish = { .server = server ^ 1, .revoked = drawn(500), .broken = drawn(300) };

    pki_write(&wish);
    if (drawn(500)) {
        server_hangup();
        while (!is_over() && server_is_reading())
            fiber_sleep(NS_PER_MS);
    } else {
        int result = reload(false);

        if (!is_over() && (result == 0) == wish.broken)
            sim_fail("certificates are taken that can't be, or those that can are not");
    }
    if (is_over())
        return;
    pki_settle(!wish.broken);
    if (!wish.broken)
        server = wish.server;
    mark(MARK_certificates_changed);
}

/* ---- what came later: drawn from a stream of its own ---- */

/* Who may not attach the disk any more is told to go; and perhaps its key has to go, too, while
 * something of them is in flight. */
static void forbid_all(void)
{
    config.nobody = true;
    config_write(SITE_FRONT, &config);
    server_disk_goes(false);
    if (sim_now_ns > resumed_ns + NS_PER_S) /* who was held up has begun, too */
        sessions_are_forbidden();
    if (reload(false) < 0 && !is_over())
        sim_fail("a configuration with other rules is not taken");
    mark(MARK_forbidden);
    if (!is_over() && options.layer > 0 && random_chance(STREAM_RARE, 600))
        suspend();
    if (!is_over())
        fiber_sleep(random_skewed(STREAM_RARE, 1, 2 * NS_PER_S));
    if (is_over())
        return;
    config.nobody = false;
    config_write(SITE_FRONT, &config);
    if (reload(false) < 0 && !is_over())
        sim_fail("a configuration with the rules of before is not taken");
    if (!is_over())
        server_disk_is_back();
}

/* By the configuration, or by nbdcrypt ctl limit: then the configuration does not say what holds.
 */
static void change_limits(void)
{
    unsigned factor = (unsigned)random_below(STREAM_RARE, 4);

    if (random_chance(STREAM_RARE, 500)) {
        struct rates rates = rates_of(factor);
        const struct limit_terms terms = {
            .rate = { [LIMIT_IOPS] = rates.iops, [LIMIT_BANDWIDTH] = rates.bytes },
            .client_iops = rates.client_iops,
            .io_size_bytes = options.io_size_kib * 1024
        };

        limits_are_by_hand = true;
        rates_hold(NULL); /* from some moment on they are others */
        if (server_limit(&terms))
            rates_hold(was_hung_up ? NULL : &rates);
    } else if (factor != config.limits) {
        struct rates rates = rates_of(factor + 1);

        config.limits = factor;
        config_write(SITE_FRONT, &config);
        rates_hold(NULL);
        if (reload(false) < 0 && !is_over())
            sim_fail("a configuration with other limits is not taken");
        limits_are_by_hand = false;
        if (!is_over())
            rates_hold(&rates);
    }
    mark(MARK_limits_changed);
}

/* Two at once, of which one has no image: what was opened is closed, and nothing of it is there. */
static unsigned halves_freed;

static void free_half(struct export_settings *settings)
{
    (void)settings;
    halves_freed++;
}

static void change_by_half(void)
{
    struct half {
        struct server_change change;
        struct exports_addition added[2];
        struct added as_called[2];
    } *half = calloc(1, sizeof(*half));

    if (half == NULL)
        sim_fail("no memory");
    if (other > 0 || by_config)
        return;
    for (unsigned i = 0; i < 2; i++) {
        half->as_called[i].common = &common;
        half->as_called[i].settings =
            (struct export_settings){ .name = i == 0 ? OTHER : "half",
                                      .image = i == 0 ? SIM_FOLDER VOLUME_OTHER "1"
                                                      : SIM_FOLDER "nothing",
                                      .raw = true,
                                      .added = true };
        half->added[i] = (struct exports_addition){ &half->as_called[i].settings, free_half };
    }
    half->change.change.added = half->added;
    half->change.change.added_count = 2;
    halves_freed = 0;
    mark(MARK_changed_by_half);
    int result = server_change(&half->change);
    if (is_over())
        return;
    if (result == 0 || server_has_export(OTHER))
        sim_fail("an export is added, and the other one of that change has no image");
    if (halves_freed != 2)
        sim_fail("a change has failed and kept its settings");
}

static bool change_something_rare(void)
{
    bool limited = options.limit_iops + options.limit_kib + options.client_iops > 0;

    if (!random_chance(STREAM_RARE, RARE_PER_MILLE))
        return false;
    uint64_t which = random_below(STREAM_RARE, limited ? 3 : 2);
    trace_event("a rare change of the running server: %llu", which, 0, 0, 0);
    if (which == 0)
        forbid_all();
    else if (which == 1)
        change_by_half();
    else
        change_limits();
    return true;
}

/* ---- all of it ---- */

static void forget(void)
{
    life = server_life(SITE_FRONT);
    config = (struct config_wish){ 0 };
    other = 0;
    by_config = limits_are_by_hand = was_hung_up = disk_may_be_added = false;
}

static void hang_up(void)
{
    was_hung_up = true;
    if (limits_are_by_hand)
        rates_hold(NULL);
    server_hangup();
}

static void change_something(void)
{
    static void (*const changes[])(void) = {
        remove_disk,
        remove_disk_by_config,
        suspend,
        change_other,
        rescan,
        read_config_again,
        hang_up,
        read_config_again,
        change_certificates,
        change_other,
    };
    size_t which = random_below(STREAM_OPERATOR, sizeof(changes) / sizeof(changes[0]));

    if (changes[which] == change_certificates && options.tls != TLS_BY_CERTIFICATE)
        return;
    trace_event("change %llu of the running server", which, 0, 0, 0);
    if (changes[which] == hang_up || changes[which] == read_config_again ||
        changes[which] == change_certificates || changes[which] == remove_disk_by_config)
        oracle_may_be_opened_anew();
    changes[which]();
}

static void *administrate(void *nothing)
{
    while (wanted) {
        fiber_sleep(random_skewed(STREAM_OPERATOR, NS_PER_MS, options.live_ms * NS_PER_MS));
        if (!wanted || server_state(SITE_FRONT) != SERVER_UP)
            continue;
        if (life != server_life(SITE_FRONT))
            forget();
        if (!server_disk_is_away() && !change_something_rare())
            change_something();
    }
    return nothing;
}

void live_begin(void)
{
    wanted = options.live_ms > 0;
    life = UINT_MAX;
    if (wanted)
        administrator = fiber_start("administrator", HOST_WORLD, administrate, NULL);
}

void live_end(void)
{
    wanted = false;
    if (administrator != NULL)
        (void)fiber_join(administrator);
    administrator = NULL;
}
