/* A rate is kept, whatever it is, whoever takes and however the clock goes. */
#include "server/base/rate-limit.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "tests/support/check.h"

#define SECOND UINT64_C(1000000000)
#define START (SECOND * 1000)

static struct rate_limit limit;
static uint64_t glances;

static void begin(uint64_t rate, uint64_t burst)
{
    limit = (struct rate_limit){ 0 };
    rate_limit_set(&limit, rate, burst, START);
}

/* At a glance or not, it is the same that is taken. */
static bool take_at(uint64_t now_ns, uint64_t units)
{
    struct rate_limit other;

    memcpy(&other, &limit, sizeof other);
    bool at_once = rate_limit_take_at_once(&other, units, now_ns);
    bool taken = rate_limit_take(&limit, units, &(struct rate_taker){ .now_ns = now_ns });
    EXPECT(!at_once || (taken && limit.paid == other.paid && limit.farthest == other.farthest));
    glances += at_once;
    return taken;
}

static uint64_t wait_at(uint64_t now_ns)
{
    return rate_limit_wait_ns(&limit, &(struct rate_taker){ .now_ns = now_ns });
}

/* Units that one gets who asks for `each` at a time, for that long, and waits when he must; woken
 * up to `late_ns` late. */
static uint64_t taken_within(uint64_t from_ns, uint64_t time_ns, uint64_t each, uint64_t late_ns)
{
    uint64_t now_ns = from_ns, taken = 0;
    unsigned seed = 5;

    while (now_ns < from_ns + time_ns) {
        if (take_at(now_ns, each)) {
            taken += each;
            continue;
        }
        now_ns += wait_at(now_ns);
        if (late_ns > 0)
            now_ns += (uint64_t)rand_r(&seed) % late_ns;
    }
    return taken;
}

static bool is_within(uint64_t value, double wanted, double part)
{
    return (double)value >= wanted * (1 - part) && (double)value <= wanted * (1 + part);
}

/* ---- claims ---- */

/* Once what may be taken at once is gone, which is within one second. */
static void rates(void)
{
    static const uint64_t all[] = { 1, 2, 3, 7, 10, 49, 99, 100, 999, 1000, 30000, 499999, 500000 };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        uint64_t seconds = all[i] < 1000 ? 1000 : 2;

        begin(all[i], 0);
        (void)taken_within(START, SECOND, 1, 0);
        EXPECT(is_within(taken_within(START + SECOND, seconds * SECOND, 1, 0),
                         (double)(all[i] * seconds), 0.002 + 1 / (double)(all[i] * seconds)));
    }
    EXPECT(glances > 10000);
}

static void nothing_is_lost_by_who_wakes_late(void)
{
    static const uint64_t all[] = { 1, 20, 49, 1000, 500000 };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        begin(all[i], 0);
        (void)taken_within(START, SECOND, 1, 0);
        EXPECT(is_within(taken_within(START + SECOND, 100 * SECOND, 1, 15000000),
                         100 * (double)all[i], 0.002 + 0.02 / (double)all[i]));
    }
}

/* Bytes of requests of any size: roundings do not add up. */
static void bytes(void)
{
    static const uint64_t rates[] = { 1u << 20, 333333333, UINT64_C(9) << 30, UINT64_C(1) << 40 };
    static const uint64_t sizes[] = { 1, 512, 513, 4096, 1u << 20, 32u << 20 };

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            double each_ns = (double)sizes[k] * 1e9 / (double)rates[i];
            uint64_t time_ns = (uint64_t)(each_ns * 5000);

            if (each_ns < 4) /* time itself has not more digits */
                continue;
            begin(rates[i], 0);
            (void)taken_within(START, SECOND / 10, sizes[k] < 4096 ? 4096 : sizes[k], 0);
            uint64_t from_ns = START + SECOND / 10 + wait_at(START + SECOND / 10);
            uint64_t taken = taken_within(from_ns, time_ns, sizes[k], 0);
            EXPECT(is_within(taken, (double)rates[i] * (double)time_ns / 1e9, 0.01));
        }
}

/* Never more than the rate, the burst, the slack and one request, over any time. */
static void bursts(void)
{
    begin(100, 900);
    EXPECT(is_within(taken_within(START, SECOND / 1000, 1, 0), 903, 0.001));
    EXPECT(is_within(taken_within(START + SECOND, 10 * SECOND, 1, 0), 1099, 0.002));
    uint64_t later_ns = START + 60 * SECOND; /* all of it is there again */
    EXPECT(is_within(taken_within(later_ns, SECOND / 1000, 1, 0), 903, 0.001));
}

static void any_time(void)
{
    enum { COUNT = 100000 };
    static uint64_t at_ns[COUNT];
    unsigned seed = 11;
    uint64_t now_ns = START;
    size_t count = 0;

    begin(1000, 50);
    while (count < COUNT) {
        if (take_at(now_ns, 1))
            at_ns[count++] = now_ns;
        now_ns += (uint64_t)rand_r(&seed) % (rand_r(&seed) % 100 == 0 ? SECOND : 1000000);
    }
    for (size_t first = 0, last = 0; last < COUNT; last++) {
        while (at_ns[last] - at_ns[first] > 10 * SECOND)
            first++;
        double allowed = (double)(at_ns[last] - at_ns[first]) / 1e9 * 1000 + 50 + 20 + 2;
        EXPECT((double)(last - first + 1) <= allowed);
    }
}

/* However large: it passes once nothing is owed, and the next one waits for it. */
static void large_requests_pass(void)
{
    begin(1000, 0);
    EXPECT(take_at(START, 5000));
    EXPECT(!take_at(START + SECOND, 1) && wait_at(START + SECOND) == 4 * SECOND - 20000000);
    EXPECT(take_at(START + 5 * SECOND, 1));
}

/* Back and forth a thousand times a second: as many as both allow on average. */
static void changes(void)
{
    uint64_t taken = 0, now_ns = START;

    begin(1000, 0);
    for (unsigned i = 0; i < 20000; i++) {
        rate_limit_set(&limit, i % 2 == 0 ? 1000 : 3000, 0, now_ns);
        for (unsigned k = 0; k < 20; k++, now_ns += 50000)
            while (take_at(now_ns, 1))
                taken++;
    }
    EXPECT(is_within(taken, 40000, 0.005));
}

/* What was taken at one rate is paid for at the next one. */
static void a_change_holds_at_once(void)
{
    begin(1, 0);
    EXPECT(take_at(START, 1000) && wait_at(START) > 999 * SECOND);
    rate_limit_set(&limit, 1000, 0, START);
    EXPECT(wait_at(START) < SECOND);
    rate_limit_set(&limit, 0, 0, START);
    EXPECT(wait_at(START) == 0 && take_at(START, UINT64_MAX));
    rate_limit_set(&limit, 10, 0, START);
    EXPECT(take_at(START, 1) && !take_at(START, 1));
}

/* Several that always want more get the same, however late one of them is woken each time. */
static void nobody_starves(void)
{
    enum { COUNT = 8 };
    struct {
        uint64_t due_ns, units, taken;
    } all[COUNT] = { 0 };
    uint64_t now_ns = START;

    begin(1000, 0);
    for (unsigned i = 0; i < COUNT; i++) {
        all[i].units = i == 0 ? 10 : 1;
        all[i].due_ns = now_ns + wait_at(now_ns);
        rate_limit_join(&limit, all[i].units);
    }
    for (; now_ns < START + 200 * SECOND; now_ns += 100000)
        for (unsigned i = 0; i < COUNT; i++) {
            uint64_t late_ns = i == 1 ? 1500000 : 0; /* always behind all others */
            struct rate_taker taker = { .now_ns = now_ns, .waited = true };

            if (all[i].due_ns + late_ns > now_ns)
                continue;
            taker.overdue_ns = now_ns - all[i].due_ns;
            if (!rate_limit_take(&limit, all[i].units, &taker))
                continue;
            all[i].taken++;
            rate_limit_leave(&limit, all[i].units);
            all[i].due_ns = now_ns + wait_at(now_ns);
            rate_limit_join(&limit, all[i].units);
        }
    uint64_t sum = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        sum += all[i].taken * all[i].units;
        EXPECT(is_within(all[i].taken, 200.0 * 1000 / 17, 0.15));
    }
    EXPECT(is_within(sum, 200 * 1000, 0.02));
}

/* Who comes new does not go past those who wait. */
static void newcomers_are_last(void)
{
    begin(100, 0);
    while (take_at(START, 1))
        continue;
    rate_limit_join(&limit, 5);
    uint64_t due_ns = wait_at(START);
    EXPECT(due_ns > SECOND * 5 / 100);
    EXPECT(!take_at(START + SECOND * 4 / 100, 1));
    struct rate_taker first = { .now_ns = START + SECOND * 4 / 100, .waited = true };
    EXPECT(rate_limit_take(&limit, 5, &first));
}

static void clocks_that_jump(void)
{
    begin(10, 0);
    EXPECT(take_at(START, 5) && wait_at(START) < SECOND);
    EXPECT(take_at(START + 10000 * SECOND, 1));                        /* forward */
    EXPECT(wait_at(START - 500 * SECOND) <= SECOND / 2 + SECOND / 10); /* and back */
    EXPECT(!take_at(START - 500 * SECOND, 1));
    EXPECT(take_at(START - 499 * SECOND, 1));
    EXPECT(is_within(taken_within(START - 498 * SECOND, 100 * SECOND, 1, 0), 1000, 0.005));
}

static void nothing_overflows(void)
{
    static const uint64_t times[] = { 1, SECOND, UINT64_MAX / 16, UINT64_MAX / 2, UINT64_MAX };

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        limit = (struct rate_limit){ 0 };
        rate_limit_set(&limit, 1, UINT64_MAX, times[i]);
        EXPECT(take_at(times[i], UINT64_MAX));
        (void)take_at(times[i], UINT64_MAX);
        rate_limit_join(&limit, UINT64_MAX / 2);
        EXPECT(wait_at(times[i]) < UINT64_C(200) * 366 * 86400 * SECOND);
        rate_limit_set(&limit, RATE_LIMIT_MAX, 0, times[i]);
        rate_limit_set(&limit, UINT64_MAX, UINT64_MAX, times[i]);
        (void)wait_at(times[i]);
    }
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static uint64_t end_ns;

static void *take_many(void *context)
{
    uint64_t *taken = context, at_ns;

    while ((at_ns = now_ns()) < end_ns)
        *taken += rate_limit_take_at_once(&limit, 1, at_ns) ||
                  rate_limit_take(&limit, 1, &(struct rate_taker){ .now_ns = at_ns });
    return NULL;
}

static void threads_take_no_more(void)
{
    uint64_t taken[4] = { 0 }, sum = 0;
    pthread_t threads[4];

    limit = (struct rate_limit){ 0 };
    rate_limit_set(&limit, 20000, 0, now_ns());
    end_ns = now_ns() + SECOND / 2;
    for (unsigned i = 0; i < 4; i++)
        EXPECT(pthread_create(&threads[i], NULL, take_many, &taken[i]) == 0);
    for (unsigned i = 0; i < 4; i++) {
        (void)pthread_join(threads[i], NULL);
        sum += taken[i];
    }
    EXPECT(sum <= 10000 + 400 + 4 && sum > 5000); /* others may want the CPUs */
}

static const struct check checks[] = {
    { "any rate from 1 to 500,000 a second is kept", rates },
    { "who wakes a little late loses nothing", nothing_is_lost_by_who_wakes_late },
    { "bytes are kept to, whatever the size of requests", bytes },
    { "a burst comes at once, and again when it was paid for", bursts },
    { "over no time is more taken than the rate and the burst", any_time },
    { "a request that is larger than the rate passes, and the next one pays", large_requests_pass },
    { "a rate that is changed 1,000 times a second is kept on average", changes },
    { "a change holds at once, also for what is owed", a_change_holds_at_once },
    { "nobody starves, who asks for much, little or late", nobody_starves },
    { "who comes new waits behind those who wait", newcomers_are_last },
    { "a clock that jumps makes nobody wait for long", clocks_that_jump },
    { "no sum of times overflows", nothing_overflows },
    { "several threads together get no more than one", threads_take_no_more },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
