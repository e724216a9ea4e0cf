#include "plugins/remote-link-parts.h"

#include <assert.h>
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdlib.h>

#define TICK_MS 100u
#define TICK_MAX_MS 1000u

static void arm(struct remote_link *link);

bool remote_link_is_primary(const struct remote_link *link)
{
    return link->give_over == NULL;
}

bool remote_link_has_died(const struct remote_link *link)
{
    return nbd_aio_is_dead(link->handle) || nbd_aio_is_closed(link->handle);
}

void remote_link_note_reason(struct remote_link *link, const char *reason)
{
    if (link->reason.text[0] == '\0')
        error_set(&link->reason, 0, "%s", reason);
}

void remote_link_distrusts(struct remote_link *link, const char *reason)
{
    remote_link_note_reason(link, reason);
    link->broken = true;
}

/* All of a batch, in one place: what was submitted is sent, what was answered is passed on, and
 * what the library wants to hear of the socket is asked for. */
static void work(struct loop_task *task)
{
    struct remote_link *link = container_of(task, struct remote_link, work);

    if (link->stopping) {
        remote_link_stop_loop_if_idle(link);
        return;
    }
    if (link->handle != NULL) {
        if (!remote_link_drop_if_stale(link))
            remote_link_send_waiting(link);
        remote_link_reap(link);
        if (link->broken || remote_link_has_died(link))
            remote_link_lose(link);
    } else if (link->down || (!remote_link_is_primary(link) && atomic_load(&link->server->away))) {
        remote_link_give_up(link);
    }
    arm(link);
}

void remote_link_stop_loop_if_idle(struct remote_link *link)
{
    if (link->stopping && link->attempt == NULL && !link->readable_armed && !link->writable_armed &&
        !link->tick_armed)
        loop_stop(link->loop);
}

/* ---- the socket and the clock ---- */

static bool wants(const struct remote_link *link, unsigned direction)
{
    return link->handle != NULL && !remote_link_has_died(link) &&
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
    remote_link_stop_loop_if_idle(link);
    for (unsigned i = 0;
         i < REMOTE_SLOTS && wants(link, LIBNBD_AIO_DIRECTION_READ) && has_unread(link); i++)
        if (nbd_aio_notify_read(link->handle) < 0) /* then it is dead, as work() sees */
            remote_link_note_reason(link, remote_library_error());
    loop_defer(link->loop, &link->work);
}

static void socket_writable(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, writable);

    (void)result;
    link->writable_armed = false;
    remote_link_stop_loop_if_idle(link);
    if (wants(link, LIBNBD_AIO_DIRECTION_WRITE) && nbd_aio_notify_write(link->handle) < 0)
        remote_link_note_reason(link, remote_library_error());
    loop_defer(link->loop, &link->work);
}

static void check_timeout(struct remote_link *link)
{
    uint64_t now_ms = remote_clock_ms();

    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        const struct remote_slot *slot = &link->slots[i];

        if (slot->req != NULL && now_ms - slot->sent_ms >= link->server->timeout_ms) {
            remote_link_distrusts(link, "a request was not answered in time");
            return;
        }
    }
}

static void tick(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, tick.event);

    (void)result;
    link->tick_armed = false;
    remote_link_stop_loop_if_idle(link);
    if (link->handle != NULL && link->server->timeout_ms > 0)
        check_timeout(link);
    if (link->handle == NULL && !link->down && remote_link_out_of_patience(link))
        remote_link_give_up(link);
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
    } else if (remote_link_may_dial(link) && remote_clock_ms() >= link->dial_at_ms) {
        remote_link_dial(link);
    } else if (link->waiting.first != NULL && link->attempt == NULL) {
        remote_link_trouble_begins(link); /* even if it was never connected: the primary is away */
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
    remote_queue_init(&link->waiting);
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
    link->stopping = true;
    if (link->readable_armed)
        loop_cancel(link->loop, &link->readable);
    if (link->writable_armed)
        loop_cancel(link->loop, &link->writable);
    if (link->tick_armed)
        loop_cancel(link->loop, &link->tick.event);
    if (link->attempt != NULL && !remote_attempt_leave(link->attempt))
        link->attempt = NULL;
    while (link->attempt != NULL || link->readable_armed || link->writable_armed ||
           link->tick_armed || link->work.queued)
        loop_run(link->loop);
    if (link->handle != NULL)
        nbd_close(link->handle);
    free(link);
}
