/* The control socket of `nbdcrypt serve`: where it is, who may use it, and its end. */
#ifndef NBDCRYPT_SERVE_CONTROL_H
#define NBDCRYPT_SERVE_CONTROL_H

#include "server/control/control.h"
#include "server/serve/control-options.h"
#include "server/tls/tls.h"

struct exports;
struct reload;
struct listener;
struct listeners;
struct serve_metrics;
struct worker_thread;

struct serve_control;

/* Binds the socket; *out is NULL when there is to be none.  Without --control it is in the first
 * folder of control-path.h that is there; where it can't be made, or is another server's, that is
 * said in the log, and this one has none.  `by_itself`: nobody looks after this server, so there is
 * none unless it was asked for.  *activated: a socket that somebody else has bound, which is used
 * instead and taken over, unless there is to be none; NULL: there is none. */
NODISCARD int serve_control_open(struct serve_control **out, const struct control_options *options,
                                 bool by_itself, struct listener **activated, struct error *err);
/* Where it is; NULL for NULL. */
const char *serve_control_path(const struct serve_control *control);
/* What of a server it shows and changes; all of it outlives it. */
struct serve_control_host {
    struct loop *loop;
    struct offload *admin;
    struct tls *tls;
    struct exports *exports;
    struct reload *reload;
    const struct serve_options *options; /* what the server began with */
    const struct places *places;
    const struct board *board;
    const struct listeners *listeners;
    const struct serve_metrics *metrics; /* which have been started */
    struct worker_thread *const *workers;
    unsigned threads; /* as many */
    enum log_level log_level;
    void *context;
    void (*connect)(void *context, int fd, const struct peer *peer);
    void (*drain)(void *context);
    void (*ended)(void *context); /* serve_control_stop() is done */
};

/* Begins to accept; `host` is copied. */
NODISCARD int serve_control_start(struct serve_control *control,
                                  const struct serve_control_host *host, struct error *err);
/* Main thread: other rules, which are taken over; how TLS is, and the level of the log.  NULL:
 * there is no control socket. */
void serve_control_use(struct serve_control *control, struct control_rules *rules,
                       enum log_level level);
/* The server has begun to end. */
void serve_control_tell_ending(struct serve_control *control);
/* `ended` follows, perhaps at once. */
void serve_control_stop(struct serve_control *control);
/* Another thread, while the process ends before its start: the name goes. */
void serve_control_remove_name(const struct serve_control *control);
/* When the loop has ended, and no thread tells events; NULL is fine. */
void serve_control_free(struct serve_control *control);

#endif
