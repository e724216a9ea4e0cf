/* What the files of the control socket share: a client of it, and the methods. */
#ifndef NBDCRYPT_CONTROL_INTERNAL_H
#define NBDCRYPT_CONTROL_INTERNAL_H

#include <stdatomic.h>

#include "server/base/log-exports.h"
#include "server/control/control-host.h"
#include "server/control/control-json.h"
#include "server/control/varlink-connection.h"

#define CONTROL_PARAMS_MAX 8u
#define CONTROL_TYPE_BYTES 64u
#define CONTROL_UNSENT_BYTES_MAX (256u * 1024u) /* events beyond that are counted and dropped */
#define CONTROL_SLICE_BYTES (64u * 1024u)       /* of a long reply, before others have their turn */

#define CONTROL_DENIED "org.nbdcrypt.Denied"
#define CONTROL_BUSY "org.nbdcrypt.Busy"
#define CONTROL_CONFLICT "org.nbdcrypt.Conflict"
#define CONTROL_NOT_POSSIBLE "org.nbdcrypt.NotPossible"
#define CONTROL_NO_SUCH_EXPORT "org.nbdcrypt.NoSuchExport"
#define CONTROL_NO_SUCH_GROUP "org.nbdcrypt.NoSuchGroup"
#define CONTROL_NO_SUCH_CLIENT "org.nbdcrypt.NoSuchClient"
#define CONTROL_EXPORT_BUSY "org.nbdcrypt.ExportBusy"
#define CONTROL_BAD_OPTION "org.nbdcrypt.BadOption"

struct control_client;

struct control_param {
    const char *name;
    enum json_type type;
    bool required;
};

struct control_method {
    const char *name; /* with its interface */
    int role;         /* CONTROL_NOBODY: everybody may */
    bool changes;     /* it takes `if_revision`, and what it does is logged */
    bool gives;       /* access: not done where it can't be recorded (audit_can_record()) */
    bool streams;     /* with `more` there may be several replies */
    struct control_param params[CONTROL_PARAMS_MAX];
    void (*run)(struct control_client *client);
    /* Of one that streams: false: there are no more; true: the next reply, or NULL, which *out is
     * before, for nothing yet. */
    bool (*next)(struct control_client *client, struct json_object **out);
};

/* A change on the admin thread. */
struct control_job {
    struct offload_job offload;
    bool running, conflict;
    bool looks; /* nothing is changed by it */
    /* 0, or -errno with a sentence.  `reply` becomes the reply's parameters. */
    int (*work)(struct control_client *client, struct json_object *reply, struct error *err);
    void (*done)(struct control_client *client); /* instead, where another thread works */
    struct json_object *reply;
    struct error err;
};

struct control_client {
    struct control *control;
    struct varlink_connection varlink;
    struct peer peer;
    int role;
    bool gone; /* freed when its job is done */
    struct control_client *next, *previous;

    const struct control_method *method; /* of the call under way; NULL: none */

    /* Of a reply in several parts. */
    bool streaming;
    uint64_t id; /* of the last export that was given */
    board_cursor cursor;
    struct json_object *pending; /* made, and put out when it is known whether more follow */

    /* Of Events. */
    bool follows;
    char type[CONTROL_TYPE_BYTES]; /* what is wanted; "": all */
    uint64_t lost;

    struct control_job job;

    void *data; /* of the method of the call under way; freed with the client */

    /* A long text that is given in parts; freed with the last one, or with the client. */
    char *text;
    size_t text_at, text_bytes;

    /* What the clock looks at. */
    uint64_t progress_seen;
    unsigned idle_seconds;
};

struct control {
    struct control_host host;
    struct control_client *clients;
    unsigned client_count;
    atomic_uint_fast64_t revision; /* grows with each change */
    unsigned open_count;           /* clients that are not gone */
    bool ending, stopping, stopped;
    struct timespec since;
    enum log_level log_level, usual_log_level;
    struct control_level { /* of an export */
        char *export;      /* NULL: the place is free */
        enum log_level level;
        unsigned seconds; /* as below */
    } levels[LOG_EXPORTS_MAX];
    unsigned log_seconds; /* until the usual level is in force again; 0: it stays */
    struct loop_timer clock;
    bool clock_runs;
};

/* NULL: there is none of that name. */
const struct control_method *control_method_find(const struct control *control, const char *name);
/* In any order; the last one has no name. */
extern const struct control_method control_methods[];

/* ---- answers ---- */

struct json_object *control_param(struct control_client *client, const char *name);
/* "parameter" of InvalidParameter. */
void control_refuse(struct control_client *client, const char *parameter);
/* Any error; one that keeps a change from being made is in the log, too.  `parameters` are
 * consumed.
 */
void control_fail(struct control_client *client, const char *error, struct json_object *parameters);
/* The same with one text. */
void control_error(struct control_client *client, const char *error, const char *key,
                   const char *text);
/* Of a change that was made: `reply` with the new revision. */
void control_changed(struct control_client *client, struct json_object *reply);
/* Replies by method->next, as the client takes them. */
void control_stream(struct control_client *client);
/* A message is on its way to control_job.offload.done: what it does is `done`, which replies. */
void control_wait_for(struct control_client *client, void (*done)(struct control_client *client));
/* Does `work` on the admin thread, and replies. */
void control_run_job(struct control_client *client,
                     int (*work)(struct control_client *client, struct json_object *reply,
                                 struct error *err));

/* ---- events ---- */

void control_follow(struct control_client *client);
/* To all who follow; `event` is consumed: see event_feed_fn. */
void control_give_event(void *context, struct json_object *event, uint64_t lost);
/* The client has taken what it was given. */
void control_follow_on(struct control_client *client);

/* ---- views ---- */

struct json_object *control_view_status(struct control_client *client);
struct json_object *control_view_export(struct control *control, const struct export *ex);
/* "nbd://user:word@host/disk?password=word" without what lets somebody in; to be freed; NULL: no
 * memory. */
char *control_mask_image(const char *image);
struct json_object *control_view_limits(const struct export *ex);

/* The clock runs while somebody is there, or the log's level is to change back. */
void control_need_clock(struct control *control);

#endif
