/* The sockets on which a server listens, from its start on, and others in their place while it
 * runs: those that are in both stay as they are, with all who come by them. */
#ifndef NBDCRYPT_LISTENERS_H
#define NBDCRYPT_LISTENERS_H

#include "server/serve/listen.h"

#define LISTENERS_MAX 64u

/* One of them.  Sockets that somebody else bound for us are not of the configuration. */
struct listening {
    struct listener *listener;
    struct listen_address address;
    char *text;     /* what the address points to; NULL: there is none */
    bool activated; /* bound by somebody else */
};

/* Zeroed at first. */
struct listeners {
    struct listening items[LISTENERS_MAX];
    size_t count;
    bool activated;             /* the first ones are */
    struct listener *control;   /* activated, for the control socket; NULL: none, or it was taken */
    bool private;               /* the only one is that of --run */
    char private_directory[32]; /* of the socket of --run; "" when there is none */
    bool stopped;
    struct listeners_change *_Atomic coming;
    struct loop *loop;
    listen_accepted_fn *accepted;
    void *context;
};

/* Binds and listens, as the options say, after what somebody else has bound for us. */
NODISCARD int listeners_open(struct listeners *listeners, struct serve_options *options,
                             struct error *err);
/* Begins to accept by number `index`. */
void listeners_start(struct listeners *listeners, size_t index, struct loop *loop,
                     listen_accepted_fn *accepted, void *context);
/* The server goes. */
void listeners_stop(struct listeners *listeners);
/* Any thread, before any was started: the names of Unix sockets go, for the process ends. */
void listeners_remove_names(const struct listeners *listeners);
/* After the loop has ended. */
void listeners_free(struct listeners *listeners);

/* ---- while it runs ---- */

struct listeners_change;

/* Binds and listens what the next options have besides; nobody is accepted yet.  Errors as of
 * listen_open(); then nothing has changed.  On any thread while the main one changes none. */
NODISCARD int listeners_prepare(struct listeners_change **out, const struct listeners *listeners,
                                const struct serve_options *next, struct error *err);
void listeners_undo(struct listeners_change *change);
/* This one is to be made: by listeners_commit() on the main thread, or else it is undone at the
 * end. Can't fail; takes the change. */
void listeners_coming(struct listeners *listeners, struct listeners_change *change);
void listeners_commit(struct listeners *listeners);

#endif
