/* The conversation as a state machine.  Exactly one operation of the transport is in flight,
 * a recv or a send, from handshake_start() to the end.
 *
 *                greeting sent
 *     GREETING ----------------> FLAGS --> HEADER <------------------------------+
 *                                            |                                   |
 *                      it has a handler and  |  otherwise: what is not wanted    |
 *                      fits                  |  is read and thrown away          |
 *                              +-------------+-------------+                     |
 *                              v                           v                     |
 *                           PAYLOAD                      DRAIN                   |
 *                              |  handler                  |  refusal            |
 *                              +-------------+-------------+                     |
 *                                            v                  OPTION_NEXT      |
 *                                          REPLY --------------------------------+
 *                                            |  OPTION_TLS                       |
 *                                            +-----------------> TLS ------------+
 *                                            |  all other outcomes
 *                                            v
 *                                    `ended` fires
 *
 * Source: proto.md, "Newstyle negotiation" and "Fixed newstyle negotiation". */
#include "server/connection/handshake.h"

#include <assert.h>
#include <stdlib.h>

#include "server/connection/conversation.h"
#include "server/export/export-set.h"
#include "server/connection/handshake-options.h"
#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/board/board-owner.h"
#include "server/transport/transport-tls.h"
#include "server/connection/worker.h"

#define TURNED_AWAY_OPTIONS_MAX 16u          /* clients ask for a few things before they GO */
#define PAYLOAD_BYTES_ABSURD (1024u * 1024u) /* nobody has to read more than that */
#define HANDSHAKE_FLAGS (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)
#define CLIENT_FLAGS (NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES)

enum handshake_step {
    STEP_GREETING,
    STEP_FLAGS,
    STEP_HEADER,
    STEP_PAYLOAD,
    STEP_DRAIN,
    STEP_REPLY,
    STEP_TLS,
    STEP_ENDED,
};

struct handshake {
    struct conversation *talk;
    struct io_event *ended;
    struct io_event recv_done, send_done, tls_done;
    uint64_t tls_since_ns;
    enum handshake_step step;
    enum option_outcome outcome; /* of the last option */
    bool fixed;                  /* the client speaks fixed newstyle */
    bool shutting_down;
    const char *turned_away;          /* why; NULL: it is not */
    size_t options_seen, options_max; /* see limit_options() */
    bool options_max_is_of_tls;

    struct nbd_option_header option;
    const struct option_handler *handler;
    uint8_t *payload;      /* option.length_bytes of it; NULL when there is none */
    uint32_t drain_bytes;  /* still to be read and thrown away */
    uint8_t scratch[1024]; /* greeting, flags, headers, and what is thrown away */

    struct iovec iov;
    struct option_exchange exchange;
};

/* Prototypes in the order of the conversation.  A step returns true when its operation has
 * finished at once and the next step may run, false when an event will follow (or all is over:
 * then the handshake may be gone). */
static bool greeting_sent(struct handshake *hs);
static bool flags_received(struct handshake *hs);
static bool header_received(struct handshake *hs);
static bool payload_received(struct handshake *hs);
static bool some_drained(struct handshake *hs);
static bool reply_sent(struct handshake *hs);
static bool start_tls(struct handshake *hs);

static bool receive_header(struct handshake *hs);
static bool receive_payload(struct handshake *hs);
static bool receive_drain(struct handshake *hs, uint32_t left_bytes);
static bool answer(struct handshake *hs);
static bool answer_unread(struct handshake *hs);

static void run(struct handshake *hs)
{
    bool more = true;

    while (more) {
        switch (hs->step) {
        case STEP_GREETING:
            more = greeting_sent(hs);
            break;
        case STEP_FLAGS:
            more = flags_received(hs);
            break;
        case STEP_HEADER:
            more = header_received(hs);
            break;
        case STEP_PAYLOAD:
            more = payload_received(hs);
            break;
        case STEP_DRAIN:
            more = some_drained(hs);
            break;
        case STEP_REPLY:
            more = reply_sent(hs);
            break;
        case STEP_TLS:
            more = receive_header(hs);
            break;
        case STEP_ENDED:
            more = false;
            break;
        }
    }
}

/* ---- the ends ---- */

/* The handshake may be freed in there. */
static bool end(struct handshake *hs, enum handshake_result result)
{
    hs->step = STEP_ENDED;
    hs->ended->fn(hs->ended, (int)result);
    return false;
}

static bool drop(struct handshake *hs, const char *why)
{
    conversation_log(hs->talk, LOG_NOTICE, "dropped in the handshake: %s", why);
    return end(hs, HANDSHAKE_ABORT);
}

/* What it sent is not NBD, or too much. */
static bool drop_stranger(struct handshake *hs, const char *why)
{
    tally_add(TALLY_REJECTED_PROTOCOL);
    return drop(hs, why);
}

/* ---- the transport ---- */

/* The next step runs when `length_bytes` (not 0) have been filled. */
static bool receive(struct handshake *hs, enum handshake_step step, void *data,
                    uint32_t length_bytes)
{
    struct transport *transport = hs->talk->transport;

    hs->step = step;
    return transport->ops->recv(transport, data, length_bytes);
}

/* The next step runs when all of it has been sent. */
static bool transmit(struct handshake *hs, enum handshake_step step, uint8_t *data,
                     size_t length_bytes)
{
    struct transport *transport = hs->talk->transport;

    hs->step = step;
    hs->iov = (struct iovec){ data, length_bytes };
    transport->ops->send(transport, &hs->iov, 1);
    return false;
}

static void recv_done(struct io_event *ev, int result)
{
    struct handshake *hs = container_of(ev, struct handshake, recv_done);

    if (result == TRANSPORT_FILLED)
        run(hs);
    else if (result == TRANSPORT_END)
        drop(hs, "the client closed the connection");
    else
        drop(hs, "the connection broke");
}

static void send_done(struct io_event *ev, int result)
{
    struct handshake *hs = container_of(ev, struct handshake, send_done);
    struct transport *transport = hs->talk->transport;

    if (result <= 0) {
        drop(hs, "the connection broke");
        return;
    }
    assert((size_t)result <= hs->iov.iov_len);
    hs->iov.iov_base = (uint8_t *)hs->iov.iov_base + result;
    hs->iov.iov_len -= (size_t)result;
    if (hs->iov.iov_len > 0)
        transport->ops->send(transport, &hs->iov, 1);
    else
        run(hs);
}

/* ---- the steps ---- */

static bool receive_header(struct handshake *hs)
{
    return receive(hs, STEP_HEADER, hs->scratch, NBD_OPTION_HEADER_BYTES);
}

static bool greeting_sent(struct handshake *hs)
{
    return receive(hs, STEP_FLAGS, hs->scratch, NBD_CLIENT_FLAGS_BYTES);
}

/* proto.md, "Client flags": a flag that the server does not know ends the connection. */
static bool flags_received(struct handshake *hs)
{
    uint32_t flags = nbd_decode_client_flags(hs->scratch);

    if (flags & ~CLIENT_FLAGS)
        return drop_stranger(hs, "it set client flags that do not exist");
    hs->fixed = flags & NBD_FLAG_C_FIXED_NEWSTYLE;
    hs->exchange.no_zeroes = flags & NBD_FLAG_C_NO_ZEROES;
    return receive_header(hs);
}

static void release_payload(struct handshake *hs)
{
    free(hs->payload);
    hs->payload = NULL;
}

/* The limit grows with the exports that this client may attach, and says nothing of the others.
 * TLS can change which these are.  They are only counted for a client that sends many options. */
static void limit_options(struct handshake *hs)
{
    const struct conversation *talk = hs->talk;
    const struct peer *peer = &talk->peer;

    if (hs->options_seen <= HANDSHAKE_OPTIONS_MAX ||
        (hs->options_max > 0 && hs->options_max_is_of_tls == peer->encrypted))
        return;
    hs->options_max_is_of_tls = peer->encrypted;
    hs->options_max = HANDSHAKE_OPTIONS_MAX +
                      HANDSHAKE_OPTIONS_PER_EXPORT * export_set_count(talk->worker->exports, peer);
}

static bool too_many_options(const struct handshake *hs)
{
    if (hs->turned_away)
        return hs->options_seen > TURNED_AWAY_OPTIONS_MAX;
    return hs->options_seen > HANDSHAKE_OPTIONS_MAX && hs->options_seen > hs->options_max;
}

/* The payload of what is refused whatever it says is not kept. */
static bool is_wanted(const struct handshake *hs)
{
    if (hs->handler == NULL || hs->handler->payload_ignored || hs->shutting_down ||
        hs->turned_away != NULL)
        return false;
    if (too_many_options(hs))
        return false;
    if (option_needs_tls(hs->talk, hs->option.option))
        return false;
    return hs->option.length_bytes <= hs->handler->payload_bytes_max;
}

/* Why the option can't be answered at all; NULL: it can. */
static const char *reason_to_drop(const struct handshake *hs)
{
    if (!hs->fixed && hs->option.option != NBD_OPT_EXPORT_NAME)
        return "a client without fixed newstyle may send nothing but EXPORT_NAME";
    if (hs->option.option == NBD_OPT_EXPORT_NAME && hs->turned_away != NULL)
        return hs->turned_away;
    if (hs->option.option == NBD_OPT_EXPORT_NAME && !is_wanted(hs))
        return hs->shutting_down ? "the server is going down"
               : option_needs_tls(hs->talk, NBD_OPT_EXPORT_NAME)
                   ? "it did not use TLS, which this server demands"
                   : "its EXPORT_NAME is not acceptable";
    if (hs->option.length_bytes > PAYLOAD_BYTES_ABSURD)
        return "it announced an option of more than 1 MiB";
    return NULL;
}

static bool header_received(struct handshake *hs)
{
    const char *why;

    if (!nbd_decode_option_header(hs->scratch, &hs->option))
        return drop_stranger(hs, "it sent something that is not an option");
    hs->handler = option_handler_find(hs->option.option);
    hs->exchange.option = hs->option.option;
    hs->options_seen++;
    limit_options(hs);
    why = reason_to_drop(hs);
    if (why)
        return drop_stranger(hs, why);
    /* proto.md: SET_META_CONTEXT replaces what was set, "including when this command fails". */
    if (hs->option.option == NBD_OPT_SET_META_CONTEXT)
        negotiated_forget_contexts(&hs->talk->negotiated);
    return is_wanted(hs) ? receive_payload(hs) : receive_drain(hs, hs->option.length_bytes);
}

static bool receive_payload(struct handshake *hs)
{
    if (hs->option.length_bytes == 0)
        return payload_received(hs);
    hs->payload = malloc(hs->option.length_bytes);
    if (hs->payload == NULL)
        return drop(hs, "there is no memory for its option");
    return receive(hs, STEP_PAYLOAD, hs->payload, hs->option.length_bytes);
}

static bool payload_received(struct handshake *hs)
{
    if (hs->shutting_down) {
        release_payload(hs);
        return answer_unread(hs);
    }
    hs->exchange.payload = (struct nbd_cursor){ hs->payload != NULL ? hs->payload : hs->scratch,
                                                hs->option.length_bytes };
    hs->exchange.list_next = 0;
    return answer(hs);
}

static bool receive_drain(struct handshake *hs, uint32_t left_bytes)
{
    uint32_t bytes = left_bytes < sizeof hs->scratch ? left_bytes : (uint32_t)sizeof hs->scratch;

    if (bytes == 0)
        return answer_unread(hs);
    hs->drain_bytes = left_bytes - bytes;
    return receive(hs, STEP_DRAIN, hs->scratch, bytes);
}

static bool some_drained(struct handshake *hs)
{
    return receive_drain(hs, hs->drain_bytes);
}

/* Runs the handler and sends what it wrote. */
static bool answer(struct handshake *hs)
{
    hs->exchange.reply_bytes = 0;
    hs->outcome = hs->handler->handle(&hs->exchange);
    release_payload(hs);
    if (hs->outcome == OPTION_DROP)
        return end(hs, HANDSHAKE_ABORT);
    return transmit(hs, STEP_REPLY, hs->exchange.reply, hs->exchange.reply_bytes);
}

/* Answers an option whose payload, if there was one, has been thrown away. */
static bool answer_unread(struct handshake *hs)
{
    struct option_exchange *ex = &hs->exchange;
    const char *name = nbd_option_name(hs->option.option);

    if (hs->option.option == NBD_OPT_EXPORT_NAME)
        return drop(hs, "the server is going down");
    if (hs->handler != NULL && hs->handler->payload_ignored)
        return answer(hs);
    ex->reply_bytes = 0;
    hs->outcome = OPTION_NEXT;
    if (hs->shutting_down) {
        option_refuse(ex, NBD_REP_ERR_SHUTDOWN, "the server is going down");
    } else if (!too_many_options(hs) && option_needs_tls(hs->talk, hs->option.option)) {
        option_refuse(ex, NBD_REP_ERR_TLS_REQD, "this server demands TLS: begin with STARTTLS");
    } else if (too_many_options(hs)) {
        option_refuse(ex, NBD_REP_ERR_POLICY, "%zu options in one handshake are too many",
                      hs->options_seen);
        hs->outcome = OPTION_CLOSE;
    } else if (hs->turned_away) {
        option_refuse(ex, NBD_REP_ERR_POLICY, "%s", hs->turned_away);
    } else if (hs->handler == NULL) {
        option_refuse(ex, NBD_REP_ERR_UNSUP, "this server does not have option %u (%s)",
                      hs->option.option, name);
    } else if (hs->handler->payload_bytes_max == 0) {
        option_refuse(ex, NBD_REP_ERR_INVALID, "%s takes no data, and %u bytes came with it", name,
                      hs->option.length_bytes);
    } else {
        option_refuse(ex, NBD_REP_ERR_TOO_BIG, "%s came with %u bytes of data, the most is %u",
                      name, hs->option.length_bytes, hs->handler->payload_bytes_max);
    }
    return transmit(hs, STEP_REPLY, ex->reply, ex->reply_bytes);
}

static bool reply_sent(struct handshake *hs)
{
    switch (hs->outcome) {
    case OPTION_NEXT:
        return receive_header(hs);
    case OPTION_MORE:
        return answer(hs);
    case OPTION_TLS:
        return start_tls(hs);
    case OPTION_TRANSMISSION:
        return end(hs, HANDSHAKE_TRANSMISSION);
    case OPTION_CLOSE:
        return end(hs, HANDSHAKE_CLOSE);
    case OPTION_DROP:
        break; /* nothing is sent then */
    }
    return end(hs, HANDSHAKE_ABORT);
}

/* ---- TLS ---- */

/* From now on it takes the place of whom it has proven to be. */
static void count_as_proven(struct handshake *hs)
{
    struct conversation *talk = hs->talk;
    enum place_result result = places_prove(talk->worker->places, &talk->place, &talk->peer);

    if (result == PLACE_GRANTED)
        return;
    tally_add(TALLY_REJECTED_LIMIT);
    conversation_log(talk, LOG_WARNING,
                     "turned away, it has as many connections as one client may have "
                     "(--max-connections-per-client)");
    handshake_turn_away(hs, places_sentence(result));
}

static void tls_done(struct io_event *ev, int result)
{
    struct handshake *hs = container_of(ev, struct handshake, tls_done);

    tally_add(result < 0 ? TALLY_TLS_HANDSHAKES_FAILED : TALLY_TLS_HANDSHAKES);
    if (result < 0) {
        tally_add(TALLY_REJECTED_TLS);
        end(hs, HANDSHAKE_ABORT); /* the reason has been logged */
        return;
    }
    board_tls_handshake_took(hs->talk->worker->board, board_now_ns() - hs->tls_since_ns);
    hs->talk->transport = transport_tls_settle(hs->talk->transport);
    count_as_proven(hs);
    run(hs);
}

/* The socket goes from one transport to the other, and nothing of what was agreed on in the clear
 * goes with it. */
static bool start_tls(struct handshake *hs)
{
    struct conversation *talk = hs->talk;
    struct worker *worker = talk->worker;
    const struct transport_tls_settings settings = {
        .loop = worker->loop,
        .tls = worker->tls,
        .buffers = &worker->tls_buffers,
        .peer = &talk->peer,
    };
    struct loop_file file;
    struct transport *tls;
    struct error err;

    if (transport_tls_create(&tls, &settings, &err) < 0) {
        conversation_log(talk, LOG_WARNING, "dropped: %s", err.text);
        return end(hs, HANDSHAKE_ABORT);
    }
    file = transport_plain_detach(talk->transport);
    negotiated_reset(&talk->negotiated);
    talk->transport = tls;
    tls->recv_done = &hs->recv_done;
    tls->send_done = &hs->send_done;
    hs->step = STEP_TLS;
    hs->tls_since_ns = board_now_ns();
    transport_tls_handshake(tls, &file, &hs->tls_done);
    return false;
}

/* ---- what others call ---- */

struct handshake *handshake_start(struct conversation *talk, struct io_event *ended)
{
    struct handshake *hs = calloc(1, sizeof *hs);

    if (hs == NULL)
        return NULL;
    hs->talk = talk;
    hs->ended = ended;
    hs->recv_done.fn = recv_done;
    hs->send_done.fn = send_done;
    hs->tls_done.fn = tls_done;
    hs->exchange.talk = talk;
    talk->transport->recv_done = &hs->recv_done;
    talk->transport->send_done = &hs->send_done;
    nbd_encode_greeting(hs->scratch, HANDSHAKE_FLAGS);
    /* A send never finishes at once, so the end can't come from within this call. */
    transmit(hs, STEP_GREETING, hs->scratch, NBD_GREETING_BYTES);
    return hs;
}

void handshake_shutdown(struct handshake *handshake)
{
    handshake->shutting_down = true;
}

void handshake_turn_away(struct handshake *handshake, const char *sentence)
{
    handshake->turned_away = sentence;
    conversation_event(handshake->talk, "limit.reached", sentence);
}

void handshake_free(struct handshake *handshake)
{
    negotiated_clear(&handshake->talk->negotiated);
    release_payload(handshake);
    free(handshake);
}
