#include "server/connection/stall.h"

#include "server/connection/transmission.h"

#define TAKEN_BYTES_MIN 16384u /* in that time, or it takes nothing */

/* A send ends only when a good part of a large buffer is free again, so one that goes on is asked
 * for. */
static bool takes_nothing(const struct transmission *t, struct stall_state *state)
{
    if (!t->outbox.sending || t->outbox.sends != state->sends)
        return false;
    uint32_t unsent_bytes = t->transport->ops->unsent_bytes(t->transport);
    if (state->sending_ticks > 0 && unsent_bytes + TAKEN_BYTES_MIN > state->unsent_bytes)
        return true;
    state->unsent_bytes = unsent_bytes;
    return state->sending_ticks == 0;
}

static bool sends_nothing(const struct transmission *t, const struct stall_state *state)
{
    return transmission_is_within_request(t) && t->receives == state->receives;
}

static unsigned count(unsigned ticks, bool stalls)
{
    return stalls ? ticks + 1 : 0;
}

const char *stall_look(struct stall_state *state, const struct transmission *t)
{
    state->sending_ticks = count(state->sending_ticks, takes_nothing(t, state));
    state->receiving_ticks = count(state->receiving_ticks, sends_nothing(t, state));
    state->sends = t->outbox.sends;
    state->receives = t->receives;
    if (state->sending_ticks > STALL_TICKS)
        return "took no replies";
    return state->receiving_ticks > STALL_TICKS ? "stopped in the middle of a request" : NULL;
}
