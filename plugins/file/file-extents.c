#include "plugins/file/file-extents.h"

#include <errno.h>
#include <unistd.h>

#include "plugins/file/file-stage.h"

/* No data follows.  Where the file has become shorter underneath us there are no zeros either: a
 * read will fail there.  Where the hole ends. */
static off_t add_end(int fd, struct extent_list *list, off_t at, off_t end)
{
    off_t size = lseek(fd, 0, SEEK_END);
    off_t zeros_end = size < at ? at : size < end ? size : end;

    if (extent_list_add(list, (uint64_t)(zeros_end - at), EXTENT_HOLE | EXTENT_ZERO))
        (void)extent_list_add(list, (uint64_t)(end - zeros_end), 0);
    return size;
}

static struct byte_range hole_from(off_t at, off_t end)
{
    return (struct byte_range){ (uint64_t)at, end > at ? (uint64_t)(end - at) : 0 };
}

/* A file system in user space may answer an lseek() with any offset at all, and so may one whose
 * file is being changed: what leads back, or nowhere, is as good as no answer (EINVAL).
 * *last: the hole that goes on behind what was asked for, if it ends with one. */
static int find_extents(int fd, struct request *req, struct byte_range *last)
{
    struct extent_list *list = (struct extent_list *)(void *)req->view.data;
    off_t at = (off_t)req->view.offset_bytes;
    off_t end = at + (off_t)req->view.length_bytes;
    bool room = true;

    while (at < end && room && !((req->flags & REQUEST_ONE) && list->count > 1)) {
        off_t data = lseek(fd, at, SEEK_DATA);

        if (data < 0 && errno != ENXIO)
            return errno;
        if (data >= 0 && data < at)
            return EINVAL;
        if (data < 0) { /* ENXIO */
            *last = hole_from(at, add_end(fd, list, at, end));
            break;
        }
        if (data > end) {
            *last = hole_from(at, data);
            data = end;
        }
        room = extent_list_add(list, (uint64_t)(data - at), EXTENT_HOLE | EXTENT_ZERO);
        at = data;
        if (at == end || !room)
            break;
        off_t hole = lseek(fd, at, SEEK_HOLE);
        if (hole < 0)
            return errno;
        if (hole <= at)
            return EINVAL;
        if (hole > end)
            hole = end;
        room = extent_list_add(list, (uint64_t)(hole - at), 0);
        at = hole;
    }
    return 0;
}

static void extents_work(struct offload_job *job)
{
    struct request *req = container_of(job, struct request, job);
    struct file_stage *file = container_of(req->backend->stage, struct file_stage, stage);
    struct extent_list *list = (struct extent_list *)(void *)req->view.data;
    struct byte_range last = { 0, 0 };
    int error = EINVAL;

    if (!file->block_device)
        error = find_extents(file->fd, req, &last);
    if (error == EINVAL) { /* no such thing here: all of it may be data */
        extent_list_clear(list);
        extent_list_add(list, req->view.length_bytes, 0);
        error = 0;
        last.size_bytes = 0;
    }
    /* The view is ours until the request is complete. */
    req->view.offset_bytes = last.offset_bytes;
    req->view.length_bytes = last.size_bytes;
    job->done.result = error;
}

static void extents_done(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, job.done.event);
    struct file_stage *file = container_of(req->backend->stage, struct file_stage, stage);

    if (req->view.length_bytes > 0)
        file_hole_note(&file->hole, req->progress_bytes, req->view.offset_bytes,
                       req->view.length_bytes, loop_now_ns());
    request_complete(req, result);
}

void file_extents_start(struct request *req)
{
    struct file_stage *file = container_of(req->backend->stage, struct file_stage, stage);
    const struct view *view = &req->view;

    if (file_hole_covers(&file->hole, view->offset_bytes, view->length_bytes, loop_now_ns())) {
        extent_list_add((struct extent_list *)(void *)view->data, view->length_bytes,
                        EXTENT_HOLE | EXTENT_ZERO);
        request_complete(req, 0);
        return;
    }
    req->progress_bytes = file_hole_look_begins(&file->hole);
    req->job.work = extents_work;
    req->job.done.event.fn = extents_done;
    req->job.loop = req->backend->loop;
    offload_run(file->offload, &req->job);
}
