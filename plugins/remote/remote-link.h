/* One connection to a remote NBD server, driven by one loop, and made again when it is lost.
 *
 *     link_submit -> waiting -> slots (in flight) -> answer
 *                      ^            |
 *                      +-- lost ----+     connect again: at once, then with growing pauses
 *
 * At most REMOTE_SLOTS requests are in flight; the others wait.
 * When the connection is lost (closed, broken, a reply that makes no sense, ESHUTDOWN, or no
 * answer within timeout_ms), unanswered requests wait too, and are sent again: all of them
 * may be done twice.  When no request was answered for retry_ms since, they fail with EIO, and
 * so do new ones until the server is back, for which the link goes on trying.  So does one with
 * which connections are lost for as long, whatever else was answered meanwhile.  A server that
 * comes back with another size or other abilities counts as away, at once. */
#ifndef NBDCRYPT_REMOTE_LINK_H
#define NBDCRYPT_REMOTE_LINK_H

#include "plugins/remote/remote-server.h"
#include "server/block/layer.h"

struct remote_link;

struct remote_link_settings {
    struct remote_server *server; /* must outlive the link */
    struct loop *loop;            /* the calling thread's */
    struct loop *starter;         /* of remote_dial_thread_start() */
    struct remote_connection
        *connection; /* taken over, unless this fails; NULL: connects when needed */
    /* A request is done: 0 or a positive errno. On the loop's thread. */
    void (*answer)(struct request *req, int error);
    /* NULL: this is the primary (remote-ledger.h).  Else takes the requests of a connection that
     * the server never accepted. */
    void (*give_over)(struct request *req);
};

NODISCARD int remote_link_create(struct remote_link **out,
                                 const struct remote_link_settings *settings, struct error *err);
/* No request is in it, and none will come: says goodbye.  The event comes when nothing of the link
 * is in flight, perhaps at once, and within a second whatever the server does; from then on
 * remote_link_destroy() takes no time. */
void remote_link_leave(struct remote_link *link, struct io_event *left);
/* No request is in it; NULL is fine.  Of one that has not left, or not yet, it runs the loop until
 * nothing of the link is in flight there; the event of remote_link_leave() comes no more then. */
void remote_link_destroy(struct remote_link *link);

/* The loop's thread.  req->job, progress_bytes, backend_ms and backend_step are the link's until
 * the answer.  A FLUSH, which has no range, has its mark (remote-ledger.h) as the view's offset. */
void remote_link_submit(struct remote_link *link, struct request *req);

#endif
