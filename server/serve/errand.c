#include "server/serve/errand.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "server/base/threads.h"
#include "server/client/channel.h"

#define LAST_LOOKS 50u
#define LAST_LOOK_US 1000u

enum errand_state { ERRAND_RUNS, ERRAND_ENDED, ERRAND_LEFT };

static atomic_uint under_way, left_alone;

/* After the exchange it may be gone. */
static void *run(void *context)
{
    struct errand *errand = context;
    sem_t *wake = errand->wake;

    thread_begin("nbdcrypt-errand");
    errand->work(errand);
    if (atomic_exchange(&errand->state, ERRAND_ENDED) == ERRAND_LEFT) {
        errand->drop(errand);
        atomic_fetch_sub(&left_alone, 1);
    } else {
        sem_post(wake);
    }
    atomic_fetch_sub(&under_way, 1);
    return NULL;
}

int errand_begin(struct errand *errand, unsigned seconds, struct error *err)
{
    pthread_t thread;

    if (atomic_load(&left_alone) >= ERRANDS_LEFT_MAX)
        return error_set(err, -EBUSY,
                         "%u that were given up still wait for their storage or key: find out why, "
                         "or restart the server",
                         ERRANDS_LEFT_MAX);
    atomic_store(&errand->state, ERRAND_RUNS);
    errand->until_ms = seconds > 0 ? channel_clock_ms() + seconds * 1000ull : UINT64_MAX;
    atomic_fetch_add(&under_way, 1);
    int result = -pthread_create(&thread, NULL, run, errand);
    if (result < 0) {
        atomic_fetch_sub(&under_way, 1);
        return error_set(err, result, "a thread could not be started: %s", strerror(-result));
    }
    (void)pthread_detach(thread);
    return 0;
}

bool errand_has_ended(const struct errand *errand)
{
    return atomic_load(&errand->state) == ERRAND_ENDED;
}

bool errand_is_late(const struct errand *errand)
{
    return channel_clock_ms() >= errand->until_ms;
}

void errand_leave(struct errand *errand)
{
    atomic_fetch_add(&left_alone, 1);
    if (atomic_exchange(&errand->state, ERRAND_LEFT) != ERRAND_ENDED)
        return;
    errand->drop(errand);
    atomic_fetch_sub(&left_alone, 1);
}

bool errands_have_ended(void)
{
    for (unsigned i = 0; i < LAST_LOOKS && atomic_load(&under_way) > 0; i++)
        usleep(LAST_LOOK_US);
    return atomic_load(&under_way) == 0;
}
