/* When a lost server is tried again, and for how long requests wait for it. */
#include "plugins/remote/remote-outage.h"

#include "tests/support/check.h"

#define NOW_MS 5000u

static void pauses_grow_until_an_answer(void)
{
    static const unsigned pauses_ms[] = { 0, 100, 200, 400, 800, 1600, 2000, 2000 };
    struct remote_outage outage = { 0 };

    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < sizeof pauses_ms / sizeof pauses_ms[0]; i++) {
            remote_outage_plan_dial(&outage, NOW_MS);
            EXPECT(remote_outage_dial_is_due(&outage, NOW_MS + pauses_ms[i]));
            EXPECT(pauses_ms[i] == 0 ||
                   !remote_outage_dial_is_due(&outage, NOW_MS + pauses_ms[i] - 1));
            remote_outage_connected(&outage, false); /* a connection alone proves nothing */
        }
        remote_outage_answered(&outage);
    }
}

static void requests_wait_since_the_first_trouble(void)
{
    struct remote_outage outage = { 0 };

    EXPECT(!remote_outage_is_too_long(&outage, 0, NOW_MS));
    remote_outage_begin(&outage, NOW_MS);
    remote_outage_begin(&outage, NOW_MS + 900);
    EXPECT(!remote_outage_is_too_long(&outage, 1000, NOW_MS + 999));
    EXPECT(remote_outage_is_too_long(&outage, 1000, NOW_MS + 1000));
    EXPECT(remote_outage_is_too_long(&outage, 0, NOW_MS));
}

/* A server that accepts connections and answers nothing must not be waited for without end. */
static void a_connection_ends_it_only_if_nothing_waits(void)
{
    struct remote_outage outage = { 0 };

    remote_outage_begin(&outage, NOW_MS);
    remote_outage_connected(&outage, true);
    EXPECT(remote_outage_is_too_long(&outage, 1000, NOW_MS + 1000));
    remote_outage_connected(&outage, false);
    EXPECT(!remote_outage_is_too_long(&outage, 1000, NOW_MS + 1000));
    remote_outage_begin(&outage, NOW_MS);
    remote_outage_answered(&outage);
    EXPECT(!remote_outage_is_too_long(&outage, 1000, NOW_MS + 1000));
}

static void things_are_told_once_for_each_outage(void)
{
    struct remote_outage outage = { 0 };

    for (unsigned round = 0; round < 2; round++) {
        EXPECT(remote_outage_tell_failure(&outage));
        EXPECT(!remote_outage_tell_failure(&outage));
        EXPECT(remote_outage_give_up(&outage) && outage.down);
        EXPECT(!remote_outage_give_up(&outage) && outage.down);
        remote_outage_answered(&outage);
        EXPECT(outage.down);
        remote_outage_connected(&outage, true);
        EXPECT(!outage.down);
    }
}

int main(void)
{
    pauses_grow_until_an_answer();
    requests_wait_since_the_first_trouble();
    a_connection_ends_it_only_if_nothing_waits();
    things_are_told_once_for_each_outage();
    return 0;
}
