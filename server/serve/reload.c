#include "server/serve/reload.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "server/audit/audit.h"
#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/serve/notify.h"
#include "server/tls/tls.h"

/* ---- the files ---- */

/* systemd's protocol demands the time (sd_notify(3), RELOADING=1). */
static void tell_begin(void)
{
    struct timespec now;
    char state[64];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000u + (unsigned long long)now.tv_nsec / 1000u);
    notify_service_manager(state);
}

/* One line of at most so many bytes, as the status of a service has to be. */
static void tell_end(struct reload *reload, const char *failure)
{
    const struct export_set *set = exports_lock(reload->config.exports);
    size_t count = set->count, open = 0;
    char state[512];

    for (size_t i = 0; i < count; i++)
        open += export_is_open(set->exports[i]);
    exports_unlock(reload->config.exports);
    if (failure != NULL)
        snprintf(state, sizeof state,
                 "READY=1\nSTATUS=The reload failed, nothing has changed: %.400s", failure);
    else
        snprintf(state, sizeof state, "READY=1\nSTATUS=%zu of %zu exports are served", open, count);
    notify_service_manager(state);
}

static int reload_configuration(struct reload *reload, const struct reload_wish *wish,
                                struct error *err)
{
    if (!wish->dry_run)
        tell_begin();
    int result = reload_config_run(&reload->config, wish, err);
    if (wish->dry_run)
        return result;
    tell_end(reload, result < 0 ? err->text : NULL);
    if (result < 0)
        log_write_about(LOG_ERROR, LOG_ABOUT(.id = LOG_ID_RELOAD_FAILED),
                        "the reload failed, and nothing has changed: %s", err->text);
    else
        log_write_about(LOG_NOTICE, LOG_ABOUT(.id = LOG_ID_RELOAD_DONE),
                        "the configuration was read again");
    return result;
}

/* Without a configuration there is nothing but the files of TLS, and no plan. */
static int reload_tls(struct reload *reload, const struct reload_wish *wish, struct error *err)
{
    if (wish->dry_run || wish->replace_count > 0)
        return error_set(err, -EINVAL,
                         "the server was started without --config: there is no configuration "
                         "that could be read again");
    return tls_reload(reload->config.tls, err);
}

static int reload_nbd(struct reload *reload, const struct reload_wish *wish, struct error *err)
{
    return reload->config.first->config != NULL ? reload_configuration(reload, wish, err)
                                                : reload_tls(reload, wish, err);
}

/* The files of a TLS that metrics have for themselves are read before all else, and used after it:
 * one failure leaves all as it was. */
static int reload_both(struct reload *reload, const struct reload_wish *wish, struct error *err)
{
    struct tls *tls = reload->metrics_tls;
    struct tls_credentials *fresh;

    if (tls == NULL || wish->dry_run)
        return reload_nbd(reload, wish, err);
    int result = tls_prepare(&fresh, tls, &tls->settings, err);
    if (result < 0) {
        error_prefix(err, "metrics: ");
        log_error("the reload failed, and nothing has changed: %s", err->text);
        return result;
    }
    result = reload_nbd(reload, wish, err);
    if (result == 0)
        tls_use(tls, &tls->settings, fresh);
    else
        tls_forget(fresh);
    return result;
}

int reload_files(struct reload *reload, const struct reload_wish *wish, struct error *err)
{
    int result = reload_both(reload, wish, err);

    if (wish->dry_run)
        return result;
    audit_reopen();
    if (result < 0)
        EVENT(.type = "reload.failed", .reason = err->text);
    else
        EVENT(.type = "reload.done");
    tally_add(result < 0 ? TALLY_RELOADS_FAILED : TALLY_RELOADS);
    tally_set(TALLY_RELOAD_FAILED, result < 0);
    if (result == 0)
        tally_set(TALLY_RELOAD_SECONDS, (uint64_t)time(NULL));
    for (unsigned i = 0; result == 0 && i < reload->worker_count; i++)
        standing_watch_look(&reload->workers[i]->standing);
    return result;
}

static void work(struct offload_job *job)
{
    struct reload *reload = container_of(job, struct reload, job);
    struct error err = { "" };

    job->done.result = reload_files(reload, &(struct reload_wish){ 0 }, &err);
}

static void read_files(struct reload *reload);

static void done(struct io_event *ev, int result)
{
    struct reload *reload = container_of(ev, struct reload, job.done.event);
    bool again = reload->again && !reload->stopped;

    (void)result; /* it was told */
    reload->running = reload->again = false;
    if (again)
        read_files(reload);
}

static void read_files(struct reload *reload)
{
    reload->again = reload->running;
    if (reload->running)
        return;
    reload->running = true;
    reload->job.work = work;
    reload->job.loop = reload->loop;
    reload->job.done.event.fn = done;
    offload_run(reload->admin, &reload->job);
}

/* ---- the sizes of images ---- */

static void rescan(struct reload *reload);

/* On the thread of the exports. */
static void rescanned(struct exports_change *change)
{
    struct reload *reload = container_of(change, struct reload, rescan);

    atomic_store(&reload->rescanning, false);
    if (atomic_exchange(&reload->rescan_again, false))
        rescan(reload);
}

/* Images may have grown.  One look that begins from now on is enough for all who ask. */
static void rescan(struct reload *reload)
{
    if (atomic_exchange(&reload->rescanning, true)) {
        atomic_store(&reload->rescan_again, true);
        return;
    }
    reload->rescan = (struct exports_change){ .rescan = true, .done = rescanned };
    exports_submit(reload->config.exports, &reload->rescan);
}

/* ---- both ---- */

void reload_all(struct reload *reload)
{
    if (reload->stopped)
        return;
    read_files(reload);
    rescan(reload);
}

void reload_stop(struct reload *reload)
{
    reload->stopped = true;
    atomic_store(&reload->config.stopped, true);
}
