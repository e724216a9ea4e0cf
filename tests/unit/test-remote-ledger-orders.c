/* The ledger's functions on several threads at once, in every order in which their atomic
 * operations can meet (of three threads, in many).
 *
 * Each thread is a context of its own that stops before each such operation; who goes on is decided
 * by a list of choices, which is gone through like the digits of a number, or drawn. */
#include <stdatomic.h>
#include <stdint.h>
#include <ucontext.h>

static void may_switch(void);

#undef atomic_load
#undef atomic_store
#undef atomic_fetch_add
#undef atomic_compare_exchange_weak
#define atomic_load(level) (may_switch(), atomic_load_explicit(level, memory_order_seq_cst))
#define atomic_store(level, to) \
    (may_switch(), atomic_store_explicit(level, to, memory_order_seq_cst))
#define atomic_fetch_add(level, by) \
    (may_switch(), atomic_fetch_add_explicit(level, by, memory_order_seq_cst))
#define atomic_compare_exchange_weak(level, now, to)                                             \
    (may_switch(), atomic_compare_exchange_strong_explicit(level, now, to, memory_order_seq_cst, \
                                                           memory_order_seq_cst))

#include "plugins/remote/remote-ledger.c" /* a second copy, which stops */
#include "tests/support/check.h"

#define THREADS_MAX 3
#define CHOICES_MAX 200
#define STACK_BYTES 65536
#define ORDERS_DRAWN 100000

static struct {
    ucontext_t scheduler, contexts[THREADS_MAX];
    char stacks[THREADS_MAX][STACK_BYTES];
    bool running[THREADS_MAX];
    int current; /* -1: none, nothing stops */
} threads = { .current = -1 };

/* What is chosen at each step, and among how many. */
static unsigned choices[CHOICES_MAX], options[CHOICES_MAX];
static uint64_t seed; /* 0: nothing is drawn */

static unsigned draw(unsigned below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % below;
}

static void may_switch(void)
{
    if (threads.current >= 0)
        swapcontext(&threads.contexts[threads.current], &threads.scheduler);
}

/* The one that is chosen among those that run. */
static int choose(unsigned step, unsigned count)
{
    unsigned nth = 0;

    EXPECT(step < CHOICES_MAX);
    options[step] = 0;
    for (unsigned i = 0; i < count; i++)
        options[step] += threads.running[i];
    if (options[step] == 0)
        return -1;
    if (seed != 0)
        choices[step] = draw(options[step]);
    for (unsigned i = 0; i < count; i++)
        if (threads.running[i] && nth++ == choices[step])
            return (int)i;
    return -1;
}

static void make_thread(unsigned number, void (*function)(void))
{
    ucontext_t *context = &threads.contexts[number];

    getcontext(context);
    context->uc_stack.ss_sp = threads.stacks[number];
    context->uc_stack.ss_size = STACK_BYTES;
    context->uc_link = &threads.scheduler;
    makecontext(context, function, 0);
    threads.running[number] = true;
}

static void run_once(void (*const *functions)(void), unsigned count)
{
    unsigned step = 0;

    for (unsigned i = 0; i < count; i++)
        make_thread(i, functions[i]);
    while ((threads.current = choose(step, count)) >= 0) {
        step++;
        swapcontext(&threads.scheduler, &threads.contexts[threads.current]);
    }
}

/* The next list of choices; false: that was all. */
static bool next_choices(void)
{
    unsigned last = 0;

    while (last < CHOICES_MAX && options[last] > 0)
        last++;
    while (last-- > 0) {
        if (++choices[last] < options[last])
            return true;
        choices[last] = 0;
    }
    return false;
}

static void ends(void)
{
    threads.running[threads.current] = false;
}

/* ---- the world ---- */

static struct remote_ledger ledger;
static struct flusher a, b;
static unsigned believed;

/* A reply to a write that is here, of a server that dies meanwhile: it is believed or not, and if
 * so passed on. */
static void reply_comes(void)
{
    uint32_t epoch = remote_ledger_epoch(&ledger);

    if (remote_ledger_is_current(&ledger, 0)) {
        believed++;
        remote_ledger_answered(&ledger, 1, epoch);
    }
    ends();
}

static void primary_is_lost(void)
{
    remote_ledger_primary_lost(&ledger);
    ends();
}

static void primary_is_lost_and_found(void)
{
    remote_ledger_primary_lost(&ledger);
    remote_ledger_primary_connected(&ledger);
    ends();
}

static void another_is_lost(void)
{
    remote_ledger_connection_lost(&ledger, 0);
    ends();
}

static void a_vanishes(void)
{
    remote_ledger_flusher_end(&ledger, &a, false);
    ends();
}

static void b_goes_on(void)
{
    (void)remote_ledger_flush_mark(&ledger, &b);
    ends();
}

static void all_begins(void)
{
    ledger = (struct remote_ledger){ 0 };
    a = b = (struct flusher){ 0 };
    believed = 0;
    remote_ledger_flusher_begin(&ledger, &a);
    remote_ledger_flusher_begin(&ledger, &b);
}

static unsigned in_every_order(void (*const *functions)(void), unsigned count, void (*before)(void),
                               void (*after)(void))
{
    unsigned orders = 0;

    seed = count > 2;
    memset(choices, 0, sizeof choices);
    do {
        all_begins();
        if (before != NULL)
            before();
        run_once(functions, count);
        after();
        orders++;
    } while (seed != 0 ? orders < ORDERS_DRAWN : next_choices());
    return orders;
}

/* ---- claims ---- */

static void what_was_believed_is_lost(void)
{
    EXPECT(remote_ledger_flush_refused(&ledger, 0) == (believed > 0));
}

static void a_write_and_the_loss(void)
{
    void (*const functions[])(void) = { reply_comes, primary_is_lost };

    EXPECT(in_every_order(functions, 2, NULL, what_was_believed_is_lost) > 50);
}

static void a_write_and_a_short_loss(void)
{
    void (*const functions[])(void) = { reply_comes, primary_is_lost_and_found };

    EXPECT(in_every_order(functions, 2, NULL, what_was_believed_is_lost) > 50);
}

static void two_writes_and_the_loss(void)
{
    void (*const functions[])(void) = { reply_comes, reply_comes, primary_is_lost };

    EXPECT(in_every_order(functions, 3, NULL, what_was_believed_is_lost) == ORDERS_DRAWN);
}

static void a_write_and_two_losses(void)
{
    void (*const functions[])(void) = { reply_comes, primary_is_lost, another_is_lost };

    EXPECT(in_every_order(functions, 3, NULL, what_was_believed_is_lost) == ORDERS_DRAWN);
}

static void b_was_told(void)
{
    remote_ledger_answered(&ledger, 1, remote_ledger_epoch(&ledger));
    remote_ledger_primary_lost(&ledger);
    EXPECT(remote_ledger_flush_refused(&ledger, 0));
    remote_ledger_flush_failed(&b, 1);
}

static void a_is_told(void)
{
    struct flusher again = { 0 };

    remote_ledger_flusher_begin(&ledger, &again);
    EXPECT(remote_ledger_flush_refused(&ledger, atomic_load(&again.told)));
}

static void one_vanishes_as_another_goes_on(void)
{
    void (*const functions[])(void) = { a_vanishes, b_goes_on };

    EXPECT(in_every_order(functions, 2, b_was_told, a_is_told) > 50);
}

static const struct check checks[] = {
    { "a write is not believed, or lost, however its answer meets the loss", a_write_and_the_loss },
    { "and if the primary is back at once", a_write_and_a_short_loss },
    { "two writes at once", two_writes_and_the_loss },
    { "two losses at once", a_write_and_two_losses },
    { "who vanishes while another settles is told when he comes back",
      one_vanishes_as_another_goes_on },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
