/* The range lock, with real loops on several threads.  A block is a byte here. */
#include "server/block/range-lock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/support/check.h"

static struct range_lock *lock;

static void open_lock(void)
{
    struct error err;

    EXPECT(range_lock_create(&lock, &err) == 0);
}

static struct loop *open_loop(void)
{
    struct loop_config config = { .entries = 8 };
    struct loop *loop;
    struct error err;

    EXPECT(loop_create(&loop, &config, &err) == 0);
    return loop;
}

/* Which of the two edges are exclusive. */
enum { SHARED = 0, FIRST = 1, LAST = 2, BOTH = 3 };

static bool claim(struct range_claim *c, uint64_t start, uint64_t end, unsigned alone)
{
    bool one_block = end - start == 1;

    c->start_bytes = start;
    c->end_bytes = end;
    c->first_alone_bytes = alone & FIRST || (alone && one_block) ? 1 : 0;
    c->last_alone_bytes = alone & LAST && !one_block ? 1 : 0;
    return range_lock_claim(lock, c);
}

/* ---- on one thread: what is granted at once ---- */

static void shared_claims_share(void)
{
    struct range_claim a = { 0 }, b = { 0 };

    open_lock();
    EXPECT(claim(&a, 0, 4096, SHARED));
    EXPECT(claim(&b, 0, 4096, SHARED));
    range_lock_release(lock, &a);
    range_lock_release(lock, &b);
    range_lock_destroy(lock);
}

static void exclusive_claims_apart_run_together(void)
{
    struct range_claim a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

    open_lock();
    EXPECT(claim(&a, 0, 10, BOTH));
    EXPECT(claim(&b, 10, 11, FIRST));
    EXPECT(claim(&c, 11, 20, SHARED));
    EXPECT(claim(&d, 1, 9, SHARED)); /* between the edges of the first one */
    range_lock_release(lock, &b);
    range_lock_release(lock, &a);
    range_lock_release(lock, &d);
    range_lock_release(lock, &c);
    range_lock_destroy(lock);
}

/* ---- what reads see ---- */

static bool was_quiet(uint64_t look)
{
    return range_stripes_were_quiet(range_lock_stripes(lock), 0, 4096, look);
}

static void reads_see_exclusive_claims_near_them(void)
{
    const uint64_t far = 1u << 20;
    struct range_claim a = { 0 }, b = { 0 };
    uint64_t before, beside, late;

    open_lock();
    EXPECT(range_stripes_look(range_lock_stripes(lock), 0, 4096, &before) && was_quiet(before));
    EXPECT(claim(&a, far, far + 2, BOTH));
    EXPECT(range_stripes_look(range_lock_stripes(lock), 0, 4096, &beside));
    EXPECT(claim(&b, 5, 10, SHARED));
    EXPECT(was_quiet(before) && was_quiet(beside));
    range_lock_release(lock, &b);
    EXPECT(claim(&b, 5, 6, FIRST));
    EXPECT(!was_quiet(before) && !was_quiet(beside));
    EXPECT(!range_stripes_look(range_lock_stripes(lock), 0, 4096, &late));
    EXPECT(!range_stripes_look(range_lock_stripes(lock), 4096, 2 * far, &late)); /* the other one */
    range_lock_release(lock, &b);
    EXPECT(!was_quiet(before)); /* it came and went */
    EXPECT(range_stripes_look(range_lock_stripes(lock), 0, 4096, &late) && was_quiet(late));
    range_lock_release(lock, &a);
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
    EXPECT(!waiter->granted);
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
    struct waiter reader, writer, late;
    struct loop *loop = open_loop();

    open_lock();
    waiter_init(&reader, loop);
    waiter_init(&writer, loop);
    waiter_init(&late, loop);
    EXPECT(claim(&reader.claim, 0, 100, SHARED));
    EXPECT(!claim(&writer.claim, 50, 150, FIRST));
    EXPECT(!claim(&late.claim, 0, 60, SHARED)); /* it came behind the writer: no starving */
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

/* ---- against a model: all claims in a list, each waits for those in front that are in its way
 * ---- */

#define MODEL_CLAIMS 40u
#define MODEL_STEPS 60000u

struct model {
    struct waiter waiters[MODEL_CLAIMS]; /* in order of arrival */
    struct waiter *order[MODEL_CLAIMS];
    struct waiter *free[MODEL_CLAIMS];
    unsigned count, free_count, patient;
    struct loop *loop;
};

static bool is_alone(const struct range_claim *c, uint64_t block)
{
    return (block == c->start_bytes && c->first_alone_bytes > 0) ||
           (block == c->end_bytes - 1 && c->last_alone_bytes > 0);
}

static bool conflict(const struct range_claim *a, const struct range_claim *b)
{
    uint64_t from = a->start_bytes > b->start_bytes ? a->start_bytes : b->start_bytes;
    uint64_t to = a->end_bytes < b->end_bytes ? a->end_bytes : b->end_bytes;

    for (uint64_t block = from; block < to; block++)
        if (is_alone(a, block) || is_alone(b, block))
            return true;
    return false;
}

static bool may_be_granted(const struct model *m, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (conflict(&m->order[i]->claim, &m->order[at]->claim))
            return false;
    return true;
}

static bool any_exclusive_before(const struct model *m, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (m->order[i]->claim.first_alone_bytes | m->order[i]->claim.last_alone_bytes)
            return true;
    return false;
}

/* What may be granted is, and nothing else: but one that has looked often enough may wait for all
 * exclusive ones before it. */
static void compare(struct model *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct waiter *waiter = m->order[i];

        if (waiter->granted == may_be_granted(m, i))
            continue;
        EXPECT(!waiter->granted && waiter->claim.looks >= RANGE_LOOKS_MAX);
        EXPECT(any_exclusive_before(m, i));
        m->patient++;
    }
}

static void stop(struct io_event *ev, int result)
{
    (void)result;
    loop_stop(*(struct loop **)(void *)(container_of(ev, struct loop_message, event) + 1));
}

/* Delivers what has been posted. */
static void deliver(struct loop *loop)
{
    struct {
        struct loop_message message;
        struct loop *loop;
    } last = { .message.event.fn = stop, .loop = loop };

    loop_post(loop, &last.message);
    loop_run(loop);
}

static void model_granted(struct io_event *ev, int result)
{
    struct range_claim *c = container_of(ev, struct range_claim, message.event);
    struct waiter *waiter = container_of(c, struct waiter, claim);

    EXPECT(result == 0 && !waiter->granted);
    waiter->granted = true;
}

static void model_claim(struct model *m, unsigned *seed, unsigned blocks)
{
    struct waiter *waiter = m->free[--m->free_count];
    uint64_t start = (uint64_t)rand_r(seed) % blocks;
    uint64_t length = 1 + (uint64_t)rand_r(seed) % (rand_r(seed) % 2 ? 3 : blocks);

    memset(waiter, 0xAA, sizeof *waiter); /* the lock sets what it needs */
    waiter->claim.loop = m->loop;
    waiter->claim.message.event.fn = model_granted;
    m->order[m->count++] = waiter;
    waiter->granted = false;
    if (claim(&waiter->claim, start, start + length, (unsigned)rand_r(seed) % 6 & BOTH))
        waiter->granted = true;
}

static void model_release(struct model *m, unsigned at)
{
    struct waiter *waiter = m->order[at];

    if (!waiter->granted)
        return;
    m->count--;
    memmove(&m->order[at], &m->order[at + 1], (m->count - at) * sizeof m->order[0]);
    range_lock_release(lock, &waiter->claim);
    m->free[m->free_count++] = waiter;
    deliver(m->loop);
}

static unsigned run_model(unsigned seed, unsigned blocks, unsigned steps)
{
    static struct model m;

    open_lock();
    m = (struct model){ .loop = open_loop() };
    for (unsigned i = 0; i < MODEL_CLAIMS; i++)
        m.free[m.free_count++] = &m.waiters[i];
    for (unsigned i = 0; i < steps; i++) {
        bool filling = i / 200 % 2 == 0; /* between full and empty */

        if (m.free_count > 0 && (unsigned)rand_r(&seed) % 4 < (filling ? 3 : 1))
            model_claim(&m, &seed, blocks);
        else if (m.count > 0)
            model_release(&m, (unsigned)rand_r(&seed) % m.count);
        compare(&m);
    }
    while (m.count > 0) {
        model_release(&m, (unsigned)rand_r(&seed) % m.count);
        compare(&m);
    }
    loop_destroy(m.loop);
    range_lock_destroy(lock);
    return m.patient;
}

static void as_the_model(void)
{
    static const unsigned blocks[] = { 1, 2, 5, 20, 200 };
    unsigned patient = 0;

    for (unsigned n = 0; n < 5; n++)
        patient += run_model(n + 1, blocks[n], MODEL_STEPS / 5);
    EXPECT(patient < MODEL_STEPS); /* rare among 40 claims a step */
}

/* ---- many threads: exclusive means alone ---- */

#define THREADS 4
#define ROUNDS 3000
#define CELLS 8

static pthread_barrier_t all_here;
static atomic_int inside[CELLS]; /* exclusive holders count 1000, shared ones 1 */

static void enter_and_leave(const struct range_claim *c)
{
    for (uint64_t i = c->start_bytes; i < c->end_bytes; i++) {
        int before = atomic_fetch_add(&inside[i], is_alone(c, i) ? 1000 : 1);

        EXPECT(is_alone(c, i) ? before == 0 : before < 1000);
    }
    for (uint64_t i = c->start_bytes; i < c->end_bytes; i++)
        atomic_fetch_sub(&inside[i], is_alone(c, i) ? 1000 : 1);
}

static void *contender(void *context)
{
    unsigned seed = (unsigned)(uintptr_t)context;
    struct loop *loop = open_loop();

    /* All rings are there before the first one goes: the thread sanitizer does not see that the
     * kernel gives their addresses to others. */
    pthread_barrier_wait(&all_here);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct waiter waiter;
        uint64_t start = (uint64_t)rand_r(&seed) % CELLS, look;
        uint64_t end = start + 1 + (uint64_t)rand_r(&seed) % (CELLS - start);

        waiter_init(&waiter, loop);
        if (!claim(&waiter.claim, start, end, (unsigned)rand_r(&seed) % 6 & BOTH))
            loop_run(loop);
        bool exclusive = waiter.claim.first_alone_bytes | waiter.claim.last_alone_bytes;
        EXPECT(!exclusive || !range_stripes_look(range_lock_stripes(lock), start, end, &look));
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

/* ---- what many claims cost ---- */

#define MANY 32768u

struct shape {
    uint64_t start, length;
    unsigned alone;
};

static struct shape all_one_block(unsigned i)
{
    return (struct shape){ 0, 1, i % 2 };
}

static struct shape one_in_128(unsigned i)
{
    return (struct shape){ 0, 1, i % 128 == 0 };
}

static struct shape exclusive_at_the_end(unsigned i)
{
    return (struct shape){ 0, 1, i > MANY - 256 };
}

static struct shape wide_over_many_small(unsigned i)
{
    return i < MANY / 2 ? (struct shape){ i, 1, FIRST } : (struct shape){ 0, MANY, SHARED };
}

static struct shape many_small_over_wide(unsigned i)
{
    return i < MANY / 2 ? (struct shape){ 0, MANY, SHARED } : (struct shape){ i, 1, FIRST };
}

static struct shape nested(unsigned i)
{
    return (struct shape){ i, 2 * (uint64_t)(MANY - i), i % 3 };
}

static struct shape chained(unsigned i)
{
    return (struct shape){ i, 2, BOTH };
}

/* Shared ranges behind one exclusive claim, and behind it a long queue at another block. */
static struct shape two_blocks(unsigned i)
{
    if (i < MANY / 2)
        return (struct shape){ i > 0, 1, FIRST };
    return (struct shape){ 0, 2, SHARED };
}

static struct shape comb(unsigned i)
{
    return i % 2 ? (struct shape){ i, 1, FIRST } : (struct shape){ i / 2, MANY / 4, i % 8 == 0 };
}

static struct {
    struct waiter *ready[MANY];
    unsigned count;
} granted_now;

static void many_granted(struct io_event *ev, int result)
{
    struct range_claim *c = container_of(ev, struct range_claim, message.event);

    EXPECT(result == 0);
    granted_now.ready[granted_now.count++] = container_of(c, struct waiter, claim);
}

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Releases what is granted, the newest first or the oldest, until all have had their turn. */
static void take_turns(struct loop *loop, bool newest_first)
{
    unsigned done = 0;

    while (done < MANY) {
        unsigned count = granted_now.count;
        static struct waiter *batch[MANY];

        EXPECT(count > 0); /* else one was forgotten */
        memcpy(batch, granted_now.ready, count * sizeof(struct waiter *));
        granted_now.count = 0;
        for (unsigned i = 0; i < count; i++)
            range_lock_release(lock, &batch[newest_first ? count - 1 - i : i]->claim);
        done += count;
        deliver(loop);
    }
}

static double many(struct shape (*shape_of)(unsigned i), bool newest_first)
{
    static struct waiter waiters[MANY];
    struct loop *loop = open_loop();
    double start = cpu_seconds();

    open_lock();
    granted_now.count = 0;
    for (unsigned i = 0; i < MANY; i++) {
        struct shape shape = shape_of(i);

        waiters[i].claim.loop = loop;
        waiters[i].claim.message.event.fn = many_granted;
        if (claim(&waiters[i].claim, shape.start, shape.start + shape.length, shape.alone))
            granted_now.ready[granted_now.count++] = &waiters[i];
    }
    take_turns(loop, newest_first);
    range_lock_destroy(lock);
    loop_destroy(loop);
    return (cpu_seconds() - start) / MANY * 1e6;
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define MOST_US 200.0
#else
#define MOST_US 10.0 /* a list would take a hundred times that */
#endif

static void many_claims_cost_little(void)
{
    static struct shape (*const shapes[])(unsigned) = {
        all_one_block,
        one_in_128,
        exclusive_at_the_end,
        wide_over_many_small,
        many_small_over_wide,
        nested,
        chained,
        two_blocks,
        comb,
    };

    for (unsigned n = 0; n < sizeof shapes / sizeof shapes[0]; n++)
        for (unsigned newest_first = 0; newest_first < 2; newest_first++) {
            double us = many(shapes[n], newest_first);

            printf("%.1f ", us);
            EXPECT(us < MOST_US);
        }
    printf("us of CPU for each claim ... ");
}

static const struct check checks[] = {
    { "shared claims of one range are granted together", shared_claims_share },
    { "exclusive claims of different blocks are granted together",
      exclusive_claims_apart_run_together },
    { "reads see whether an exclusive claim was held near them, at any time since they looked",
      reads_see_exclusive_claims_near_them },
    { "overlapping claims are granted in the order of their arrival", order_of_arrival },
    { "each claim is granted when, and only when, none before it is in its way", as_the_model },
    { "an exclusive holder is alone on its blocks, on four threads", contention },
    { "however many claims overlap, and in whatever way, each costs little",
      many_claims_cost_little },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
