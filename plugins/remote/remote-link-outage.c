#include "plugins/remote/remote-link-internal.h"

#include <errno.h>

#include "server/base/log.h"

#define DIAL_MS 10000u        /* for connecting and the handshake */
#define DIAL_FURTHER_MS 3000u /* for a connection besides the primary: it can be done without */
#define PAUSE_FIRST_MS 100u
#define PAUSE_MAX_MS 2000u

static void dial_done(struct io_event *ev, int result);
static void dial_failed(struct remote_link *link, int code);

bool remote_link_out_of_patience(const struct remote_link *link)
{
    return link->trouble_since_ms != 0 &&
           channel_clock_ms() - link->trouble_since_ms >= link->server->retry_ms;
}

void remote_link_trouble_begins(struct remote_link *link)
{
    if (link->trouble_since_ms == 0)
        link->trouble_since_ms = channel_clock_ms();
}

void remote_link_give_up(struct remote_link *link)
{
    struct remote_queue all = remote_queue_take_all(&link->waiting);
    struct request *req;

    if (!link->down && !atomic_load(&link->server->away))
        log_write_of(LOG_ERROR, link->server->name, "requests fail until the server is back");
    link->down = true;
    if (remote_link_is_primary(link))
        atomic_store(&link->server->away, true);
    while ((req = remote_queue_take(&all)) != NULL)
        link->answer(req, EIO);
}

/* At once when the last connection was of use, else after a pause that grows. */
static void plan_dial(struct remote_link *link)
{
    link->dial_at_ms = channel_clock_ms() + link->pause_ms;
    link->pause_ms = link->pause_ms == 0 ? PAUSE_FIRST_MS : link->pause_ms * 2;
    if (link->pause_ms > PAUSE_MAX_MS)
        link->pause_ms = PAUSE_MAX_MS;
}

/* The primary is gone: FLUSHes that need not wait for it are answered, and what was to be made
 * durable by one begins anew. */
static void review_waiting(struct remote_link *link)
{
    struct remote_queue all = remote_queue_take_all(&link->waiting);
    struct request *req;

    while ((req = remote_queue_take(&all)) != NULL) {
        if (remote_link_answer_flush(link, req))
            continue;
        if (remote_needs_flush(req, &link->server->features))
            remote_command_restart(req);
        remote_queue_append(&link->waiting, req);
    }
}

void remote_link_lose(struct remote_link *link)
{
    if (!link->stream.aborted) {
        log_write_of(LOG_WARNING, link->server->name, "the connection was lost (%s)",
                     link->reason.text[0] != '\0' ? link->reason.text : "the server closed it");
        remote_stream_abort(&link->stream);
    }
    if (!remote_stream_is_idle(&link->stream))
        return; /* the kernel may still read or write what the requests lend it */
    remote_stream_close(&link->stream);
    link->finished = NULL;
    link->finished_end = &link->finished;
    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        struct request *req = link->slots[i].req;

        if (req == NULL)
            continue;
        remote_link_slot_release(link, &link->slots[i]);
        remote_queue_prepend(&link->waiting, req);
    }
    remote_link_flush_ended(link);
    if (remote_link_is_primary(link)) {
        remote_ledger_primary_lost(&link->server->ledger);
        review_waiting(link);
    } else {
        remote_ledger_connection_lost(&link->server->ledger, link->generation);
    }
    remote_link_trouble_begins(link);
    plan_dial(link);
    if (remote_link_out_of_patience(link))
        remote_link_give_up(link);
}

/* ---- connecting again ---- */

bool remote_link_may_dial(const struct remote_link *link)
{
    return !remote_link_is_connected(link) && link->attempt == NULL && !link->abandoned &&
           (link->was_connected || link->waiting.first != NULL) &&
           (remote_link_is_primary(link) || remote_ledger_has_primary(&link->server->ledger));
}

void remote_link_dial(struct remote_link *link)
{
    link->generation = remote_ledger_generation(&link->server->ledger);
    int code = remote_attempt_start(&link->attempt, &link->server->address,
                                    remote_link_is_primary(link) ? DIAL_MS : DIAL_FURTHER_MS,
                                    link->loop, dial_done, link, &link->dial_error);
    if (code < 0)
        dial_failed(link, code);
}

/* The server takes one connection only, whatever it said: the primary does without this one. */
static void abandon(struct remote_link *link)
{
    struct remote_queue all = remote_queue_take_all(&link->waiting);
    struct request *req;

    log_write_of(LOG_WARNING, link->server->name,
                 "a further connection was not accepted, one is shared instead: %s",
                 link->dial_error.text);
    link->abandoned = true;
    while ((req = remote_queue_take(&all)) != NULL)
        link->give_over(req);
}

static void dial_failed(struct remote_link *link, int code)
{
    if (!link->was_connected) {
        abandon(link);
        return;
    }
    remote_link_trouble_begins(link);
    if (!link->failure_told)
        log_write_of(LOG_WARNING, link->server->name, "%s; trying again", link->dial_error.text);
    link->failure_told = true;
    plan_dial(link);
    if (code == -EMEDIUMTYPE && !link->down)
        log_write_of(LOG_ERROR, link->server->name, "%s", link->dial_error.text);
    if (code == -EMEDIUMTYPE || remote_link_out_of_patience(link))
        remote_link_give_up(link);
}

static void dial_succeeded(struct remote_link *link, bool again)
{
    if (again)
        log_write_of(LOG_WARNING, link->server->name, "connected again");
    link->failure_told = false;
    link->down = false;
    if (remote_link_is_primary(link)) {
        atomic_store(&link->server->away, false);
        remote_ledger_primary_connected(&link->server->ledger);
    }
    if (link->waiting.first == NULL)
        link->trouble_since_ms = 0;
}

static void dial_done(struct io_event *ev, int result)
{
    struct remote_attempt *attempt = container_of(ev, struct remote_attempt, done.event);
    struct remote_link *link = attempt->context;

    link->attempt = NULL;
    if (!link->stopping) {
        bool again = link->was_connected;

        if (result == 0)
            result =
                remote_features_check(&link->server->features, &attempt->features, &attempt->error);
        if (result == 0)
            result = remote_link_use(link, &attempt->connection, &attempt->error);
        link->dial_error = attempt->error;
        if (result < 0)
            dial_failed(link, result);
        else
            dial_succeeded(link, again);
        loop_defer(link->loop, &link->work);
    }
    remote_attempt_free(attempt);
    remote_link_stop_loop_if_idle(link);
}
