#include "server/connection/worker-exports.h"

#include "server/access/access.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/connection/connection.h"

/* ---- clients ---- */

static unsigned clients_of(const struct worker *worker, const struct export *export)
{
    unsigned clients = 0;

    for (const struct connection *one = worker->connections; one != NULL; one = one->next)
        clients += one->talk.export == export;
    return clients;
}

static void send_away(const struct worker *worker, const struct export *export)
{
    for (struct connection *one = worker->connections, *next; one != NULL; one = next) {
        next = one->next;
        if (one->talk.export == export)
            connection_shutdown(one);
    }
}

/* ---- another set ---- */

/* NULL: nothing. */
static const char *why_not(const struct worker *worker, const struct conversation *talk)
{
    bool local = talk->peer.address.ss_family == AF_UNIX;

    if (!access_allows(talk->export->access, &talk->peer))
        return "is no longer allowed to it";
    if (!talk->peer.encrypted &&
        (talk->export->tls_only || tls_is_demanded(worker_tls_mode(worker), local)))
        return "is for those who use TLS by now";
    return NULL;
}

static void send_away_those_who_may_not(struct worker *worker)
{
    for (struct connection *one = worker->connections, *next; one != NULL; one = next) {
        const char *why = one->talk.export != NULL ? why_not(worker, &one->talk) : NULL;

        next = one->next;
        if (why == NULL)
            continue;
        conversation_tell(&one->talk, LOG_NOTICE, LOG_ID_CLIENT_DENIED,
                          "export '%s' %s; its connection is ended", one->talk.export->name, why);
        conversation_event(&one->talk, "client.denied", why);
        connection_shutdown(one);
    }
}

static void use_here(struct io_event *ev, int result)
{
    struct worker_use *use = container_of(ev, struct worker_use, message.event);
    struct worker *worker = use->worker;

    (void)result;
    worker->exports = use->set;
    if (use->terms != NULL)
        worker_set_terms(worker, use->terms);
    send_away_those_who_may_not(worker);
    use->done(use);
}

void worker_use_exports(struct worker *worker, struct worker_use *use)
{
    use->worker = worker;
    use->message.event.fn = use_here;
    loop_post(worker->loop, &use->message);
}

static void count_here(struct io_event *ev, int result)
{
    struct worker_count *count = container_of(ev, struct worker_count, message.event);

    (void)result;
    count->clients = clients_of(count->worker, count->export);
    count->done(count);
}

void worker_count_clients(struct worker *worker, struct worker_count *count)
{
    count->worker = worker;
    count->message.event.fn = count_here;
    loop_post(worker->loop, &count->message);
}

/* ---- an export that goes ---- */

static void has_detached(struct io_event *ev, int result)
{
    struct worker_leave *leave = container_of(ev, struct worker_leave, detached);
    struct worker *worker = leave->worker;
    struct worker_leave **link = &worker->leaving;

    (void)result;
    if (leave->export->parts != NULL)
        export_part_detach(&leave->export->parts[worker->index]);
    while (*link != leave)
        link = &(*link)->next;
    *link = leave->next;
    leave->done(leave);
}

/* Its pipeline may want to say goodbye to a server first. */
static void detach_if_nobody_is_left(struct worker_leave *leave)
{
    struct worker *worker = leave->worker;

    /* At the end of the worker all pipelines are given back. */
    if (leave->detaching || worker->shutting_down || clients_of(worker, leave->export) > 0)
        return;
    leave->detaching = true;
    leave->detached.fn = has_detached;
    if (leave->export->parts != NULL)
        export_part_leave(&leave->export->parts[worker->index], &leave->detached);
    else /* it has never been open */
        has_detached(&leave->detached, 0);
}

static void leave_here(struct io_event *ev, int result)
{
    struct worker_leave *leave = container_of(ev, struct worker_leave, message.event);

    (void)result;
    leave->next = leave->worker->leaving;
    leave->worker->leaving = leave;
    detach_if_nobody_is_left(leave);
}

void worker_leave_export(struct worker *worker, struct worker_leave *leave)
{
    leave->worker = worker;
    leave->hurried = leave->detaching = false;
    leave->message.event.fn = leave_here;
    loop_post(worker->loop, &leave->message);
}

static void hurry_here(struct io_event *ev, int result)
{
    struct worker_leave *leave = container_of(ev, struct worker_leave, hurry.event);

    (void)result;
    send_away(leave->worker, leave->export);
    leave->done(leave);
}

void worker_hurry_export(struct worker_leave *leave)
{
    leave->hurried = true;
    leave->hurry.event.fn = hurry_here;
    loop_post(leave->worker->loop, &leave->hurry);
}

void worker_exports_connection_ended(struct worker *worker)
{
    for (struct worker_leave *leave = worker->leaving, *next; leave != NULL; leave = next) {
        next = leave->next;
        if (leave->export == worker->left) /* clients are counted for that one alone */
            detach_if_nobody_is_left(leave);
    }
}
