#include "server/busy-wait.h"

#define SHORT_SLEEPS_TO_BEGIN 8u
#define VAIN_LOOKS_TO_END 4u
#define FOUND_TO_FORGIVE 1000u
#define PATIENCE_LEAST 64u
#define PATIENCE_MOST 65536u

void busy_wait_init(struct busy_wait *wait, uint32_t limit_ns)
{
    *wait = (struct busy_wait){ .limit_ns = limit_ns, .next_patience = PATIENCE_LEAST };
}

void busy_wait_slept(struct busy_wait *wait, uint64_t duration_ns)
{
    if (wait->patience > 0) {
        wait->patience--;
        return;
    }
    wait->streak = duration_ns < wait->limit_ns ? wait->streak + 1 : 0;
    if (wait->streak < SHORT_SLEEPS_TO_BEGIN)
        return;
    wait->looking = true;
    wait->streak = 0;
    wait->found = 0;
}

void busy_wait_looked(struct busy_wait *wait, bool found)
{
    if (found) {
        wait->streak = 0;
        if (++wait->found == FOUND_TO_FORGIVE)
            wait->next_patience = PATIENCE_LEAST;
        return;
    }
    if (++wait->streak < VAIN_LOOKS_TO_END)
        return;
    wait->looking = false;
    wait->streak = 0;
    wait->patience = wait->next_patience;
    if (wait->next_patience < PATIENCE_MOST)
        wait->next_patience *= 2;
}
