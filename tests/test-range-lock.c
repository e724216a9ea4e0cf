/* The range lock, with real loops on several threads. */
#include "server/range-lock.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/check.h"

static struct range_lock *lock;

static void open_lock(void)
{
    struct error err;

    EXPECT(range_lock_create(&lock, &err) == 0);
}

static bool claim(struct range_claim *c, uint64_t start, uint64_t end, bool exclusive)
{
    c->start_bytes = start;
    c->end_bytes = end;
    c->exclusive = exclusive;
    return range_lock_claim(lock, c);
}

/* ---- on one thread: what is granted at once ---- */

static void shared_claims_share(void)
{
    struct range_claim a = { 0 }, b = { 0 };

    open_lock();
    EXPECT(claim(&a, 0, 4096, false));
    EXPECT(claim(&b, 0, 4096, false));
    range_lock_release(lock, &a);
    range_lock_release(lock, &b);
    range_lock_destroy(lock);
}

static void exclusive_claims_apart_run_together(void)
{
    struct range_claim a = { 0 }, b = { 0 }, c = { 0 };

    open_lock();
    EXPECT(claim(&a, 0, 4096, true));
    EXPECT(claim(&b, 4096, 8192, true));
    EXPECT(claim(&c, 8192, 12288, false));
    range_lock_release(lock, &b);
    range_lock_release(lock, &a);
    range_lock_release(lock, &c);
    range_lock_destroy(lock);
}

/* ---- waiting ---- */

struct waiter {
    struct range_claim claim;
    struct loop *loop;
    bool granted;
};

static void waiter_granted(struct io_event *ev, int result)
{
    struct range_claim *c = container_of(ev, struct range_claim, message.event);
    struct waiter *waiter = container_of(c, struct waiter, claim);

    EXPECT(result == 0);
    waiter->granted = true;
    loop_stop(waiter->loop);
}

static void waiter_init(struct waiter *waiter, struct loop *loop)
{
    *waiter = (struct waiter){ .loop = loop };
    waiter->claim.loop = loop;
    waiter->claim.message.event.fn = waiter_granted;
}

static void order_of_arrival(void)
{
    struct loop_config config = { .entries = 8 };
    struct waiter reader, writer, late;
    struct loop *loop;
    struct error err;

    open_lock();
    EXPECT(loop_create(&loop, &config, &err) == 0);
    waiter_init(&reader, loop);
    waiter_init(&writer, loop);
    waiter_init(&late, loop);
    EXPECT(claim(&reader.claim, 0, 100, false));
    EXPECT(!claim(&writer.claim, 50, 150, true));
    EXPECT(!claim(&late.claim, 0, 60, false)); /* it came behind the writer: no starving */
    range_lock_release(lock, &reader.claim);
    loop_run(loop);
    EXPECT(writer.granted && !late.granted);
    range_lock_release(lock, &writer.claim);
    loop_run(loop);
    EXPECT(late.granted);
    range_lock_release(lock, &late.claim);
    loop_destroy(loop);
    range_lock_destroy(lock);
}

/* ---- many threads: exclusive means alone ---- */

#define THREADS 4
#define ROUNDS 3000
#define CELLS 8

static pthread_barrier_t all_here;
static atomic_int inside[CELLS]; /* exclusive holders count 1000, shared ones 1 */

static void enter_and_leave(const struct range_claim *c)
{
    int weight = c->exclusive ? 1000 : 1;

    for (uint64_t i = c->start_bytes; i < c->end_bytes; i++) {
        int before = atomic_fetch_add(&inside[i], weight);

        EXPECT(c->exclusive ? before == 0 : before < 1000);
    }
    for (uint64_t i = c->start_bytes; i < c->end_bytes; i++)
        atomic_fetch_sub(&inside[i], weight);
}

static void *contender(void *context)
{
    unsigned seed = (unsigned)(uintptr_t)context;
    struct loop_config config = { .entries = 8 };
    struct loop *loop;
    struct error err;

    EXPECT(loop_create(&loop, &config, &err) == 0);
    /* All rings are there before the first one goes: the thread sanitizer does not see that the
     * kernel gives their addresses to others. */
    pthread_barrier_wait(&all_here);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct waiter waiter;
        uint64_t start = (uint64_t)rand_r(&seed) % CELLS;
        uint64_t end = start + 1 + (uint64_t)rand_r(&seed) % (CELLS - start);

        waiter_init(&waiter, loop);
        if (!claim(&waiter.claim, start, end, rand_r(&seed) % 3 == 0))
            loop_run(loop);
        enter_and_leave(&waiter.claim);
        range_lock_release(lock, &waiter.claim);
    }
    pthread_barrier_wait(&all_here);
    loop_destroy(loop);
    return NULL;
}

static void contention(void)
{
    pthread_t threads[THREADS];

    open_lock();
    EXPECT(pthread_barrier_init(&all_here, NULL, THREADS) == 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, contender, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    range_lock_destroy(lock);
}

static const struct check checks[] = {
    { "shared claims of one range are granted together", shared_claims_share },
    { "exclusive claims of different ranges are granted together",
      exclusive_claims_apart_run_together },
    { "overlapping claims are granted in the order of their arrival", order_of_arrival },
    { "an exclusive holder is alone on its range, on four threads", contention },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
