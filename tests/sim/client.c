#include "tests/sim/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/session.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"

#define FRAGMENT_BYTES (256u << 10)
#define VERIFY_BYTES (64u << 10)
#define CLIENTS_MAX 16u
#define KEY_UPDATES_MAX 8u
#define PATIENT_AFTER 50u
#define FROZEN_NS_MAX (200 * NS_PER_S) /* the server waits 60 s for it */
#define VERIFIER_TRIES 20u
#define DESERT_PERMILLE 200

static uint64_t commands_left;
static struct fiber *fibers[CLIENTS_MAX];
static unsigned running;
static uint64_t region_start_bytes, region_bytes;

/* ---- commands ---- */

static uint16_t draw_command(const struct session *session)
{
    const struct {
        uint16_t command;
        uint64_t weight;
    } rows[] = {
        { NBD_CMD_READ, options.read },
        { NBD_CMD_WRITE, options.write },
        { NBD_CMD_FLUSH, session->flags & NBD_FLAG_SEND_FLUSH ? options.flush : 0 },
        { NBD_CMD_TRIM, session->flags & NBD_FLAG_SEND_TRIM ? options.trim : 0 },
        { NBD_CMD_WRITE_ZEROES, session->flags & NBD_FLAG_SEND_WRITE_ZEROES ? options.zero : 0 },
        { NBD_CMD_BLOCK_STATUS, session->status ? options.status : 0 },
        { NBD_CMD_CACHE, session->flags & NBD_FLAG_SEND_CACHE ? options.cache : 0 },
    };
    uint64_t sum = 0, drawn;

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        sum += rows[i].weight;
    drawn = random_below(STREAM_WORK, sum > 0 ? sum : 1);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (drawn < rows[i].weight)
            return rows[i].command;
        drawn -= rows[i].weight;
    }
    return NBD_CMD_READ;
}

/* Mostly sectors, or blocks of 4096; sometimes cells, so that the server has to read what is
 * around. */
static void draw_range(struct nbd_request *request)
{
    static const uint32_t units[] = { CELL_BYTES, 512, 512, 4096 };
    uint32_t unit = units[random_below(STREAM_WORK, 4)];
    uint64_t most = region_bytes;

    if (!random_chance(STREAM_WORK, (unsigned)options.long_permille))
        most = most < 32768 ? most : 32768;
    else
        most = most < 3 * FRAGMENT_BYTES ? most : 3 * FRAGMENT_BYTES;
    if (unit > most)
        unit = CELL_BYTES;
    bool whole = most > FRAGMENT_BYTES && random_chance(STREAM_WORK, 500);
    uint64_t length = random_skewed(STREAM_WORK, 1, most / unit) * unit;
    if (whole)
        length = (FRAGMENT_BYTES + random_below(STREAM_WORK, most - FRAGMENT_BYTES)) / unit * unit;
    uint64_t start = random_below(STREAM_WORK, (region_bytes - length) / unit + 1) * unit;
    request->offset_bytes = region_start_bytes + start;
    request->length_bytes = (uint32_t)length;
    if (unit == CELL_BYTES)
        mark(MARK_unaligned_write);
    if (length > FRAGMENT_BYTES)
        mark(MARK_long_command);
}

static bool needs_data(const struct nbd_request *request)
{
    return request->command == NBD_CMD_WRITE_ZEROES &&
           ((options.layer > 0 && !options.zero_holes) || options.no_fallocate_permille > 0);
}

/* Of gigabytes, of which the most is desert: what takes no longer for that. */
static void draw_desert(struct nbd_request *request, const struct session *session)
{
    uint64_t end = volumes_export_bytes();

    if (request->command == NBD_CMD_READ || request->command == NBD_CMD_WRITE ||
        request->command == NBD_CMD_FLUSH || needs_data(request) ||
        !random_chance(STREAM_RARE, options.desert_mib > 0 ? DESERT_PERMILLE : 0))
        return;
    if (random_chance(STREAM_RARE, 700))
        end = region_start_bytes + random_below(STREAM_RARE, region_bytes / 512 + 1) * 512;
    request->offset_bytes = random_below(STREAM_RARE, 2048) * 512;
    if (!session->extended && end - request->offset_bytes > UINT32_MAX)
        request->offset_bytes = end - (1 + random_below(STREAM_RARE, UINT32_MAX / 512)) * 512;
    request->length_bytes = end - request->offset_bytes;
    if (request->length_bytes > UINT32_MAX)
        mark(MARK_desert_crossed);
}

static void draw_flags(struct nbd_request *request, const struct session *session)
{
    bool changes = request->command == NBD_CMD_WRITE || request->command == NBD_CMD_TRIM ||
                   request->command == NBD_CMD_WRITE_ZEROES;

    if (changes && (session->flags & NBD_FLAG_SEND_FUA) &&
        random_chance(STREAM_WORK, (unsigned)options.fua_permille))
        request->flags |= NBD_CMD_FLAG_FUA;
    if (request->command == NBD_CMD_WRITE_ZEROES && random_chance(STREAM_WORK, 300))
        request->flags |= NBD_CMD_FLAG_NO_HOLE;
    if (request->command == NBD_CMD_WRITE_ZEROES && (session->flags & NBD_FLAG_SEND_FAST_ZERO) &&
        random_chance(STREAM_WORK, 300))
        request->flags |= NBD_CMD_FLAG_FAST_ZERO;
    if (request->command == NBD_CMD_READ && session->structured && random_chance(STREAM_WORK, 200))
        request->flags |= NBD_CMD_FLAG_DF;
    if (request->command == NBD_CMD_BLOCK_STATUS && random_chance(STREAM_WORK, 300))
        request->flags |= NBD_CMD_FLAG_REQ_ONE;
}

/* Beyond the end, an unknown flag, an unknown command. */
static void draw_rudeness(struct nbd_request *request, const struct session *session)
{
    switch (random_below(STREAM_WORK, 3)) {
    case 0:
        if (session->extended && request->command != NBD_CMD_WRITE && /* that ends the connection */
            request->command != NBD_CMD_FLUSH && random_chance(STREAM_RARE, 700)) {
            request->length_bytes += (uint64_t)(1 + random_below(STREAM_RARE, 3)) << 32;
            mark(MARK_beyond_32_bits);
        } else if (request->command != NBD_CMD_FLUSH) {
            request->length_bytes =
                request->length_bytes < 65536 ? request->length_bytes + CELL_BYTES : 65536;
            request->offset_bytes = session->size_bytes - request->length_bytes + CELL_BYTES;
        }
        break;
    case 1:
        request->flags |= 1u << 9;
        break;
    default:
        if (request->command == NBD_CMD_FLUSH)
            request->command = 77;
        break;
    }
}

static void draw_request(struct nbd_request *request, const struct session *session)
{
    *request = (struct nbd_request){ .command = draw_command(session) };
    if (request->command != NBD_CMD_FLUSH)
        draw_range(request);
    draw_desert(request, session);
    draw_flags(request, session);
    if (random_chance(STREAM_WORK, (unsigned)options.rude_permille))
        draw_rudeness(request, session);
}

/* ---- a client ---- */

static enum session_end draw_end(const struct session *session)
{
    static const enum mark marks[] = { MARK_client_disc, MARK_client_closed, MARK_client_reset };
    enum session_end end = (enum session_end)random_below(STREAM_WORK, 3);

    (void)session;
    mark(marks[end]);
    return end;
}

/* Who asks for more of them in a second is dropped. */
static bool change_keys_perhaps(struct session *session)
{
    if (!options.tls || session->key_updates == KEY_UPDATES_MAX ||
        !random_chance(STREAM_WORK, (unsigned)options.key_update_permille))
        return true;
    session->key_updates++;
    return wire_update_keys(&session->wire);
}

/* For a while, or until the server has enough of it. */
static void freeze(struct session *session, const struct nbd_request *last)
{
    uint64_t patience_ns = random_chance(STREAM_RARE, 300)
                               ? FROZEN_NS_MAX
                               : random_skewed(STREAM_RARE, NS_PER_MS, 3 * NS_PER_S);

    session_freeze(session, last, patience_ns);
    session_close(session, SESSION_RESET);
}

static void work(struct session *session)
{
    bool whole = true;

    while (whole && commands_left > 0) {
        struct nbd_request request;

        if (!session_wait(session, (unsigned)options.depth - 1) || commands_left == 0)
            break;
        if (random_chance(STREAM_WORK, (unsigned)options.reset_permille)) {
            session_close(session, draw_end(session));
            return;
        }
        if (random_chance(STREAM_WORK, 100))
            fiber_sleep(random_skewed(STREAM_WORK, NS_PER_US, 100 * NS_PER_MS));
        if (commands_left == 0)
            break;
        commands_left--;
        if (!change_keys_perhaps(session))
            break;
        draw_request(&request, session);
        if (random_chance(STREAM_RARE, (unsigned)options.freeze_permille)) {
            freeze(session, &request);
            return;
        }
        whole = session_send(session, &request);
    }
    if (session_wait(session, 0))
        session_close(session, SESSION_DISC);
    else
        session_close(session, SESSION_CLOSE);
}

static void *client(void *context)
{
    unsigned number = (unsigned)(uintptr_t)context;
    struct session *session = malloc(sizeof(*session));
    unsigned refused = 0; /* so often, the last times */

    if (session == NULL)
        sim_fail("no memory");
    fiber_sleep(random_skewed(STREAM_WORK, 1, NS_PER_MS));
    while (commands_left > 0) {
        /* Handshakes by the thousand, while there is no disk, would take all of the seed's time. */
        uint64_t pause_ns = refused < PATIENT_AFTER ? 100 * NS_PER_MS : 3 * NS_PER_S;

        if (session_open(session, number, random_chance(STREAM_WORK, 500))) {
            refused = 0;
            work(session);
        } else {
            refused++;
            fiber_sleep(random_skewed(STREAM_WORK, NS_PER_MS, pause_ns));
        }
    }
    free(session);
    running--;
    server_count_answer();
    return NULL;
}

void clients_start(void)
{
    region_bytes = options.region_kib * 1024;
    uint64_t desert_bytes = volumes_desert_bytes(), bytes = volumes_export_bytes() - desert_bytes;
    if (region_bytes > bytes)
        region_bytes = bytes;
    region_start_bytes =
        desert_bytes + random_below(STREAM_WORK, (bytes - region_bytes) / 4096 + 1) * 4096;
    commands_left = options.commands;
    running = (unsigned)options.clients;
    for (unsigned i = 0; i < options.clients; i++)
        fibers[i] = fiber_start("client", HOST_WORLD, client, (void *)(uintptr_t)(i + 1));
}

void clients_end(void)
{
    for (unsigned i = 0; i < options.clients; i++)
        (void)fiber_join(fibers[i]);
}

unsigned clients_running(void)
{
    return running;
}

void client_verify(void)
{
    struct session *session = malloc(sizeof(*session));
    uint64_t at = region_start_bytes, end = at + region_bytes;
    unsigned tries = 0;

    if (session == NULL)
        sim_fail("no memory");
    while (!session_open(session, SESSION_VERIFIER, true)) { /* the place of one who has left */
        if (options.places == 0 || ++tries == VERIFIER_TRIES)
            sim_fail("the client that verifies can't connect");
        fiber_sleep(NS_PER_S);
    }
    while (at < end) {
        uint64_t bytes = end - at < VERIFY_BYTES ? end - at : VERIFY_BYTES;
        struct nbd_request request = { .command = NBD_CMD_READ,
                                       .offset_bytes = at,
                                       .length_bytes = (uint32_t)bytes };

        if (!session_send(session, &request) || !session_wait(session, 4))
            sim_fail("the client that verifies has lost its connection");
        at += bytes;
    }
    if (!session_wait(session, 0))
        sim_fail("the client that verifies has lost its connection");
    session_close(session, SESSION_DISC);
    free(session);
}
