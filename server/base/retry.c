#include "server/base/retry.h"

#include <time.h>

#define STEP_MS 20u
#define LIMIT_MS 2000u

bool patience_lasts(struct patience *patience)
{
    struct timespec step = { .tv_nsec = STEP_MS * 1000000L };

    if (patience->tries++ == LIMIT_MS / STEP_MS)
        return false;
    nanosleep(&step, NULL);
    return true;
}
