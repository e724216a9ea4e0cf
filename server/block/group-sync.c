#include "server/block/group-sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/layer.h"
#include "server/base/log.h"
#include "server/report/guard.h"

/* In order of execution. */
static void lead(struct io_event *ev, int result);
static void hand_over(struct request *leader);
static void answer_all(struct request *list, int error);
static void answered(struct io_event *ev, int result);

int group_sync_init(struct group_sync *sync, const char *image, group_sync_start_fn *start,
                    struct error *err)
{
    *sync = (struct group_sync){ .image = image != NULL ? strdup(image) : NULL };
    if (image != NULL && sync->image == NULL)
        return error_no_memory(err, NULL);
    sync->start = start;
    sync->waiting_end = &sync->waiting;
    pthread_mutex_init(&sync->mutex, NULL);
    return 0;
}

void group_sync_destroy(struct group_sync *sync)
{
    if (sync->start == NULL)
        return;
    pthread_mutex_destroy(&sync->mutex);
    free(sync->image);
}

static struct group_sync *sync_of(const struct request *req)
{
    return req->backend->stage->sync;
}

static uint64_t start_of(const struct request *req)
{
    return req->view.op == REQUEST_FLUSH ? 0 : req->view.offset_bytes;
}

static uint64_t end_of(const struct request *req)
{
    return req->view.op == REQUEST_FLUSH ? UINT64_MAX
                                         : req->view.offset_bytes + req->view.length_bytes;
}

void group_sync_join(struct request *req)
{
    struct group_sync *sync = sync_of(req);

    req->next = NULL;
    pthread_mutex_lock(&sync->mutex);
    bool lost = sync->error != 0;
    bool leads = !lost && sync->leader == NULL;
    if (leads) {
        sync->leader = req;
        sync->joined = NULL;
    } else if (!lost) {
        *sync->waiting_end = req;
        sync->waiting_end = &req->next;
    }
    pthread_mutex_unlock(&sync->mutex);
    if (lost)
        request_complete(req, EIO);
    else if (leads)
        sync->start(req, start_of(req), end_of(req));
}

/* On the leader's thread, where `joined` stays as it is until the sync has ended. */
static void lead(struct io_event *ev, int result)
{
    struct request *leader = container_of(ev, struct request, job.done.event);
    uint64_t start_bytes = start_of(leader), end_bytes = end_of(leader);

    (void)result;
    for (const struct request *req = sync_of(leader)->joined; req != NULL; req = req->next) {
        start_bytes = start_of(req) < start_bytes ? start_of(req) : start_bytes;
        end_bytes = end_of(req) > end_bytes ? end_of(req) : end_bytes;
    }
    sync_of(leader)->start(leader, start_bytes, end_bytes);
}

static void tell(const struct group_sync *sync, int error)
{
    log_error("image '%s': it can't be made durable: %s; what was written since the last good "
              "FLUSH may be lost. Every FLUSH and every write with FUA fails from now on, for all "
              "clients. Repair the storage, start the server again, and have the file systems on "
              "it checked",
              sync->image, strerror(error));
}

int group_sync_error(struct group_sync *sync)
{
    pthread_mutex_lock(&sync->mutex);
    int error = sync->error;
    pthread_mutex_unlock(&sync->mutex);
    return error;
}

void group_sync_ended(struct request *leader, int error)
{
    struct group_sync *sync = sync_of(leader);

    pthread_mutex_lock(&sync->mutex);
    struct request *joined = sync->joined, *waiting = sync->waiting;
    struct request *next = error == 0 ? waiting : NULL;
    sync->error = error;
    sync->leader = next;
    sync->joined = next != NULL ? next->next : NULL;
    sync->waiting = NULL;
    sync->waiting_end = &sync->waiting;
    pthread_mutex_unlock(&sync->mutex);

    if (error != 0) {
        if (sync->image != NULL) {
            tell(sync, error);
            report_unexpected("storage can't make durable what was written: some of it is lost");
        }
        answer_all(waiting, EIO);
    } else if (next != NULL) {
        hand_over(next);
    }
    answer_all(joined, error);
    request_complete(leader, error);
}

static void hand_over(struct request *leader)
{
    leader->job.done.event.fn = lead;
    loop_post(leader->backend->loop, &leader->job.done);
}

/* Each on its own thread; once it is posted, it is not ours to read. */
static void answer_all(struct request *list, int error)
{
    while (list != NULL) {
        struct request *req = list;

        list = req->next;
        req->job.done.event.fn = answered;
        req->job.done.result = error;
        loop_post(req->backend->loop, &req->job.done);
    }
}

static void answered(struct io_event *ev, int result)
{
    request_complete(container_of(ev, struct request, job.done.event), result);
}
