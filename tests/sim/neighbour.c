#include "tests/sim/neighbour.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/config.h"
#include "tests/sim/handshake.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"

#define CLIENT 500u
#define SECTORS 16u
#define SECTOR_BYTES 512u
#define COMMANDS_MAX 40u /* on one connection */
#define LOOK_NS (50 * NS_PER_MS)
#define HANDSHAKE_BYTES 8192u
#define HANDSHAKE_SECONDS_MAX 10u /* the server's */

/* Of each sector: what it holds, and what it may hold if the last write was never answered. */
static uint8_t known[SECTORS], other[SECTORS];
static bool wanted;
static struct fiber *fiber, *watcher;
static unsigned life;           /* of the front that it is connected to */
static uint64_t asked_ns;       /* when it has asked for something; 0: it waits for nothing */
static struct session *session; /* NULL: none */

/* The server is not what it was, or it may refuse anybody: then nothing is promised. */
static bool is_excused(void)
{
    return life != server_life(SITE_FRONT) || server_state(SITE_FRONT) != SERVER_UP ||
           server_lacked_memory();
}

/* What the network and the file take at the worst, by far, also for a handshake with certificates,
 * through the smallest window.  Less than what a request to a store that is silent takes. */
static uint64_t patience_ns(void)
{
    uint64_t turns = 100 + 8 * HANDSHAKE_BYTES / options.window_bytes;

    return NS_PER_S +
           turns * (2 * options.net_us + options.disk_us + 20 * options.loop_us) * NS_PER_US;
}

static void *watch(void *nothing)
{
    while (wanted) {
        fiber_sleep(LOOK_NS);
        if (asked_ns != 0 && sim_now_ns > asked_ns + patience_ns() && !is_excused() &&
            options.stall_permille == 0)
            sim_fail("the client of another export waits for %llu ms, and its disk is well",
                     (unsigned long long)((sim_now_ns - asked_ns) / NS_PER_MS));
    }
    return nothing;
}

/* False: the connection is gone. */
static bool has_answer(struct nbd_request *request, uint8_t *data)
{
    uint8_t header[NBD_SIMPLE_REPLY_BYTES];
    uint64_t cookie;
    uint32_t error;

    if (!wire_receive_all(&session->wire, header, sizeof(header)))
        return false;
    if (!nbd_is_simple_reply(header))
        sim_fail("the client of another export got something that is no reply");
    nbd_decode_simple_reply(header, &error, &cookie);
    if (cookie != request->cookie)
        sim_fail("the client of another export got an answer to what it has not asked");
    if (error != 0 && !is_excused())
        sim_fail("the client of another export was answered with error %u", error);
    return error == 0 && (request->command != NBD_CMD_READ ||
                          wire_receive_all(&session->wire, data, SECTOR_BYTES));
}

static void check(unsigned sector, const uint8_t *data)
{
    for (unsigned i = 1; i < SECTOR_BYTES; i++)
        if (data[i] != data[0])
            sim_fail("the client of another export reads half a sector");
    if (data[0] != known[sector] && data[0] != other[sector])
        sim_fail("the client of another export reads what it has not written");
    known[sector] = other[sector] = data[0];
}

static bool ask(uint16_t command)
{
    unsigned sector = (unsigned)random_below(STREAM_WORK, SECTORS);
    struct nbd_request request = { .command = command,
                                   .cookie = ++session->cookies,
                                   .offset_bytes = sector * SECTOR_BYTES,
                                   .length_bytes = SECTOR_BYTES };
    uint8_t bytes[NBD_REQUEST_BYTES + SECTOR_BYTES], data[SECTOR_BYTES];
    bool writes = command == NBD_CMD_WRITE;

    if (command == NBD_CMD_FLUSH)
        request.offset_bytes = request.length_bytes = 0;
    if (writes)
        other[sector] = (uint8_t)(known[sector] + 1);
    nbd_encode_request(bytes, &request);
    memset(bytes + NBD_REQUEST_BYTES, other[sector], SECTOR_BYTES);
    asked_ns = sim_now_ns;
    bool whole =
        wire_send_all(&session->wire, bytes, NBD_REQUEST_BYTES + (writes ? SECTOR_BYTES : 0)) &&
        has_answer(&request, data);
    asked_ns = 0;
    if (whole && command == NBD_CMD_READ)
        check(sector, data);
    if (whole && writes)
        known[sector] = other[sector];
    mark(MARK_neighbour_asked);
    return whole;
}

static void work(void)
{
    static const uint16_t commands[] = { NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_WRITE,
                                         NBD_CMD_FLUSH };
    bool whole = true;

    for (unsigned i = 0; whole && wanted && i < COMMANDS_MAX; i++) {
        fiber_sleep(random_skewed(STREAM_WORK, NS_PER_US, 200 * NS_PER_MS));
        whole = ask(commands[random_below(STREAM_WORK, 4)]);
    }
    if (!whole && !is_excused())
        sim_fail("the client of another export has lost its connection");
}

static void visit(void)
{
    session = calloc(1, sizeof(*session));
    if (session == NULL)
        sim_fail("no memory");
    *session = (struct session){ .client = CLIENT,
                                 .export = NEIGHBOUR,
                                 .life = server_life(SITE_FRONT),
                                 .disturbances = server_disturbances() };
    life = session->life;
    session->wire.endpoint = server_connect(SITE_FRONT, CLIENT);
    if (session->wire.endpoint != NULL) {
        uint64_t late_ns = sim_now_ns + HANDSHAKE_SECONDS_MAX * NS_PER_S;

        asked_ns = sim_now_ns;
        bool attached = handshake(session);
        asked_ns = 0;
        if (attached)
            work();
        else if (!is_excused() && sim_now_ns < late_ns &&
                 options.places == 0) /* which are those of all exports together */
            sim_fail("the client of another export was not let in");
        wire_free(&session->wire);
        endpoint_close(session->wire.endpoint);
    }
    free(session);
    session = NULL;
}

static void *neighbour(void *nothing)
{
    while (wanted) {
        visit();
        fiber_sleep(random_skewed(STREAM_WORK, NS_PER_MS, 500 * NS_PER_MS));
    }
    return nothing;
}

void neighbour_begin(void)
{
    wanted = options.neighbour > 0;
    if (!wanted)
        return;
    fiber = fiber_start("neighbour", HOST_WORLD, neighbour, NULL);
    watcher = fiber_start("watcher", HOST_WORLD, watch, NULL);
}

void neighbour_end(void)
{
    if (!wanted)
        return;
    wanted = false;
    (void)fiber_join(fiber);
    (void)fiber_join(watcher);
}
