#include "server/base/retry.h"

#include <time.h>

#define STEP_MS 20u
#define LIMIT_MS 2000u

bool retry_wait(struct retry *retry)
{
    struct timespec step = { .tv_nsec = STEP_MS * 1000000L };

    if (retry->tries++ == LIMIT_MS / STEP_MS)
        return false;
    nanosleep(&step, NULL);
    return true;
}
