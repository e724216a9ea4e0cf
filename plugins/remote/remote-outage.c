#include "plugins/remote/remote-outage.h"

#define PAUSE_FIRST_MS 100u
#define PAUSE_MAX_MS 2000u

void remote_outage_begin(struct remote_outage *outage, uint64_t now_ms)
{
    if (outage->since_ms == 0)
        outage->since_ms = now_ms;
}

void remote_outage_answered(struct remote_outage *outage)
{
    outage->since_ms = 0;
    outage->pause_ms = 0;
}

void remote_outage_connected(struct remote_outage *outage, bool requests_wait)
{
    outage->failure_told = false;
    outage->down = false;
    if (!requests_wait)
        outage->since_ms = 0;
}

bool remote_outage_is_too_long(const struct remote_outage *outage, unsigned retry_ms,
                               uint64_t now_ms)
{
    return outage->since_ms != 0 && now_ms - outage->since_ms >= retry_ms;
}

bool remote_outage_give_up(struct remote_outage *outage)
{
    bool is_new = !outage->down;

    outage->down = true;
    return is_new;
}

void remote_outage_plan_dial(struct remote_outage *outage, uint64_t now_ms)
{
    outage->dial_at_ms = now_ms + outage->pause_ms;
    outage->pause_ms = outage->pause_ms == 0 ? PAUSE_FIRST_MS : outage->pause_ms * 2;
    if (outage->pause_ms > PAUSE_MAX_MS)
        outage->pause_ms = PAUSE_MAX_MS;
}

bool remote_outage_dial_is_due(const struct remote_outage *outage, uint64_t now_ms)
{
    return now_ms >= outage->dial_at_ms;
}

bool remote_outage_tell_failure(struct remote_outage *outage)
{
    bool is_new = !outage->failure_told;

    outage->failure_told = true;
    return is_new;
}
