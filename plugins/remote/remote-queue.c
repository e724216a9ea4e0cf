#include "plugins/remote/remote-queue.h"

void remote_queue_init(struct remote_queue *queue)
{
    *queue = (struct remote_queue){ .end = &queue->first };
}

void remote_queue_append(struct remote_queue *queue, struct request *req)
{
    req->job.next = NULL;
    *queue->end = &req->job;
    queue->end = &req->job.next;
}

void remote_queue_prepend(struct remote_queue *queue, struct request *req)
{
    req->job.next = queue->first;
    queue->first = &req->job;
    if (req->job.next == NULL)
        queue->end = &req->job.next;
}

struct request *remote_queue_take(struct remote_queue *queue)
{
    struct offload_job *job = queue->first;

    if (job == NULL)
        return NULL;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    return container_of(job, struct request, job);
}

struct remote_queue remote_queue_take_all(struct remote_queue *queue)
{
    struct remote_queue all = *queue;

    if (all.first == NULL)
        all.end = &all.first; /* of a copy: nobody appends to it */
    remote_queue_init(queue);
    return all;
}
