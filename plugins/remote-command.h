/* One request as commands to a remote NBD server. */
#ifndef NBDCRYPT_REMOTE_COMMAND_H
#define NBDCRYPT_REMOTE_COMMAND_H

#include "plugins/remote-coverage.h"
#include "plugins/remote-dial.h"
#include "server/layer.h"

struct remote_link;

/* A command in flight. */
struct remote_slot {
    struct remote_link *link;
    struct request *req;             /* NULL: the slot is free */
    uint64_t sent_ms;                /* remote_clock_ms(), or 0 when nobody asks */
    uint32_t piece_bytes;            /* of a READ or WRITE: how much this command moves */
    struct remote_coverage coverage; /* of a READ: what has come */
    int error;                       /* when it is finished: 0 or a positive errno */
    struct remote_slot *next;        /* free, or finished */
};

/* Sends the next command of slot->req (a READ or WRITE may be longer than the server takes at
 * once; req->progress_bytes is what has been done).  0: remote_link_finished() will be called
 * exactly once, from within this or another call of the library, unless the handle is closed
 * first.  A positive errno: it was not sent, and nothing will be called. */
int remote_command_send(struct nbd_handle *nbd, const struct remote_features *features,
                        struct remote_slot *slot);

/* In remote-link.c: the command of the slot is done; slot->error is set.  The library is locked
 * meanwhile: it may only be noted. */
void remote_link_finished(struct remote_slot *slot);
/* The server's reply makes no sense (why, for a message): the connection is to be dropped, and what
 * it has not answered to be sent again. */
void remote_link_distrusts(struct remote_link *link, const char *reason);

#endif
