/* A store of another kind (`plain_syncs`): each FLUSH, and each write with FUA, is made durable by
 * a sync of its own, several of them at a time, and one that fails is forgotten when it has been
 * told.  So do servers that have a descriptor for all and no account (nbdkit's file plugin, for
 * what comes on one connection).  Ours would be in the way: group-sync.h. */
#include "server/block/group-sync.h"
#include "server/block/layer.h"
#include "tests/sim/options.h"
#include "tests/sim/trace.h"
#include "tests/sim/wrap.h"

void __wrap_group_sync_join(struct request *req)
{
    bool all = req->view.op == REQUEST_FLUSH;

    if (!options.plain_syncs)
        __real_group_sync_join(req);
    else
        req->backend->stage->sync->start(req, all ? 0 : req->view.offset_bytes,
                                         all ? UINT64_MAX
                                             : req->view.offset_bytes + req->view.length_bytes);
}

void __wrap_group_sync_ended(struct request *leader, int error)
{
    if (!options.plain_syncs)
        __real_group_sync_ended(leader, error);
    else
        request_complete(leader, error);
}

/* What the front has agreed on with it is counted. */
void __wrap_remote_replies_begin(struct remote_replies *replies,
                                 const struct remote_connection *connection)
{
    if (connection->terms.extended_headers)
        mark(MARK_extended_store);
    __real_remote_replies_begin(replies, connection);
}
