/* What several exports share is kept to the rate, whatever it is and however many workers take; and
 * no member keeps another one from its part. */
#include "server/export/limit-groups.h"

#include "tests/support/check.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define START (1000 * SECOND)
#define CONNECTIONS_MAX 4096u
#define WORKERS 4u

/* One that always has a command, as server/connection/throttle.c serves it; asked again in whole
 * milliseconds. */
struct client {
    struct limit_part *part;
    struct limit_claim claims[2];
    uint64_t due_ns, wake_ns;
    bool waits;
    uint64_t taken;
};

static struct client clients[CONNECTIONS_MAX];
static unsigned client_count;
static struct limit_set *group;
static struct limit_part parts[8];
static unsigned part_count;

static void begin(const struct limit_terms *terms)
{
    for (unsigned i = 0; i < client_count; i++)
        if (clients[i].waits)
            limit_claims_leave(clients[i].claims, clients[i].claims[1].set != NULL ? 2 : 1);
    limit_group_use(group, &(struct limit_terms){ .rate = { 0 } }, START);
    limit_group_use(group, terms, START);
    memset(parts, 0, sizeof parts);
    memset(clients, 0, sizeof clients);
    client_count = 0;
    atomic_store(&group->weight, 0);
    part_count = 0;
}

static struct client *add_weighed(unsigned weight, unsigned connections)
{
    struct limit_part *part = &parts[part_count++];
    struct client *first = &clients[client_count];

    limit_group_weigh(group, part, weight);
    for (unsigned i = 0; i < connections; i++)
        clients[client_count++] = (struct client){ .part = part, .wake_ns = START + i };
    return first;
}

static struct client *add_member(unsigned connections)
{
    return add_weighed(100, connections);
}

static void ask(struct client *client, struct limit_set *own, uint64_t now_ns)
{
    struct rate_taker taker = { .now_ns = now_ns };
    unsigned count = own != NULL ? 2 : 1;

    if (!client->waits) {
        limit_claim_init(&client->claims[0], group, false, 0, 4096);
        client->claims[0].part = client->part;
        if (own != NULL)
            limit_claim_init(&client->claims[1], own, false, 0, 4096);
    } else if (now_ns >= client->due_ns) {
        taker.waited = true;
        taker.overdue_ns = now_ns - client->due_ns;
    }
    bool may = !client->waits || taker.waited;
    if (may && limit_claims_take(client->claims, count, &taker)) {
        limit_claims_leave(client->claims, count);
        client->waits = false;
        client->taken++;
        client->wake_ns = now_ns + 2000; /* its next command comes at once */
        return;
    }
    if (may) {
        uint64_t wait_ns = limit_claims_wait_ns(client->claims, count, &taker);

        limit_claims_leave(client->claims, count);
        if (!client->waits)
            client->due_ns = now_ns + wait_ns;
        limit_claims_join(client->claims, count, &taker);
        client->waits = true;
        client->wake_ns = now_ns + (wait_ns / MS + 1) * MS;
    } else {
        client->wake_ns = client->due_ns;
    }
}

/* Workers read their clocks once a batch. */
static uint64_t clock_of(const struct client *client, uint64_t now_ns)
{
    return now_ns - (uint64_t)(client - clients) % WORKERS * 300000;
}

static uint64_t run(uint64_t until_ns, struct limit_set *own, unsigned owners)
{
    uint64_t taken = 0;

    for (;;) {
        struct client *next = &clients[0];

        for (unsigned i = 1; i < client_count; i++)
            if (clients[i].wake_ns < next->wake_ns)
                next = &clients[i];
        uint64_t now_ns = next->wake_ns, before = next->taken;
        if (now_ns >= until_ns)
            return taken;
        ask(next, next < clients + owners ? own : NULL, clock_of(next, now_ns));
        if (next->wake_ns <= now_ns)
            next->wake_ns = now_ns + MS;
        taken += next->taken - before;
    }
}

static uint64_t taken_by(const struct client *first, unsigned count)
{
    uint64_t taken = 0;

    for (unsigned i = 0; i < count; i++)
        taken += first[i].taken;
    return taken;
}

static bool is_within(uint64_t value, double wanted, double part)
{
    return (double)value >= wanted * (1 - part) - 1 && (double)value <= wanted * (1 + part) + 1;
}

static void forget(void)
{
    for (unsigned i = 0; i < client_count; i++)
        clients[i].taken = 0;
}

/* ---- claims ---- */

static void rates_are_kept(void)
{
    static const uint64_t rates[] = { 1, 7, 50, 999, 30000, 500000 };

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        uint64_t seconds = rates[i] < 100 ? 200 : 4;

        begin(&(struct limit_terms){ .rate[LIMIT_IOPS] = rates[i] });
        for (unsigned member = 0; member < 4; member++)
            (void)add_member(member + 1);
        (void)run(START + 10 * SECOND, NULL, 0);
        EXPECT(is_within(run(START + (10 + seconds) * SECOND, NULL, 0),
                         (double)(rates[i] * seconds), 0.02));
    }
}

static void a_member_has_its_part_beside_a_thousand_connections(void)
{
    static const uint64_t rates[] = { 20, 1000, 20000 };

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        begin(&(struct limit_terms){ .rate[LIMIT_IOPS] = rates[i] });
        struct client *many = add_member(1000), *one = add_member(1);
        (void)run(START + 10 * SECOND, NULL, 0);
        forget();
        uint64_t all = run(START + 20 * SECOND, NULL, 0);
        /* Timers have whole milliseconds: so it does not get more than that allows. */
        double part = rates[i] / 2 < 400 ? (double)rates[i] / 2 : 400;
        EXPECT((double)one->taken >= 8 * part && is_within(all, 10.0 * (double)rates[i], 0.02));
        EXPECT(taken_by(many, 1000) >= 9 * rates[i] / 2);
    }
}

static void what_a_member_leaves_the_others_have(void)
{
    begin(&(struct limit_terms){ .rate[LIMIT_IOPS] = 1000 });
    (void)add_member(4);
    (void)add_weighed(300, 0); /* is idle */
    (void)run(START + 10 * SECOND, NULL, 0);
    EXPECT(is_within(run(START + 20 * SECOND, NULL, 0), 10000, 0.02));
}

static void weights_are_kept(void)
{
    static const uint64_t rates[] = { 20, 1000, 20000 };

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        begin(&(struct limit_terms){ .rate[LIMIT_IOPS] = rates[i] });
        struct client *heavy = add_weighed(300, 16), *light = add_weighed(100, 16);
        (void)run(START + 10 * SECOND, NULL, 0);
        forget();
        uint64_t all = run(START + 20 * SECOND, NULL, 0);
        EXPECT(is_within(all, 10.0 * (double)rates[i], 0.02));
        EXPECT(is_within(taken_by(heavy, 16), 7.5 * (double)rates[i], 0.02));
        EXPECT(is_within(taken_by(light, 16), 2.5 * (double)rates[i], 0.02));
    }
}

/* It waits for what it has alone, and stands in nobody's way. */
static void who_waits_for_a_limit_of_its_own_keeps_nobody_back(void)
{
    static struct limit_set own;

    limit_set_use(&own, &(struct limit_terms){ .rate[LIMIT_IOPS] = 1 }, START);
    begin(&(struct limit_terms){ .rate[LIMIT_IOPS] = 1000 });
    (void)add_member(1000);
    (void)add_member(4);
    (void)run(START + 5 * SECOND, &own, 1000);
    EXPECT(is_within(run(START + 10 * SECOND, &own, 1000), 5000, 0.02));
}

static void names_stay_what_they_are(void)
{
    EXPECT(limit_groups_get("a") == group && limit_groups_get("b") != group);
    EXPECT(strcmp(limit_group_name(group), "a") == 0);
    EXPECT(limit_groups_next(NULL) == group && limit_groups_next(limit_groups_get("b")) == NULL);
}

int main(void)
{
    group = limit_groups_get("a");
    names_stay_what_they_are();
    rates_are_kept();
    a_member_has_its_part_beside_a_thousand_connections();
    what_a_member_leaves_the_others_have();
    weights_are_kept();
    who_waits_for_a_limit_of_its_own_keeps_nobody_back();
    return EXIT_SUCCESS;
}
