#include "server/serve/reload.h"

#include "server/base/event.h"

/* ---- the files of TLS ---- */

int reload_tls(struct tls *tls, struct error *err)
{
    int code = tls_reload(tls, err);

    if (code < 0)
        EVENT(.type = "reload.failed", .reason = err->text);
    else
        EVENT(.type = "reload.done");
    return code;
}

static void work(struct offload_job *job)
{
    struct reload *reload = container_of(job, struct reload, job);
    struct error err;

    job->done.result = reload_tls(reload->tls, &err);
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
    exports_submit(reload->exports, &reload->rescan);
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
}
