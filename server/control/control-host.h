/* What the control socket is given by the server that it is of. */
#ifndef NBDCRYPT_CONTROL_HOST_H
#define NBDCRYPT_CONTROL_HOST_H

#include "server/access/places.h"
#include "server/base/log.h"
#include "server/board/board.h"
#include "server/control/control-rules.h"
#include "server/export/export-set.h"
#include "server/loop/offload.h"

/* What a server lets be seen and done; all of it outlives the control. */
struct control_method;
struct json_object;

struct control_reload {
    bool dry_run;               /* nothing is changed */
    const char *const *replace; /* names of exports that may be opened anew */
    size_t replace_count;
    void (*change)(void *context, struct json_object *change); /* takes one of the plan */
    void *context;
    struct error *refused; /* gets why a dry run would be refused */
};

struct control_host {
    const struct control_method *methods; /* beside those of control-methods.c; NULL: none */
    struct loop *loop;
    struct offload *admin; /* one thread */
    struct offload *looks; /* one thread, for what takes milliseconds and changes nothing */
    const struct control_rules *rules;
    const struct places *places;
    const struct board *board;
    unsigned threads;
    const char *tls; /* "off", "on", "require-tcp", "require" */
    enum log_level log_level;
    void *context;
    /* The exports as they are, for a moment: a change waits until they are given back. */
    const struct export_set *(*lock)(void *context);
    void (*unlock)(void *context);
    /* Looks on another thread whether images have grown, and posts `done`. */
    void (*rescan)(void *context, struct loop_message *done);
    /* The address number `index`, to be freed; NULL: there is none. */
    char *(*address)(void *context, size_t index);
    /* Reads the configuration and the TLS files again.  Admin thread. */
    int (*reload)(void *context, const struct control_reload *reload, struct error *err);
    /* The server's end of a connection: a client, as if it had come by a Unix socket.  Takes `fd`.
     */
    void (*connect)(void *context, int fd, const struct peer *peer);
    /* All metrics as text, for free(); on the looks' thread.  NULL: there is no memory. */
    char *(*metrics)(void *context, bool openmetrics, size_t *length_bytes);
    /* Ends the server as SIGTERM does. */
    void (*drain)(void *context);
    /* control_stop() is done. */
    void (*stopped)(void *context);
};

#endif
