/* A worker that has more to do than it can serves clients by their shares: one with a single
 * request in flight hardly notices one with 128.  In time that the test makes: what is done in a
 * batch takes so long for each command. */
#include "tests/support/check.h"
#include "tests/support/fake-server.h"

#include "server/connection/fair-share.h"

#define US UINT64_C(1000)
#define MS (1000 * US)
#define COMMAND_NS (3 * US)
#define BATCH_NS (4 * US)
#define CLIENT_NS (40 * US) /* until it hears, and asks again */
#define BYTES 4096u
#define SAMPLES_MAX 200000u

struct client {
    int fd;
    unsigned depth, in_flight;
    uint64_t next_cookie, answered;
    uint64_t sent_ns[256]; /* by cookie */
    uint64_t ready_ns;     /* of depth 1: when it asks again */
    uint64_t latencies[SAMPLES_MAX];
    size_t samples;
};

static struct client clients[4];
static unsigned client_count;
static struct fair_share share;
static bool regulated;

/* ---- the model ---- */

static void attach(unsigned depth, uid_t user)
{
    uint8_t bytes[128], answers[4096];
    struct client *client = &clients[client_count++];
    struct peer peer = { .text = "test client", .uid = user, .address.ss_family = AF_UNIX };

    memset(client, 0, sizeof *client);
    client->depth = depth;
    client->fd = fake_socket_create(server.loop);
    atomic_fetch_add(&server.worker.connection_count, 1);
    connection_create(&server.worker, client->fd, &peer, &(struct place){ 0 });
    fake_socket_feed(server.loop, client->fd, bytes, fake_client_handshake(bytes, false));
    fake_loop_run(server.loop);
    EXPECT(fake_socket_take(server.loop, client->fd, answers, sizeof answers) > 0);
}

static void begin(bool shares)
{
    loop_batch_ns = 1000 * MS;
    fake_server_open();
    fair_share_init(&share, &server.worker);
    server.backend.hold = true;
    client_count = 0;
    regulated = shares;
}

static void ask(struct client *client)
{
    while (client->in_flight < client->depth && client->ready_ns <= loop_batch_ns) {
        client->sent_ns[client->next_cookie % 256] = loop_batch_ns;
        fake_client_send(client->fd, NBD_CMD_READ, client->next_cookie++, 0, BYTES);
        client->in_flight++;
    }
}

static unsigned take(struct client *client, uint64_t now_ns)
{
    static uint8_t reply[NBD_SIMPLE_REPLY_BYTES + BYTES];
    unsigned taken = 0;

    while (fake_socket_ready(server.loop, client->fd) >= sizeof reply) {
        fake_client_take(client->fd, reply, sizeof reply);
        uint64_t cookie = nbd_get_u64(reply + 8);
        uint64_t took_ns = now_ns - client->sent_ns[cookie % 256] + CLIENT_NS;

        if (client->samples < SAMPLES_MAX)
            client->latencies[client->samples++] = took_ns;
        client->in_flight--;
        client->answered++;
        taken++;
        if (client->depth == 1)
            client->ready_ns = now_ns + CLIENT_NS;
    }
    return taken;
}

/* What storage has done since the last one is answered, and what has come goes to storage. */
static void batch(void)
{
    uint64_t start_ns = loop_batch_ns, elapsed_ns = BATCH_NS;
    unsigned held = server.backend.held_count;

    for (unsigned i = 0; i < client_count; i++)
        ask(&clients[i]);
    for (unsigned i = 0; i < held; i++)
        fake_backend_release(&server.backend, 0);
    (void)fake_loop_step(server.loop);
    elapsed_ns += held * COMMAND_NS;
    if (regulated)
        fair_share_batch(&share, start_ns, elapsed_ns);
    loop_batch_ns = start_ns + elapsed_ns;
    for (unsigned i = 0; i < client_count; i++)
        (void)take(&clients[i], loop_batch_ns);
}

static void run_for(uint64_t time_ns)
{
    uint64_t end_ns = loop_batch_ns + time_ns;

    while (loop_batch_ns < end_ns)
        batch();
}

static void forget(void)
{
    for (unsigned i = 0; i < client_count; i++)
        clients[i].samples = clients[i].answered = 0;
}

static void finish(void)
{
    server.backend.hold = false;
    for (unsigned i = 0; i < client_count; i++)
        clients[i].depth = 0;
    for (unsigned k = 0; k < 1000; k++) {
        fake_backend_release_all(&server.backend);
        fake_loop_run(server.loop);
        for (unsigned i = 0; i < client_count; i++)
            (void)take(&clients[i], loop_batch_ns);
    }
    for (unsigned i = 0; i < client_count; i++)
        fake_client_leave(clients[i].fd);
    fake_server_close();
}

static int by_number(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

    return one < other ? -1 : one > other;
}

static uint64_t p99_ns(struct client *client)
{
    EXPECT(client->samples > 100);
    qsort(client->latencies, client->samples, sizeof client->latencies[0], by_number);
    return client->latencies[client->samples * 99 / 100];
}

/* Of a client with one in flight beside one with so many; 0: alone. */
static uint64_t p99_beside(unsigned depth, bool shares)
{
    begin(shares);
    attach(1, 1);
    if (depth > 0)
        attach(depth, 2);
    run_for(100 * MS);
    forget();
    run_for(400 * MS);
    uint64_t p99 = p99_ns(&clients[0]);
    finish();
    return p99;
}

/* ---- claims ---- */

static void one_beside_many(void)
{
    uint64_t alone_ns = p99_beside(0, true);

    EXPECT(p99_beside(128, false) > 6 * alone_ns); /* so it would be */
    EXPECT(p99_beside(128, true) <= 3 * alone_ns);
}

static void shares_by_weight(void)
{
    static struct export other;

    begin(true);
    attach(128, 1);
    attach(128, 2);
    other = server.ex;
    atomic_store(&other.weight, 300);
    server.worker.connections->transmission->export = &other; /* the second one's */
    run_for(100 * MS);
    forget();
    run_for(400 * MS);
    double ratio = (double)clients[1].answered / (double)clients[0].answered;
    EXPECT(ratio > 2.4 && ratio < 3.6);
    finish();
}

static void many_connections_buy_no_more(void)
{
    begin(true);
    attach(128, 1);
    for (unsigned i = 0; i < 3; i++)
        attach(128, 2);
    run_for(100 * MS);
    forget();
    run_for(400 * MS);
    double sum = (double)(clients[1].answered + clients[2].answered + clients[3].answered);
    EXPECT(sum / (double)clients[0].answered > 0.7 && sum / (double)clients[0].answered < 1.4);
    finish();
}

/* It has all that it had when it is alone, or when there is room for all. */
static void who_is_alone_has_all(void)
{
    begin(true);
    attach(128, 1);
    attach(1, 2);
    run_for(100 * MS);
    struct holdings *greedy = &server.worker.connections->next->transmission->holds;
    EXPECT(share.window > 0 && greedy->commands_max < HOLDINGS_COMMANDS_MAX / 2);
    clients[1].depth = 0;
    run_for(100 * MS);
    EXPECT(share.window == 0 && greedy->commands_max == HOLDINGS_COMMANDS_MAX);
    clients[1].depth = 1;
    run_for(100 * MS);
    EXPECT(share.window > 0);
    finish();

    begin(true); /* one client with two connections */
    attach(128, 1);
    attach(1, 1);
    run_for(100 * MS);
    EXPECT(share.window == 0);
    finish();

    begin(true);
    attach(4, 1);
    attach(4, 2);
    run_for(100 * MS);
    EXPECT(share.window == 0);
    finish();
}

static const struct check checks[] = {
    { "p99 of one request in flight beside 128 is at most 3 times that of it alone",
      one_beside_many },
    { "clients of exports of several weights get as much as these say", shares_by_weight },
    { "several connections of a client have one share", many_connections_buy_no_more },
    { "who is alone, or where there is room for all, has as much as ever", who_is_alone_has_all },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
