/* Whatever order things happen in: who is told that a sync has succeeded finds all that he wrote
 * before, though storage tells of what it lost once, and not to the one it concerns. */
#include <errno.h>
#include <stdlib.h>

#include "server/block/group-sync.h"
#include "server/block/layer.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

#define LOOPS 3u
#define CLIENTS 12u
#define BLOCKS 64u
#define STEPS 3000u

/* ---- storage: what is written waits in a cache, which may lose it, and tells so once ---- */

struct block {
    unsigned written, durable; /* versions */
    bool dirty;                /* otherwise the last version is durable, or lost */
};

static struct {
    struct block blocks[BLOCKS];
    bool error_untold;
    struct request *running; /* the leader of the sync that is under way */
    uint64_t start_bytes, end_bytes;
    bool consumed; /* its result is there, and has not been told yet */
    int result;
    unsigned syncs;
} disk;

static void disk_write(struct block *block)
{
    block->written++;
    block->dirty = true;
}

static void disk_write_back(uint64_t start, uint64_t end, bool fails)
{
    for (uint64_t i = start; i < end && i < BLOCKS; i++) {
        struct block *block = &disk.blocks[i];

        if (!block->dirty)
            continue;
        block->dirty = false;
        if (!fails)
            block->durable = block->written;
        disk.error_untold |= fails;
    }
}

static void disk_sync_start(struct request *leader, uint64_t start_bytes, uint64_t end_bytes)
{
    EXPECT(disk.running == NULL); /* or the one would be told of what the other has to know */
    disk.running = leader;
    disk.start_bytes = start_bytes;
    disk.end_bytes = end_bytes;
    disk.consumed = false;
    disk.syncs++;
}

static void disk_sync_consume(bool fails)
{
    disk_write_back(disk.start_bytes, disk.end_bytes, fails);
    disk.result = disk.error_untold ? EIO : 0;
    disk.error_untold = false;
    disk.consumed = true;
}

/* ---- clients, a third of them on each loop ---- */

struct client {
    struct request request;
    struct layer layer;
    bool waits;
    bool is_late;             /* it came when a failure had been told */
    unsigned written[BLOCKS]; /* versions that have to be durable when it succeeds */
};

static struct group_sync sync;
static struct stage stage = { .sync = &sync };
static struct loop *loops[LOOPS];
static struct client clients[CLIENTS];
static unsigned successes, failures;
static bool failed;

static void client_answered(struct layer *owner, struct request *req)
{
    struct client *client = container_of(req, struct client, request);

    (void)owner;
    EXPECT(client->waits);
    client->waits = false;
    if (req->error != 0) {
        failed = true;
        failures++;
        return;
    }
    EXPECT(!client->is_late); /* one failure is for good, and for all */
    successes++;
    for (unsigned i = 0; i < BLOCKS; i++)
        EXPECT(client->written[i] <= disk.blocks[i].durable);
}

static void client_join(struct client *client, struct loop *loop)
{
    bool flush = rand() % 3 == 0;
    uint64_t at = (uint64_t)rand() % BLOCKS, count = 1 + (uint64_t)rand() % 4;

    if (at + count > BLOCKS)
        count = BLOCKS - at;
    client->layer = (struct layer){ .stage = &stage, .loop = loop };
    client->request = (struct request){
        .backend = &client->layer,
        .flags = REQUEST_FUA,
        .view = { .op = flush ? REQUEST_FLUSH : REQUEST_WRITE,
                  .offset_bytes = flush ? 0 : at,
                  .length_bytes = flush ? 0 : (uint32_t)count },
    };
    for (unsigned i = 0; i < BLOCKS; i++) {
        bool own = !flush && i >= at && i < at + count;

        if (own)
            disk_write(&disk.blocks[i]);
        client->written[i] = flush || own ? disk.blocks[i].written : 0;
    }
    client->waits = true;
    client->is_late = failed;
    request_push(&client->request, NULL, client_answered);
    group_sync_join(&client->request);
}

static void run_loop(struct loop *loop)
{
    /* What has ended is told on the thread of the one who leads. */
    if (disk.running != NULL && disk.consumed && disk.running->backend->loop == loop) {
        struct request *leader = disk.running;

        disk.running = NULL;
        group_sync_ended(leader, disk.result);
    }
    fake_loop_step(loop);
}

static void step(bool may_fail)
{
    unsigned pick = (unsigned)rand() % CLIENTS;
    struct loop *loop = loops[pick % LOOPS];
    bool fails = may_fail && rand() % 200 == 0;

    switch (rand() % 6) {
    case 0:
        disk_write(&disk.blocks[rand() % (int)BLOCKS]);
        break;
    case 1:
        if (!clients[pick].waits)
            client_join(&clients[pick], loop);
        break;
    case 2: /* the kernel, of its own accord */
        if (fails)
            disk_write_back(pick, pick + 8, true);
        break;
    case 3:
        if (disk.running != NULL && !disk.consumed)
            disk_sync_consume(fails);
        break;
    default:
        run_loop(loop);
    }
}

static void drain(void)
{
    for (unsigned round = 0; round < 4 * CLIENTS; round++) {
        if (disk.running != NULL && !disk.consumed)
            disk_sync_consume(false);
        for (unsigned i = 0; i < LOOPS; i++)
            run_loop(loops[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(!clients[i].waits);
}

static void run(unsigned seed, bool may_fail)
{
    struct loop_config config = { .entries = 8 };
    struct error err;

    srand(seed);
    memset(&disk, 0, sizeof disk);
    memset(clients, 0, sizeof clients);
    successes = failures = 0;
    failed = false;
    EXPECT(group_sync_init(&sync, "fake", disk_sync_start, &err) == 0);
    for (unsigned i = 0; i < LOOPS; i++)
        EXPECT(loop_create(&loops[i], &config, &err) == 0);
    for (unsigned i = 0; i < STEPS; i++)
        step(may_fail);
    drain();
    if (!may_fail) {
        EXPECT(failures == 0);
        EXPECT(disk.syncs < successes); /* they share */
    }
    for (unsigned i = 0; i < LOOPS; i++)
        loop_destroy(loops[i]);
    group_sync_destroy(&sync);
}

int main(void)
{
    unsigned with_failures = 0;

    for (unsigned seed = 1; seed <= 20; seed++)
        run(seed, false);
    for (unsigned seed = 1; seed <= 300; seed++) {
        run(seed, true);
        with_failures += failures > 0 && successes > 0;
    }
    EXPECT(with_failures > 100);
    return 0;
}
