#include "plugins/remote-link.h"

#include <assert.h>
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "server/log.h"

#define DIAL_MS 10000u        /* for connecting and the handshake */
#define DIAL_FURTHER_MS 3000u /* for a connection besides the primary: it can be done without */
#define PAUSE_FIRST_MS 100u
#define PAUSE_MAX_MS 2000u
#define TICK_MS 100u
#define TICK_MAX_MS 1000u

/* Requests, linked through their job.next. */
struct request_queue {
    struct offload_job *first, **end;
};

struct remote_link {
    struct remote_server *server;
    struct loop *loop;
    void (*answer)(struct request *req, int error);
    void (*give_over)(struct request *req);

    struct nbd_handle *handle; /* NULL: not connected */
    unsigned generation;       /* of the ledger when connecting began */
    bool was_connected;        /* once at least */
    bool abandoned;            /* the server does not accept it: give_over() gets all */
    bool broken;               /* to be dropped at the end of this batch */
    struct error reason;       /* why it is, or broke by itself; "": it was closed */

    struct request_queue waiting;
    struct remote_slot slots[REMOTE_SLOTS];
    struct remote_slot *free;
    struct remote_slot *finished, **finished_end;
    unsigned in_flight;

    /* On the loop. */
    struct loop_task work;
    struct io_event readable, writable;
    struct loop_timer tick;
    bool readable_armed, writable_armed, tick_armed;

    /* Connecting, on the connector's thread while `dialing`. */
    struct offload_job dial;
    bool dialing;
    atomic_bool stopping;
    struct nbd_handle *dialed;
    struct remote_features dialed_features;
    struct error dial_error;

    /* The outage. */
    uint64_t trouble_since_ms; /* 0: none; ends with an answer */
    uint64_t dial_at_ms;
    unsigned pause_ms;
    bool failure_told; /* why connecting failed */
    bool down;         /* requests fail at once */
};

static void work(struct loop_task *task);
static bool answer_flush(struct remote_link *link, struct request *req);
static bool drop_if_stale(struct remote_link *link);
static void send_waiting(struct remote_link *link);
static void reap(struct remote_link *link);
static void settle(struct remote_link *link, struct request *req, uint32_t piece_bytes, int error);
static void lose(struct remote_link *link);
static void give_up(struct remote_link *link);
static void stop_loop_if_idle(struct remote_link *link);
static void arm(struct remote_link *link);
static void dial_start(struct remote_link *link);
static void dial_work(struct offload_job *job);
static void dial_done(struct io_event *ev, int result);

/* ---- queues ---- */

static void queue_append(struct request_queue *queue, struct request *req)
{
    req->job.next = NULL;
    *queue->end = &req->job;
    queue->end = &req->job.next;
}

static void queue_prepend(struct request_queue *queue, struct request *req)
{
    req->job.next = queue->first;
    queue->first = &req->job;
    if (req->job.next == NULL)
        queue->end = &req->job.next;
}

static struct request *queue_take(struct request_queue *queue)
{
    struct offload_job *job = queue->first;

    if (job == NULL)
        return NULL;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    return container_of(job, struct request, job);
}

/* What waits, to be gone through once: what is submitted meanwhile comes behind it. */
static struct request_queue queue_take_all(struct request_queue *queue)
{
    struct request_queue all = *queue;

    if (all.first == NULL)
        all.end = &all.first; /* of a copy: nobody appends to it */
    *queue = (struct request_queue){ .end = &queue->first };
    return all;
}

/* ---- requests ---- */

static bool is_primary(const struct remote_link *link)
{
    return link->give_over == NULL;
}

void remote_link_submit(struct remote_link *link, struct request *req)
{
    if (link->abandoned) {
        link->give_over(req);
        return;
    }
    req->progress_bytes = 0;
    if (req->view.op == REQUEST_FLUSH) {
        req->view.offset_bytes = remote_ledger_flush_mark(&link->server->ledger);
        if (link->handle == NULL && answer_flush(link, req))
            return;
    }
    queue_append(&link->waiting, req);
    loop_defer(link->loop, &link->work);
}

/* The first reason counts. */
static void note_reason(struct remote_link *link, const char *reason)
{
    if (link->reason.text[0] == '\0')
        error_set(&link->reason, 0, "%s", reason);
}

static void drop_soon(struct remote_link *link, const char *reason)
{
    note_reason(link, reason);
    link->broken = true;
}

void remote_link_distrusts(struct remote_link *link, const char *reason)
{
    drop_soon(link, reason);
}

static bool has_died(const struct remote_link *link)
{
    return nbd_aio_is_dead(link->handle) || nbd_aio_is_closed(link->handle);
}

/* All of a batch, in one place: what was submitted is sent, what was answered is passed on, and
 * what the library wants to hear of the socket is asked for. */
static void work(struct loop_task *task)
{
    struct remote_link *link = container_of(task, struct remote_link, work);

    if (atomic_load(&link->stopping)) {
        stop_loop_if_idle(link);
        return;
    }
    if (link->handle != NULL) {
        if (!drop_if_stale(link))
            send_waiting(link);
        reap(link);
        if (link->broken || has_died(link))
            lose(link);
    } else if (link->down || (!is_primary(link) && atomic_load(&link->server->away))) {
        give_up(link);
    }
    arm(link);
}

/* A FLUSH that has to fail, does. */
static bool refuse_flush(struct remote_link *link, struct request *req)
{
    if (req->view.op != REQUEST_FLUSH ||
        !remote_ledger_flush_refused(&link->server->ledger, req->view.offset_bytes))
        return false;
    if (link->handle != NULL)
        remote_ledger_settle(&link->server->ledger);
    link->answer(req, EIO);
    return true;
}

/* While the server is away: a FLUSH that need not wait for it is answered. */
static bool answer_flush(struct remote_link *link, struct request *req)
{
    if (refuse_flush(link, req))
        return true;
    if (req->view.op != REQUEST_FLUSH ||
        !remote_ledger_flush_is_void(&link->server->ledger, req->view.offset_bytes))
        return false;
    link->answer(req, 0);
    return true;
}

static struct remote_slot *slot_take(struct remote_link *link, struct request *req)
{
    struct remote_slot *slot = link->free;

    link->free = slot->next;
    slot->req = req;
    slot->sent_ms = link->server->timeout_ms > 0 ? remote_clock_ms() : 0;
    link->in_flight++;
    return slot;
}

static void slot_release(struct remote_link *link, struct remote_slot *slot)
{
    slot->req = NULL;
    slot->next = link->free;
    link->free = slot;
    link->in_flight--;
}

static void send_waiting(struct remote_link *link)
{
    while (link->free != NULL && !link->broken && !has_died(link)) {
        struct request *req = queue_take(&link->waiting);

        if (req == NULL)
            return;
        if (refuse_flush(link, req))
            continue;
        struct remote_slot *slot = slot_take(link, req);
        int error = remote_command_send(link->handle, &link->server->features, slot);
        if (error == 0)
            continue;
        slot_release(link, slot);
        if (has_died(link)) {
            note_reason(link, remote_library_error());
            queue_prepend(&link->waiting, req);
        } else {
            link->answer(req, error);
        }
    }
}

void remote_link_finished(struct remote_slot *slot)
{
    struct remote_link *link = slot->link;

    slot->next = NULL;
    *link->finished_end = slot;
    link->finished_end = &slot->next;
}

static void reap(struct remote_link *link)
{
    while (link->finished != NULL) {
        struct remote_slot *slot = link->finished;
        struct request *req = slot->req;

        link->finished = slot->next;
        if (link->finished == NULL)
            link->finished_end = &link->finished;
        uint32_t piece_bytes = slot->piece_bytes;
        int error = slot->error;
        slot_release(link, slot);
        settle(link, req, piece_bytes, error);
    }
    if (link->free != NULL && link->waiting.first != NULL)
        loop_defer(link->loop, &link->work);
}

/* Whether the primary's connection is another one than when this one was begun, or none: then
 * nobody knows whether the server is the same. */
static bool drop_if_stale(struct remote_link *link)
{
    if (is_primary(link) || remote_ledger_is_current(&link->server->ledger, link->generation))
        return false;
    drop_soon(link, "another connection was lost");
    return true;
}

/* Whether it is as if the command had never been sent. */
static bool is_unanswered(struct remote_link *link, int error)
{
    if (error == ENOTCONN) /* the library's word for "lost before the reply" */
        return true;
    if (error == ESHUTDOWN) {
        drop_soon(link, "the server is shutting down");
        return true;
    }
    return drop_if_stale(link);
}

/* A command has ended; so may its request have. */
static void settle(struct remote_link *link, struct request *req, uint32_t piece_bytes, int error)
{
    struct remote_ledger *ledger = &link->server->ledger;
    enum request_op op = req->view.op;

    if (error == 0 && (op == REQUEST_WRITE || op == REQUEST_ZERO) && !(req->flags & REQUEST_FUA))
        remote_ledger_write_answered(ledger); /* before is_unanswered(): see remote-ledger.h */
    if (is_unanswered(link, error)) {
        queue_append(&link->waiting, req);
        return;
    }
    link->trouble_since_ms = 0;
    link->pause_ms = 0;
    if (error == 0 && (op == REQUEST_READ || op == REQUEST_WRITE)) {
        req->progress_bytes += piece_bytes;
        if (req->progress_bytes < req->view.length_bytes) {
            queue_prepend(&link->waiting, req);
            return;
        }
    }
    if (error == 0 && op == REQUEST_FLUSH)
        error = remote_ledger_flush_done(ledger, req->view.offset_bytes);
    link->answer(req, error);
}

/* ---- the outage ---- */

static bool out_of_patience(const struct remote_link *link)
{
    return link->trouble_since_ms != 0 &&
           remote_clock_ms() - link->trouble_since_ms >= link->server->retry_ms;
}

static void trouble_begins(struct remote_link *link)
{
    if (link->trouble_since_ms == 0)
        link->trouble_since_ms = remote_clock_ms();
}

/* Requests fail, now and until the server is back. */
static void give_up(struct remote_link *link)
{
    struct request_queue all = queue_take_all(&link->waiting);
    struct request *req;

    if (!link->down && !atomic_load(&link->server->away))
        log_error("%s: requests fail until the server is back", link->server->name);
    link->down = true;
    if (is_primary(link))
        atomic_store(&link->server->away, true);
    while ((req = queue_take(&all)) != NULL)
        link->answer(req, EIO);
}

/* At once when the last connection was of use, else after a pause that grows. */
static void plan_dial(struct remote_link *link)
{
    link->dial_at_ms = remote_clock_ms() + link->pause_ms;
    link->pause_ms = link->pause_ms == 0 ? PAUSE_FIRST_MS : link->pause_ms * 2;
    if (link->pause_ms > PAUSE_MAX_MS)
        link->pause_ms = PAUSE_MAX_MS;
}

static void answer_waiting_flushes(struct remote_link *link)
{
    struct request_queue all = queue_take_all(&link->waiting);
    struct request *req;

    while ((req = queue_take(&all)) != NULL)
        if (!answer_flush(link, req))
            queue_append(&link->waiting, req);
}

/* The connection is gone or not wanted any more: what it has not answered waits. */
static void lose(struct remote_link *link)
{
    log_warning("%s: the connection was lost (%s)", link->server->name,
                link->reason.text[0] != '\0' ? link->reason.text : "the server closed it");
    nbd_close(link->handle);
    link->handle = NULL;
    link->broken = false;
    link->reason.text[0] = '\0';
    link->finished = NULL;
    link->finished_end = &link->finished;
    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        struct request *req = link->slots[i].req;

        if (req == NULL)
            continue;
        slot_release(link, &link->slots[i]);
        queue_prepend(&link->waiting, req);
    }
    if (link->readable_armed)
        loop_cancel(link->loop, &link->readable);
    if (link->writable_armed)
        loop_cancel(link->loop, &link->writable);
    if (is_primary(link)) {
        remote_ledger_primary_lost(&link->server->ledger);
        answer_waiting_flushes(link);
    } else {
        remote_ledger_connection_lost(&link->server->ledger, link->generation);
    }
    trouble_begins(link);
    plan_dial(link);
    if (out_of_patience(link))
        give_up(link);
}

/* ---- connecting again ---- */

static bool may_dial(const struct remote_link *link)
{
    return link->handle == NULL && !link->dialing && !link->abandoned && !link->readable_armed &&
           !link->writable_armed && (link->was_connected || link->waiting.first != NULL) &&
           (is_primary(link) || remote_ledger_has_primary(&link->server->ledger));
}

static void dial_start(struct remote_link *link)
{
    link->dialing = true;
    link->generation = remote_ledger_generation(&link->server->ledger);
    link->dial.work = dial_work;
    link->dial.done.event.fn = dial_done;
    link->dial.loop = link->loop;
    offload_run(link->server->connector, &link->dial);
}

static void dial_work(struct offload_job *job)
{
    struct remote_link *link = container_of(job, struct remote_link, dial);
    struct remote_server *server = link->server;

    job->done.result = remote_dial(&link->dialed, &link->dialed_features, &server->address,
                                   is_primary(link) ? DIAL_MS : DIAL_FURTHER_MS, &link->stopping,
                                   &link->dial_error);
    if (job->done.result < 0)
        return;
    job->done.result =
        remote_features_check(&server->features, &link->dialed_features, &link->dial_error);
    if (job->done.result < 0) {
        nbd_close(link->dialed);
        link->dialed = NULL;
    }
}

/* The server takes one connection only, whatever it said: the primary does without this one. */
static void abandon(struct remote_link *link)
{
    struct request_queue all = queue_take_all(&link->waiting);
    struct request *req;

    log_warning("%s: a further connection was not accepted, one is shared instead: %s",
                link->server->name, link->dial_error.text);
    link->abandoned = true;
    while ((req = queue_take(&all)) != NULL)
        link->give_over(req);
}

static void dial_failed(struct remote_link *link, int code)
{
    if (!link->was_connected) {
        abandon(link);
        return;
    }
    trouble_begins(link);
    if (!link->failure_told)
        log_warning("%s: %s; trying again", link->server->name, link->dial_error.text);
    link->failure_told = true;
    plan_dial(link);
    if (code == -EMEDIUMTYPE && !link->down)
        log_error("%s: %s", link->server->name, link->dial_error.text);
    if (code == -EMEDIUMTYPE || out_of_patience(link))
        give_up(link);
}

static void dial_succeeded(struct remote_link *link)
{
    link->handle = link->dialed;
    link->dialed = NULL;
    if (link->was_connected)
        log_warning("%s: connected again", link->server->name);
    link->was_connected = true;
    link->failure_told = false;
    link->down = false;
    if (is_primary(link)) {
        atomic_store(&link->server->away, false);
        remote_ledger_primary_connected(&link->server->ledger);
    }
    if (link->waiting.first == NULL)
        link->trouble_since_ms = 0;
}

static void stop_loop_if_idle(struct remote_link *link)
{
    if (atomic_load(&link->stopping) && !link->dialing && !link->readable_armed &&
        !link->writable_armed && !link->tick_armed)
        loop_stop(link->loop);
}

static void dial_done(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, dial.done.event);

    link->dialing = false;
    if (atomic_load(&link->stopping)) {
        if (result == 0)
            nbd_close(link->dialed);
        link->dialed = NULL;
        stop_loop_if_idle(link);
        return;
    }
    if (result < 0)
        dial_failed(link, result);
    else
        dial_succeeded(link);
    loop_defer(link->loop, &link->work);
}

/* ---- the socket and the clock ---- */

static bool wants(const struct remote_link *link, unsigned direction)
{
    return link->handle != NULL && !has_died(link) &&
           nbd_aio_get_direction(link->handle) & direction;
}

static bool has_unread(const struct remote_link *link)
{
    struct pollfd socket = { .fd = nbd_aio_get_fd(link->handle), .events = POLLIN };

    return poll(&socket, 1, 0) > 0;
}

/* The library takes one reply at a call.  It may not be told that there is one when there is
 * none: it would put off what it has to send until one comes. */
static void socket_readable(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, readable);

    (void)result;
    link->readable_armed = false;
    stop_loop_if_idle(link);
    for (unsigned i = 0;
         i < REMOTE_SLOTS && wants(link, LIBNBD_AIO_DIRECTION_READ) && has_unread(link); i++)
        if (nbd_aio_notify_read(link->handle) < 0) /* then it is dead, as work() sees */
            note_reason(link, remote_library_error());
    loop_defer(link->loop, &link->work);
}

static void socket_writable(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, writable);

    (void)result;
    link->writable_armed = false;
    stop_loop_if_idle(link);
    if (wants(link, LIBNBD_AIO_DIRECTION_WRITE) && nbd_aio_notify_write(link->handle) < 0)
        note_reason(link, remote_library_error());
    loop_defer(link->loop, &link->work);
}

static void check_timeout(struct remote_link *link)
{
    uint64_t now_ms = remote_clock_ms();

    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        const struct remote_slot *slot = &link->slots[i];

        if (slot->req != NULL && now_ms - slot->sent_ms >= link->server->timeout_ms) {
            drop_soon(link, "a request was not answered in time");
            return;
        }
    }
}

static void tick(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, tick.event);

    (void)result;
    link->tick_armed = false;
    stop_loop_if_idle(link);
    if (link->handle != NULL && link->server->timeout_ms > 0)
        check_timeout(link);
    if (link->handle == NULL && !link->down && out_of_patience(link))
        give_up(link);
    loop_defer(link->loop, &link->work);
}

static unsigned tick_ms(const struct remote_link *link)
{
    unsigned quarter_ms = link->server->timeout_ms / 4;

    if (link->handle == NULL)
        return link->was_connected || link->waiting.first != NULL ? TICK_MS : 0;
    if (quarter_ms == 0 || link->in_flight == 0)
        return 0;
    return quarter_ms < TICK_MS ? TICK_MS : quarter_ms < TICK_MAX_MS ? quarter_ms : TICK_MAX_MS;
}

/* Asks the loop for what is to be heard of next. */
static void arm(struct remote_link *link)
{
    if (link->handle != NULL) {
        unsigned direction = nbd_aio_get_direction(link->handle);
        int fd = nbd_aio_get_fd(link->handle);

        if (direction & LIBNBD_AIO_DIRECTION_READ && !link->readable_armed) {
            link->readable_armed = true;
            loop_poll(link->loop, &link->readable, fd, POLLIN | POLLRDHUP);
        }
        if (direction & LIBNBD_AIO_DIRECTION_WRITE && !link->writable_armed) {
            link->writable_armed = true;
            loop_poll(link->loop, &link->writable, fd, POLLOUT);
        }
    } else if (may_dial(link) && remote_clock_ms() >= link->dial_at_ms) {
        dial_start(link);
    } else if (link->waiting.first != NULL && !link->dialing) {
        trouble_begins(link); /* even if it was never connected: the primary is away */
    }
    if (!link->tick_armed && tick_ms(link) > 0) {
        link->tick_armed = true;
        loop_timer_start(link->loop, &link->tick, tick_ms(link));
    }
}

/* ---- life ---- */

int remote_link_create(struct remote_link **out, const struct remote_link_settings *settings,
                       struct error *err)
{
    struct remote_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return error_set(err, -ENOMEM, "not enough memory for a connection");
    link->server = settings->server;
    link->loop = settings->loop;
    link->answer = settings->answer;
    link->give_over = settings->give_over;
    link->handle = settings->handle;
    link->was_connected = settings->handle != NULL;
    link->waiting.end = &link->waiting.first;
    link->finished_end = &link->finished;
    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        link->slots[i] = (struct remote_slot){ .link = link, .next = link->free };
        link->free = &link->slots[i];
    }
    link->work.fn = work;
    link->readable.fn = socket_readable;
    link->writable.fn = socket_writable;
    link->tick.event.fn = tick;
    if (link->handle != NULL)
        loop_defer(link->loop, &link->work);
    *out = link;
    return 0;
}

void remote_link_destroy(struct remote_link *link)
{
    if (link == NULL)
        return;
    assert(link->waiting.first == NULL && link->in_flight == 0);
    atomic_store(&link->stopping, true);
    if (link->readable_armed)
        loop_cancel(link->loop, &link->readable);
    if (link->writable_armed)
        loop_cancel(link->loop, &link->writable);
    if (link->tick_armed)
        loop_cancel(link->loop, &link->tick.event);
    while (link->dialing || link->readable_armed || link->writable_armed || link->tick_armed ||
           link->work.queued)
        loop_run(link->loop);
    if (link->handle != NULL)
        nbd_close(link->handle);
    free(link);
}
