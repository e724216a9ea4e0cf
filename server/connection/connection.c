#include "server/connection/connection.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/probe.h"
#include "server/base/tally.h"
#include "server/board/board-owner.h"
#include "server/connection/handshake.h"
#include "server/connection/transmission.h"
#include "server/connection/worker.h"
#include "server/tls/tls-standing.h"

#define SURPLUS_TIMEOUT_MS 2000u /* to tell a client that it is one too many */
#define HANDSHAKE_DRAIN_MS 1000u /* for one that has not chosen an export yet */
#define GOODBYE_MS 2000u         /* for one that has not taken all its answers when it says DISC */
#define ABANDON_MS 500u /* what is in flight of a connection that was cut comes back sooner */

static void handshake_ended(struct io_event *ev, int result);
static void transmission_ended(struct io_event *ev, int result);
static void timer_fired(struct io_event *ev, int result);
static void end(struct connection *connection);

static void move(struct connection *connection, enum connection_state state)
{
    static const enum board_state seen[] = {
        [CONNECTION_HANDSHAKE] = BOARD_HANDSHAKE,       [CONNECTION_GOODBYE] = BOARD_GOODBYE,
        [CONNECTION_TRANSMISSION] = BOARD_TRANSMISSION, [CONNECTION_DRAINING] = BOARD_DRAINING,
        [CONNECTION_CLOSING] = BOARD_CLOSING,
    };

    connection->state = state;
    board_connection_move(connection->talk.row, seen[state]);
}

static void start_timer(struct connection *connection, unsigned timeout_ms)
{
    connection->timer_running = true;
    connection->timer.event.fn = timer_fired;
    loop_timer_start(connection->talk.worker->loop, &connection->timer, timeout_ms);
}

static unsigned handshake_timeout_ms(const struct connection *connection)
{
    unsigned timeout_ms = connection->talk.worker->handshake_timeout_ms;

    return connection->surplus && timeout_ms > SURPLUS_TIMEOUT_MS ? SURPLUS_TIMEOUT_MS : timeout_ms;
}

/* `place` is taken over; `surplus`: there is none, and why. */
static void create(struct worker *worker, int fd, const struct peer *peer, struct place place,
                   enum place_result surplus)
{
    struct connection *connection = calloc(1, sizeof *connection);
    struct error err = { .text = "not enough memory" };

    if (connection == NULL ||
        transport_plain_create(&connection->talk.transport, worker->loop, fd, &err) < 0) {
        log_write_of(LOG_WARNING, peer->text, "refused: %s", err.text);
        free(connection);
        close(fd);
        places_leave(worker->places, &place);
        worker_connection_ended(worker, surplus != PLACE_GRANTED);
        return;
    }
    connection->talk.worker = worker;
    connection->talk.row = board_connection_begin(worker->board, worker->index, peer->text);
    PROBE(connection_accept, connection->talk.row->id, (const char *)peer->text);
    connection->state = CONNECTION_HANDSHAKE;
    connection->talk.peer = *peer;
    connection->talk.place = place;
    connection->surplus = surplus != PLACE_GRANTED;
    connection->next = worker->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    worker->connections = connection;

    connection->handshake_ended.fn = handshake_ended;
    connection->transmission_ended.fn = transmission_ended;
    connection->handshake = handshake_start(&connection->talk, &connection->handshake_ended);
    if (connection->handshake == NULL) {
        log_write_of(LOG_WARNING, peer->text, "refused: not enough memory");
        end(connection);
        return;
    }
    start_timer(connection, handshake_timeout_ms(connection));
    if (connection->surplus)
        handshake_turn_away(connection->handshake, places_sentence(surplus));
    if (worker->shutting_down)
        handshake_shutdown(connection->handshake);
}

void connection_create(struct worker *worker, int fd, const struct peer *peer,
                       const struct place *place)
{
    create(worker, fd, peer, *place, PLACE_GRANTED);
}

void connection_turn_away(struct worker *worker, int fd, const struct peer *peer,
                          enum place_result why)
{
    create(worker, fd, peer, (struct place){ 0 }, why);
}

/* Reads what the client still sends, in pieces, until it closes or its time is over. */
static void forget(struct io_event *ev, int result)
{
    static _Thread_local uint8_t nowhere[4096];
    struct connection *connection = container_of(ev, struct connection, forgotten);
    struct transport *transport = connection->talk.transport;

    while (result == TRANSPORT_FILLED)
        result = transport->ops->recv(transport, nowhere, sizeof nowhere) ? TRANSPORT_FILLED : 2;
    if (result <= 0)
        end(connection);
}

static void say_goodbye(struct connection *connection)
{
    move(connection, CONNECTION_GOODBYE);
    connection->forgotten.fn = forget;
    connection->talk.transport->recv_done = &connection->forgotten;
    connection->talk.transport->ops->finish(connection->talk.transport);
    forget(&connection->forgotten, TRANSPORT_FILLED);
}

static void tell_of_certificate(const struct connection *connection)
{
    struct io_event *certified = connection->talk.worker->certified;
    int64_t end_s = tls_standing_end_s(&connection->talk.peer), left_s = end_s - time(NULL);

    if (end_s != INT64_MAX && certified != NULL)
        certified->fn(certified, left_s < 0 ? 0 : left_s > INT_MAX / 2 ? INT_MAX / 2 : (int)left_s);
}

/* The handshake has ended; `result` is an enum handshake_result. */
static void handshake_ended(struct io_event *ev, int result)
{
    struct connection *connection = container_of(ev, struct connection, handshake_ended);

    handshake_free(connection->handshake);
    connection->handshake = NULL;
    if (result == HANDSHAKE_CLOSE && connection->timer_running) {
        say_goodbye(connection); /* within the time of the handshake */
        return;
    }
    /* The timer of the handshake; its event comes when it has ended. */
    if (connection->timer_running && connection->state == CONNECTION_HANDSHAKE)
        loop_cancel(connection->talk.worker->loop, &connection->timer.event);
    if (result != HANDSHAKE_TRANSMISSION || connection->state == CONNECTION_CLOSING) {
        end(connection);
        return;
    }
    struct conversation *talk = &connection->talk;
    connection->state = CONNECTION_TRANSMISSION;
    board_connection_describe(talk->row, talk->peer.text, talk->peer.tls);
    board_handshake_took(talk->worker->board, talk->peer.encrypted,
                         board_now_ns() - talk->row->since_ns);
    board_connection_attach(talk->worker->board, talk->row, talk->export->place);
    connection->transmission =
        transmission_start(&connection->talk, &connection->transmission_ended);
    if (connection->transmission == NULL) {
        end(connection);
        return;
    }
    conversation_tell(&connection->talk, LOG_NOTICE, LOG_ID_CLIENT_ATTACHED,
                      "attached export '%s' (worker %u)", connection->talk.export->name,
                      connection->talk.worker->index);
    conversation_event(&connection->talk, "client.attached", NULL);
    PROBE(connection_attach, talk->row->id, talk->row->export_id, (const char *)talk->export->name,
          talk->peer.text);
    tally_add(TALLY_ATTACHED_BY(connection->talk.peer.address.ss_family == AF_UNIX,
                                connection->talk.peer.encrypted));
    tell_of_certificate(connection);
    if (connection->talk.worker->shutting_down || connection->told_to_go)
        connection_shutdown(connection);
}

/* Answers are under way that a close with unread bytes would take back: behind DISC comes
 * close_notify, at least. */
static bool has_answers_to_take(const struct connection *connection)
{
    struct transport *transport = connection->talk.transport;

    return transport->ops->unsent_bytes(transport) > 0;
}

/* Transmission has ended, and nothing of it is in flight; `in_order`: it was not cut. */
static void transmission_ended(struct io_event *ev, int in_order)
{
    struct connection *connection = container_of(ev, struct connection, transmission_ended);

    transmission_free(connection->transmission);
    connection->transmission = NULL;
    conversation_tell(&connection->talk, LOG_NOTICE, LOG_ID_CLIENT_DETACHED, "detached export '%s'",
                      connection->talk.export->name);
    conversation_event(&connection->talk, "client.detached", NULL);
    PROBE(connection_detach, connection->talk.row->id, connection->talk.row->export_id);
    if (in_order && !connection->timer_running && has_answers_to_take(connection)) {
        start_timer(connection, GOODBYE_MS);
        say_goodbye(connection);
        return;
    }
    end(connection);
}

void connection_shutdown(struct connection *connection)
{
    connection->told_to_go = true;
    if (connection->handshake != NULL)
        handshake_shutdown(connection->handshake);
    if (connection->state == CONNECTION_GOODBYE && connection->talk.export != NULL) {
        connection->talk.transport->ops->abort(connection->talk.transport);
        return; /* nothing more is due */
    }
    if ((connection->state == CONNECTION_HANDSHAKE || connection->state == CONNECTION_GOODBYE) &&
        connection->timer_running)
        loop_cancel(connection->talk.worker->loop,
                    &connection->timer.event); /* a shorter one follows */
    if (connection->state == CONNECTION_HANDSHAKE && !connection->timer_running)
        start_timer(connection, ABANDON_MS); /* cut before, and still there */
    if (connection->state != CONNECTION_TRANSMISSION)
        return;
    move(connection, CONNECTION_DRAINING);
    if (!connection->timer_running)
        start_timer(connection, DRAIN_TICK_MS);
    transmission_shutdown(connection->transmission);
}

/* Ends it at once, answered or not. */
static void end_at_once(struct connection *connection)
{
    if (connection->handshake != NULL || connection->state == CONNECTION_GOODBYE)
        connection->talk.transport->ops->abort(
            connection->talk.transport); /* what is in flight ends */
    else if (connection->transmission != NULL)
        transmission_abort(connection->transmission);
}

/* A calculation of its handshake can't be stopped, and uses its memory: the process is to end
 * around it. */
static void abandon(struct connection *connection)
{
    connection->abandoned = true;
    worker_connection_abandoned(connection->talk.worker, connection->surplus);
}

static void drain(struct connection *connection)
{
    struct transmission *t = connection->transmission;
    enum drain_verdict verdict =
        drain_look(&connection->drain, t, connection->talk.worker->drain_max_ms);

    start_timer(connection, DRAIN_TICK_MS);
    if (drain_sentence(verdict) != NULL)
        conversation_log(&connection->talk, LOG_NOTICE, "%s; dropped", drain_sentence(verdict));
    if (verdict != DRAIN_WAIT)
        transmission_abort(t);
}

static void timer_fired(struct io_event *ev, int result)
{
    struct connection *connection = container_of(ev, struct connection, timer.event);
    bool handshake = connection->state == CONNECTION_HANDSHAKE;

    connection->timer_running = false;
    if (connection->state == CONNECTION_CLOSING) {
        end(connection);
        return;
    }
    if (result == -ECANCELED) { /* that was the timer of the handshake */
        if (connection->state == CONNECTION_DRAINING)
            start_timer(connection, DRAIN_TICK_MS);
        else if (connection->state != CONNECTION_TRANSMISSION)
            start_timer(connection, HANDSHAKE_DRAIN_MS);
        return;
    }
    if (connection->state == CONNECTION_DRAINING) {
        drain(connection);
        return;
    }
    if (handshake && connection->cut) {
        abandon(connection);
        return;
    }
    if (handshake && !connection->talk.worker->shutting_down)
        tally_add(TALLY_REJECTED_TIMEOUT);
    if (handshake)
        conversation_log(&connection->talk, LOG_NOTICE, "%s; dropped",
                         connection->talk.worker->shutting_down
                             ? "was still in its handshake at the end"
                             : "did not finish its handshake in time");
    end_at_once(connection);
    if (!handshake)
        return;
    connection->cut = true;
    if (connection->talk.worker->shutting_down)
        start_timer(connection, ABANDON_MS);
}

/* Everything of the connection has come back but, perhaps, the timer. */
static void end(struct connection *connection)
{
    struct worker *worker = connection->talk.worker;

    assert(connection->transmission == NULL);
    if (connection->timer_running) {
        if (connection->state != CONNECTION_CLOSING)
            loop_cancel(worker->loop, &connection->timer.event);
        move(connection, CONNECTION_CLOSING);
        return;
    }
    if (connection->handshake != NULL)
        handshake_free(connection->handshake);
    connection->talk.transport->ops->close(connection->talk.transport);
    negotiated_reset(&connection->talk.negotiated);
    peer_forget_tls(&connection->talk.peer);
    PROBE(connection_close, connection->talk.row->id);
    board_connection_end(worker->board, connection->talk.row);
    places_leave(worker->places, &connection->talk.place);
    if (connection->scrubs) {
        buffer_pool_scrub(worker->buffers);
        tls_buffers_scrub(&worker->tls_buffers);
    }
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        worker->connections = connection->next;
    worker->left = connection->talk.export;
    if (!connection->abandoned)
        worker_connection_ended(worker, connection->surplus);
    free(connection);
}
