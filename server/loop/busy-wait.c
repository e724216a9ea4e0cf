#include "server/loop/busy-wait.h"

#define SHORT_SLEEPS_TO_BEGIN 32u
#define VAIN_LOOKS_TO_END 4u
#define FOUND_TO_JUDGE 256u
#define FOUND_TO_FORGIVE 1000u
#define FOUND_TO_COMPARE 2048u
#define PATIENCE_LEAST 64u
#define PATIENCE_MOST 65536u

void busy_wait_init(struct busy_wait *wait, uint32_t limit_ns)
{
    *wait = (struct busy_wait){ .limit_ns = limit_ns, .next_patience = PATIENCE_LEAST };
}

static uint64_t ns_per_send(const struct busy_wait *wait, struct busy_wait_point end)
{
    uint64_t count = end.sends - wait->began.sends;

    return (end.ns - wait->began.ns) / (count > 0 ? count : 1);
}

void busy_wait_slept(struct busy_wait *wait, uint64_t start_ns, struct busy_wait_point end)
{
    struct busy_wait_point before = wait->last;

    wait->last = end;
    if (wait->patience > 0) {
        wait->patience--;
        return;
    }
    if (before.ns == 0 || end.ns - start_ns >= wait->limit_ns) {
        wait->streak = 0;
        return;
    }
    if (wait->streak++ == 0)
        wait->began = before;
    if (wait->streak < SHORT_SLEEPS_TO_BEGIN)
        return;
    wait->slept_ns = ns_per_send(wait, end);
    wait->looking = true;
    wait->streak = 0;
    wait->found = 0;
    wait->began = end;
}

static void stop_looking(struct busy_wait *wait)
{
    wait->looking = false;
    wait->streak = 0;
    wait->last.ns = 0;
}

static void give_up(struct busy_wait *wait)
{
    stop_looking(wait);
    wait->patience = wait->next_patience;
    if (wait->next_patience < PATIENCE_MOST)
        wait->next_patience *= 2;
}

/* Who is waited for may need the very CPU: then work is found, but no sooner than if we had slept.
 * An eighth is what it has to gain to be worth a CPU. */
static bool pays(const struct busy_wait *wait, struct busy_wait_point end)
{
    return ns_per_send(wait, end) < wait->slept_ns / 8 * 7;
}

void busy_wait_looked(struct busy_wait *wait, bool found, struct busy_wait_point end)
{
    if (!found) {
        if (++wait->streak == VAIN_LOOKS_TO_END)
            give_up(wait);
        return;
    }
    wait->streak = 0;
    wait->found++;
    if (wait->found == FOUND_TO_JUDGE && !pays(wait, end))
        give_up(wait);
    else if (wait->found == FOUND_TO_FORGIVE)
        wait->next_patience = PATIENCE_LEAST;
    else if (wait->found == FOUND_TO_COMPARE)
        stop_looking(wait);
}
