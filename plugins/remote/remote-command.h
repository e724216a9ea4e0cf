/* One request as commands to a remote NBD server.  Source: NetworkBlockDevice/nbd doc/proto.md. */
#ifndef NBDCRYPT_REMOTE_COMMAND_H
#define NBDCRYPT_REMOTE_COMMAND_H

#include "plugins/remote/remote-coverage.h"
#include "plugins/remote/remote-dial.h"
#include "plugins/remote/remote-syncs.h"
#include "server/block/layer.h"
#include "server/nbd/nbd-wire.h"

/* A command in flight. */
struct remote_slot {
    struct request *req;            /* NULL: the slot is free */
    uint64_t cookie;                /* of this command and no other on its connection */
    uint64_t sent_ms;               /* channel_clock_ms(), or 0 when nobody asks */
    uint32_t piece_bytes;           /* of a READ or WRITE: how much this command moves */
    uint64_t extents_most_bytes;    /* of an EXTENTS: it asks for no more; 0: for all */
    uint32_t extent_multiple_bytes; /* of an EXTENTS: of the lengths of extents */
    const char *why; /* of an EXTENTS that fails, but not because the server says so; or NULL */
    int error;       /* when it is finished: 0 or a positive errno */
    struct remote_slot *next; /* free, to be sent, or finished */

    /* On its way out. */
    bool extended; /* headers, of its connection */
    uint32_t header_bytes;
    uint8_t header[NBD_EXTENDED_REQUEST_BYTES + NBD_STATUS_QUERY_BYTES];
    uint32_t data_bytes;   /* behind it, from the request's buffer */
    uint32_t unsent_bytes; /* of both */
    bool begun;            /* perhaps some of it has been sent */
    uint32_t epoch;        /* of the ledger, when it was to be sent */

    /* On its way back. */
    bool answered; /* wholly; the last of it may still seem unsent */
    unsigned error_chunks;
    struct remote_coverage coverage; /* of a READ: what has come */
    struct remote_sync sync;
};

/* A request with FUA where the server has none goes through the primary, as what it is and then as
 * a FLUSH; the second when req->backend_step says so. */
enum remote_step { REMOTE_ITSELF, REMOTE_THEN_FLUSH };
bool remote_command_needs_flush(const struct request *req, const struct remote_features *features);
/* What it is at present; and whether the server makes something durable by it. */
enum request_op remote_command_op(const struct request *req);
/* Of an EXTENTS: of so much from the start of the view the server is asked. */
uint64_t remote_command_extents_bytes(const struct remote_slot *slot);
bool remote_command_is_sync(const struct request *req, const struct remote_features *features);
/* It is to be begun (again). */
void remote_command_restart(struct request *req);

/* Makes the next command of slot->req (a READ or WRITE may be longer than the server takes at once;
 * req->progress_bytes is what has been done) under the cookie of the slot.  A positive errno: the
 * server can't do that, and there is none. */
int remote_command_prepare(struct remote_slot *slot, const struct remote_features *features,
                           const struct remote_terms *terms);

/* Where its data comes from or goes to: slot->piece_bytes. */
uint8_t *remote_command_data(const struct remote_slot *slot);
/* Where on the disk that is. */
uint64_t remote_command_offset_bytes(const struct remote_slot *slot);
/* The offset that the command has on the wire. */
uint64_t remote_command_request_offset_bytes(const struct remote_slot *slot);

#endif
