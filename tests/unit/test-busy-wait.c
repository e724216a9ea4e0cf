/* A loop looks for work before it sleeps only while that finds some. */
#include "server/loop/busy-wait.h"

#include "tests/support/check.h"

#define LIMIT_NS 50000u

#define WORK_NS 2000u /* of a turn, besides waiting */

static struct busy_wait wait;
static uint64_t now_ns = 1, sends;

static void sleep_for(uint64_t duration_ns, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        uint64_t start_ns = now_ns += WORK_NS;

        now_ns += duration_ns;
        busy_wait_slept(&wait, start_ns, (struct busy_wait_point){ now_ns, sends++ });
    }
}

static void look_for(uint64_t duration_ns, bool found, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        now_ns += WORK_NS + duration_ns;
        busy_wait_looked(&wait, found, (struct busy_wait_point){ now_ns, sends++ });
    }
}

static void look(bool found, unsigned times)
{
    look_for(found ? 100 : LIMIT_NS, found, times);
}

/* How many short sleeps it takes until it looks. */
static unsigned sleeps_until_it_looks(void)
{
    unsigned count = 0;

    for (; busy_wait_ns(&wait) == 0; count++)
        sleep_for(1000, 1);
    return count;
}

static void short_sleeps(void)
{
    busy_wait_init(&wait, LIMIT_NS);
    EXPECT(busy_wait_ns(&wait) == 0);
    sleep_for(LIMIT_NS - 1, 33);
    EXPECT(busy_wait_ns(&wait) == LIMIT_NS);
}

static void rare_requests(void)
{
    busy_wait_init(&wait, LIMIT_NS);
    for (int i = 0; i < 1000; i++) {
        sleep_for(1000, 31);
        sleep_for(LIMIT_NS, 1); /* a long one in between: they do not follow each other closely */
    }
    EXPECT(busy_wait_ns(&wait) == 0);
}

static void vain_looks(void)
{
    busy_wait_init(&wait, LIMIT_NS);
    sleeps_until_it_looks();
    look(false, 3);
    look(true, 1);
    look(false, 3);
    EXPECT(busy_wait_ns(&wait) == LIMIT_NS);
    look(false, 1);
    EXPECT(busy_wait_ns(&wait) == 0);
}

/* Where client and server share a CPU, sleeps are short and looks are in vain. */
static void always_in_vain(void)
{
    unsigned before = 0, count = 0;

    busy_wait_init(&wait, LIMIT_NS);
    EXPECT(sleeps_until_it_looks() == 33);
    for (int i = 0; i < 20; i++) {
        look(false, 4);
        count = sleeps_until_it_looks();
        EXPECT(count >= before);
        before = count;
    }
    EXPECT(count > 10000 && count < 100000); /* a bound: it never gives up for good */
}

static void success_is_remembered(void)
{
    busy_wait_init(&wait, LIMIT_NS);
    for (int i = 0; i < 5; i++) {
        sleeps_until_it_looks();
        look(false, 4);
    }
    EXPECT(sleeps_until_it_looks() > 1000);
    look(true, 1000);
    look(false, 4);
    EXPECT(sleeps_until_it_looks() < 100);
}

/* Who is waited for needs the CPU: what was slept 20 us for is found after 30. */
static void looks_that_hinder(void)
{
    busy_wait_init(&wait, LIMIT_NS);
    sleep_for(20000, 33);
    look_for(30000, true, 255);
    EXPECT(busy_wait_ns(&wait) == LIMIT_NS);
    look_for(30000, true, 1);
    EXPECT(busy_wait_ns(&wait) == 0);
    sleep_for(20000, 64 + 31);
    EXPECT(busy_wait_ns(&wait) == 0);
    sleep_for(20000, 1);
    EXPECT(busy_wait_ns(&wait) == LIMIT_NS);
    look_for(10000, true, 1000);
    EXPECT(busy_wait_ns(&wait) == LIMIT_NS);
}

/* It is compared anew with how long turns with sleeps take by now. */
static void things_change(void)
{
    busy_wait_init(&wait, LIMIT_NS);
    sleep_for(20000, 33);
    look_for(10000, true, 2047);
    EXPECT(busy_wait_ns(&wait) == LIMIT_NS);
    look_for(10000, true, 1);
    EXPECT(busy_wait_ns(&wait) == 0);
    sleep_for(9000, 33);
    EXPECT(busy_wait_ns(&wait) == LIMIT_NS);
    look_for(10000, true, 256);
    EXPECT(busy_wait_ns(&wait) == 0);
}

static void turned_off(void)
{
    busy_wait_init(&wait, 0);
    sleep_for(0, 100);
    EXPECT(busy_wait_ns(&wait) == 0);
}

static const struct check checks[] = {
    { "short sleeps in a row make it look", short_sleeps },
    { "it does not look when requests are rare", rare_requests },
    { "vain looks in a row end it", vain_looks },
    { "what is in vain is tried ever more rarely", always_in_vain },
    { "what succeeds is tried again soon", success_is_remembered },
    { "looks that find work later than sleeps would end", looks_that_hinder },
    { "what pays is compared with sleeps again and again", things_change },
    { "a limit of 0 turns it off", turned_off },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
