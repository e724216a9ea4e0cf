/* SIGHUP: what a server was given in files is read anew, its configuration and the files of TLS on
 * its admin thread, the sizes of images on that of the exports. */
#ifndef NBDCRYPT_RELOAD_H
#define NBDCRYPT_RELOAD_H

#include "server/loop/offload.h"
#include "server/serve/exports.h"
#include "server/serve/reload-config.h"
#include "server/serve/worker-thread.h"

struct reload {
    struct reload_config config;
    struct loop *loop;
    struct offload *admin;
    bool stopped;
    struct worker_thread *const *workers; /* who look at their clients when it is done */
    unsigned worker_count;
    struct tls *metrics_tls; /* NULL: metrics have none of their own */

    struct offload_job job; /* of the files */
    bool running, again;

    struct exports_change rescan;
    atomic_bool rescanning, rescan_again;
};

/* Both.  However often it is asked for meanwhile, it is done once more.  Main thread. */
void reload_all(struct reload *reload);
/* No more of it is begun. */
void reload_stop(struct reload *reload);

/* The files: the configuration, or without one those of TLS.  What is bad leaves all as it was, and
 * is told in the log and to the service manager.  Admin thread. */
NODISCARD int reload_files(struct reload *reload, const struct reload_wish *wish,
                           struct error *err);

#endif
