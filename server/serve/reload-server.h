/* What of a running server a reload changes besides its exports: where it listens, TLS, limits and
 * times.  Part of the transaction of reload-config.h:
 *
 *     prepare, which can fail -> the exports, which can fail -> begin -> all workers -> end */
#ifndef NBDCRYPT_RELOAD_SERVER_H
#define NBDCRYPT_RELOAD_SERVER_H

#include <semaphore.h>

#include "server/serve/exports.h"
#include "server/serve/listeners.h"

/* Of the server; all of it outlives its reloads. */
struct reload_host {
    struct loop *loop; /* of the main thread */
    struct listeners *listeners;
    struct tls *tls;
    struct places *places;
    struct exports *exports;
    const struct board *board;
    unsigned workers;
    /* Clients will use TLS: makes what calculates their handshakes, if it is not there.  Admin
     * thread. */
    int (*need_handshakes)(void *context, struct error *err);
    /* These hold now; they stay until others do.  The rules are taken over.  Main thread. */
    void (*changed)(void *context, const struct serve_options *now, struct control_rules *rules);
    void *context;
};

/* One transaction; as long as the server, one at a time. */
struct reload_server {
    const struct reload_host *host;
    const struct serve_options *next;
    enum tls_mode tls_mode;
    struct tls_credentials *credentials;
    struct listeners_change *listeners;
    struct control_rules rules;
    struct worker_terms terms; /* for exports_change.terms */
    struct loop_message message;
    sem_t done;
    atomic_bool is_done; /* which orders what was done before us */
};

/* Of the options, for the workers: of so many. */
struct worker_terms worker_terms_of(const struct serve_options *options, unsigned workers);

/* Admin thread; `next` has to stay.  -errno: nothing has changed. */
NODISCARD int reload_server_prepare(struct reload_server *out, const struct reload_host *host,
                                    const struct serve_options *next, struct error *err);
void reload_server_undo(struct reload_server *reload);
/* Nothing can fail any more, and the workers have not got their terms; any thread. */
void reload_server_begin(struct reload_server *reload);
/* They have; admin thread.  Waits for the main thread, but not when *stopped. */
void reload_server_end(struct reload_server *reload, const atomic_bool *stopped);

#endif
