/* Turns to derive keys: never more at a time than was allowed, nor with more memory, and
 * everybody's comes. */
#include "crypto/luks/luks-turns.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/check.h"

#define THREADS 12u
#define ROUNDS 300u
#define MIB (1024u * 1024u)

static atomic_uint at_work, most_at_work, lonely;
static atomic_ulong used_mib, most_used_mib;

static void raise_to(atomic_uint *most, unsigned now)
{
    unsigned seen = atomic_load(most);

    while (now > seen && !atomic_compare_exchange_weak(most, &seen, now))
        continue;
}

static void raise_bytes_to(atomic_ulong *most, unsigned long now)
{
    unsigned long seen = atomic_load(most);

    while (now > seen && !atomic_compare_exchange_weak(most, &seen, now))
        continue;
}

static void work(unsigned long mib)
{
    unsigned now = atomic_fetch_add(&at_work, 1) + 1;
    unsigned long used = atomic_fetch_add(&used_mib, mib) + mib;

    raise_to(&most_at_work, now);
    if (now > 1) /* one that is alone may have more */
        raise_bytes_to(&most_used_mib, used);
    EXPECT(now == 1 || atomic_load(&lonely) == 0);
    for (volatile unsigned i = 0; i < 2000; i++)
        continue;
    atomic_fetch_sub(&used_mib, mib);
    atomic_fetch_sub(&at_work, 1);
}

static void *derive(void *context)
{
    unsigned seed = *(unsigned *)context;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned long mib = (seed + i * 7) % 5 * 10; /* 0 to 40 of 64 */
        struct luks_turn turn;

        if ((seed + i) % 50 == 0) {
            luks_turns_begin_alone(&turn, 1000 * MIB);
            EXPECT(!turn.shared && atomic_load(&at_work) == 0);
            atomic_store(&lonely, 1);
            work(1000);
            atomic_store(&lonely, 0);
        } else {
            luks_turns_begin(&turn, mib * MIB);
            work(mib);
        }
        luks_turns_end(&turn);
    }
    return NULL;
}

static void run_threads(void)
{
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];

    atomic_store(&most_at_work, 0);
    atomic_store(&most_used_mib, 0);
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = i * 3;
        EXPECT(pthread_create(&threads[i], NULL, derive, &seeds[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
}

static void one_by_default(void)
{
    run_threads();
    EXPECT(atomic_load(&most_at_work) == 1);
}

static void bounded(void)
{
    luks_turns_allow(3, 64ul * MIB);
    run_threads();
    EXPECT(atomic_load(&most_at_work) <= 3);
    EXPECT(atomic_load(&most_used_mib) <= 64);
}

/* What a thread that waits for the other would not survive. */
static void side_by_side(void)
{
    struct luks_turn first, second, large;

    luks_turns_allow(2, 64ul * MIB);
    luks_turns_begin(&first, 32ul * MIB);
    luks_turns_begin(&second, 32ul * MIB);
    EXPECT(first.shared && second.shared);
    luks_turns_end(&second);
    luks_turns_end(&first);
    luks_turns_begin(&large, 2000ul * MIB);
    luks_turns_end(&large);
}

static const struct check checks[] = {
    { "as long as nothing is allowed, there is one at a time", one_by_default },
    { "there are never more than allowed, nor with more memory", bounded },
    { "two that fit go side by side, and one that is too large comes alone", side_by_side },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
