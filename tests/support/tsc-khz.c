/* Prints how many thousand times a second the processor's time stamp counter counts: an emulated
 * machine has that of the real one, and can't measure it when the real one is busy. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define ROUNDS 50
#define MEASURE_NS 100000000L

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#ifdef __x86_64__
struct sample {
    uint64_t ns, ticks;
};

/* Of several, the one that nothing came between. */
static struct sample take(void)
{
    struct sample best = { 0 };
    uint64_t best_ns = UINT64_MAX;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t before_ns = now_ns();
        uint64_t ticks = __builtin_ia32_rdtsc();
        uint64_t after_ns = now_ns();

        if (after_ns - before_ns >= best_ns)
            continue;
        best_ns = after_ns - before_ns;
        best = (struct sample){ before_ns, ticks };
    }
    return best;
}

int main(void)
{
    struct sample first = take();

    nanosleep(&(struct timespec){ .tv_nsec = MEASURE_NS }, NULL);
    struct sample last = take();
    printf("%llu\n",
           (unsigned long long)((last.ticks - first.ticks) * 1000000u / (last.ns - first.ns)));
    return 0;
}
#else
int main(void)
{
    return now_ns() == 0;
}
#endif
