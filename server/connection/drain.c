#include "server/connection/drain.h"

#include "server/connection/transmission.h"

#define STILL_TICKS_MAX (5000u / DRAIN_TICK_MS)
#define LAST_TICKS_MIN \
    2u /* what it asked for before it heard of the end may be on its way: no reset */

/* The client did what is due since the last look, or it is not its turn. */
static bool goes_on(const struct drain_state *state, const struct transmission *t,
                    uint32_t unsent_bytes)
{
    if (t->outbox.sending || t->finished)
        return t->outbox.sends != state->sends || unsent_bytes < state->unsent_bytes;
    return !transmission_is_within_request(t) || t->receives != state->receives;
}

static enum drain_verdict too_long(const struct transmission *t, enum drain_verdict while_taking)
{
    return t->outbox.sending || t->finished ? while_taking : DRAIN_NOT_SENT;
}

enum drain_verdict drain_look(struct drain_state *state, const struct transmission *t,
                              unsigned max_ms)
{
    uint32_t unsent_bytes = t->transport->ops->unsent_bytes(t->transport);
    bool its_turn = t->outbox.sending || t->finished || transmission_is_within_request(t);

    if (t->aborted)
        return DRAIN_WAIT;
    state->still_ticks = goes_on(state, t, unsent_bytes) ? 0 : state->still_ticks + 1;
    state->sends = t->outbox.sends;
    state->receives = t->receives;
    state->unsent_bytes = unsent_bytes;
    state->ticks++;
    if (t->finished && state->last_ticks++ >= LAST_TICKS_MIN - 1 && unsent_bytes == 0)
        return DRAIN_DONE;
    if (state->still_ticks >= STILL_TICKS_MAX)
        return too_long(t, DRAIN_NOT_TAKEN);
    if (its_turn && max_ms > 0 && state->ticks >= max_ms / DRAIN_TICK_MS)
        return too_long(t, DRAIN_TOO_SLOW);
    return DRAIN_WAIT;
}

const char *drain_sentence(enum drain_verdict verdict)
{
    switch (verdict) {
    case DRAIN_NOT_TAKEN:
        return "did not take its last answers";
    case DRAIN_TOO_SLOW:
        return "took its last answers too slowly";
    case DRAIN_NOT_SENT:
        return "did not send the rest of its request";
    case DRAIN_WAIT:
    case DRAIN_DONE:
        break;
    }
    return NULL;
}
