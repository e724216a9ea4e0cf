/* A queue of requests, linked through their job.next. */
#ifndef NBDCRYPT_REMOTE_QUEUE_H
#define NBDCRYPT_REMOTE_QUEUE_H

#include "server/block/request.h"

struct remote_queue {
    struct offload_job *first, **end;
};

void remote_queue_init(struct remote_queue *queue);
void remote_queue_append(struct remote_queue *queue, struct request *req);
void remote_queue_prepend(struct remote_queue *queue, struct request *req);
/* NULL: it is empty. */
struct request *remote_queue_take(struct remote_queue *queue);
/* What waits, to be gone through once: what is appended meanwhile comes behind it.  To be taken
 * from only. */
struct remote_queue remote_queue_take_all(struct remote_queue *queue);

#endif
