/* The ledger in a small world that is driven at random: a server that dies and comes back, two
 * connections to it whose loss is noticed late, commands of one or two parts, FLUSHes, and clients
 * that vanish and come back.
 *
 * Whenever a FLUSH succeeds, each command that had been answered, to whomever, when that FLUSH was
 * received is durable, or the client was told: a FLUSH of it that had been received after that
 * answer failed.  Only what was answered while the client was away does not count. */
#include "plugins/remote/remote-ledger.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "tests/support/check.h"

#define CLIENTS 3
#define COMMANDS 12
#define PARTS 2
#define FLUSHES 6
#define WORLDS 100000
#define EVENTS 150

enum step { IDLE, SENT, EXECUTED, DONE };

struct line { /* the primary, lines[0], or another connection */
    bool connected, dialing;
    unsigned number;     /* of the connection, over time */
    unsigned life;       /* of the server at its other end */
    unsigned generation; /* when it was begun */
};

struct part {
    enum step step;
    unsigned line, number; /* which connection it was sent on */
    unsigned life;         /* of the server that has it */
    bool durable;
    uint32_t epoch;
};

struct command {
    bool used, answered;
    unsigned client, parts;
    unsigned answered_at;
    unsigned seen_by; /* bit of each client that was there then */
    struct part part[PARTS];
};

struct flush {
    bool used, arrived;
    unsigned client, received_at, number;
    enum step step;
    uint64_t mark;
};

struct client {
    struct flusher flusher;
    bool here, going;
    unsigned told_at, surely_told_at; /* when the last FLUSH that failed was received */
};

static struct world {
    struct remote_ledger ledger;
    bool alive, harmed;
    unsigned life, now, refused;
    struct line lines[2];
    struct command commands[COMMANDS];
    struct flush flushes[FLUSHES];
    struct client clients[CLIENTS];
} world;

static uint64_t seed;

static unsigned chance(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % below;
}

/* ---- the server ---- */

static bool reaches_server(const struct line *line)
{
    return line->connected && world.alive && line->life == world.life;
}

static void server_dies_or_starts(void)
{
    world.alive = !world.alive;
    world.life += world.alive;
    world.harmed = true;
}

static void server_executes(struct part *part)
{
    const struct line *line = &world.lines[part->line];

    if (part->step != SENT || part->number != line->number || !reaches_server(line))
        return;
    part->step = EXECUTED;
    part->life = world.life;
}

static void server_flushes(struct flush *flush)
{
    if (!flush->used || flush->step != SENT || flush->number != world.lines[0].number ||
        !reaches_server(&world.lines[0]))
        return;
    flush->step = EXECUTED;
    for (unsigned i = 0; i < COMMANDS * PARTS; i++) {
        struct part *part = &world.commands[i / PARTS].part[i % PARTS];

        if (part->step >= EXECUTED && part->life == world.life)
            part->durable = true;
    }
}

/* ---- FLUSH ---- */

static void check_promise(const struct flush *flush)
{
    const struct client *client = &world.clients[flush->client];

    for (unsigned i = 0; i < COMMANDS; i++) {
        const struct command *command = &world.commands[i];

        if (!command->answered || command->answered_at >= flush->received_at ||
            client->told_at > command->answered_at || !(command->seen_by >> flush->client & 1))
            continue;
        for (unsigned k = 0; k < command->parts; k++)
            EXPECT(command->part[k].durable);
    }
}

static void answer_flush(struct flush *flush, int error)
{
    struct client *client = &world.clients[flush->client];

    flush->used = false;
    if (error != 0) {
        world.refused++;
        remote_ledger_flush_failed(&client->flusher, flush->mark);
        if (!client->going && flush->received_at > client->told_at)
            client->told_at = flush->received_at;
    } else if (!client->going) {
        check_promise(flush);
    }
}

static uint64_t told_of(const struct flush *flush)
{
    return atomic_load(&world.clients[flush->client].flusher.told);
}

/* It arrives, or waits no more. */
static void flush_goes_on(struct flush *flush)
{
    const struct line *primary = &world.lines[0];

    if (!flush->used || !flush->arrived || flush->step != IDLE)
        return;
    if (remote_ledger_flush_refused(&world.ledger, told_of(flush))) {
        answer_flush(flush, EIO);
    } else if (primary->connected) {
        flush->step = SENT;
        flush->number = primary->number;
    } else if (remote_ledger_flush_is_void(&world.ledger, flush->mark, false)) {
        answer_flush(flush, 0);
    }
}

static void flush_is_answered(struct flush *flush)
{
    if (flush->used && flush->step == EXECUTED && world.lines[0].connected &&
        flush->number == world.lines[0].number)
        answer_flush(flush, remote_ledger_flush_done(&world.ledger, flush->mark, told_of(flush)));
}

/* ---- connections ---- */

static void lose(unsigned line)
{
    struct line *lost = &world.lines[line];

    lost->connected = false;
    world.harmed = true;
    for (unsigned i = 0; i < COMMANDS * PARTS; i++) {
        struct part *part = &world.commands[i / PARTS].part[i % PARTS];

        if (part->line == line && part->step != DONE)
            part->step = IDLE;
    }
    if (line != 0) {
        remote_ledger_connection_lost(&world.ledger, lost->generation);
        return;
    }
    remote_ledger_primary_lost(&world.ledger);
    for (unsigned i = 0; i < FLUSHES; i++) {
        world.flushes[i].step = IDLE;
        flush_goes_on(&world.flushes[i]);
    }
}

static void connect_line(unsigned number)
{
    struct line *line = &world.lines[number];

    if (!line->dialing) {
        line->generation = remote_ledger_generation(&world.ledger);
        line->dialing = number == 0 || remote_ledger_has_primary(&world.ledger);
        return;
    }
    if (!world.alive)
        return;
    line->dialing = false;
    line->connected = true;
    line->number++;
    line->life = world.life;
    if (number == 0) {
        remote_ledger_primary_connected(&world.ledger);
        for (unsigned i = 0; i < FLUSHES; i++)
            flush_goes_on(&world.flushes[i]);
    }
}

/* As where each connection has a process of its own, whose memory is gone. */
static void server_forgets(unsigned line)
{
    for (unsigned i = 0; i < COMMANDS * PARTS; i++) {
        struct part *part = &world.commands[i / PARTS].part[i % PARTS];

        if (part->line == line && part->number == world.lines[line].number)
            part->life = UINT_MAX;
    }
}

/* Its end is noticed; rarely it breaks though the server lives. */
static void line_event(unsigned number)
{
    const struct line *line = &world.lines[number];
    bool stale = number != 0 && !remote_ledger_is_current(&world.ledger, line->generation);

    if (!line->connected) {
        connect_line(number);
    } else if (!reaches_server(line) || stale) {
        lose(number);
    } else if (chance(20) == 0) {
        server_forgets(number);
        lose(number);
    }
}

/* ---- commands ---- */

static void part_is_answered(struct part *part)
{
    const struct line *line = &world.lines[part->line];

    if (part->step != EXECUTED || !line->connected || part->number != line->number)
        return;
    uint32_t epoch = remote_ledger_epoch(&world.ledger);
    if (part->line != 0 && !remote_ledger_is_current(&world.ledger, line->generation)) {
        lose(part->line);
        return;
    }
    part->step = DONE;
    part->epoch = epoch;
}

static void part_event(struct part *part)
{
    const struct line *line = &world.lines[part->line];

    switch (part->step) {
    case IDLE:
        if (line->connected) {
            part->step = SENT;
            part->number = line->number;
        }
        break;
    case SENT:
        server_executes(part);
        break;
    case EXECUTED:
        part_is_answered(part);
        break;
    case DONE:
        break;
    }
}

static void command_is_answered(struct command *command)
{
    uint32_t oldest = UINT32_MAX;

    for (unsigned i = 0; i < command->parts; i++) {
        if (command->part[i].step != DONE)
            return;
        if (command->part[i].epoch < oldest)
            oldest = command->part[i].epoch;
    }
    if (!world.clients[command->client].here) { /* nobody is there to be answered */
        command->used = false;
        return;
    }
    remote_ledger_answered(&world.ledger, 1, oldest);
    command->answered = true;
    command->answered_at = world.now;
    for (unsigned i = 0; i < CLIENTS; i++)
        command->seen_by |= (unsigned)world.clients[i].here << i;
}

static void command_event(struct command *command)
{
    if (!command->used) {
        unsigned client = chance(CLIENTS);

        if (world.clients[client].here) {
            *command =
                (struct command){ .used = true, .client = client, .parts = 1 + chance(PARTS) };
            for (unsigned i = 0; i < PARTS; i++)
                command->part[i].line = chance(2);
        }
    } else if (!command->answered) {
        part_event(&command->part[chance(command->parts)]);
        command_is_answered(command);
    }
}

/* ---- clients ---- */

static void flush_event(struct flush *flush)
{
    if (!flush->used) {
        unsigned number = chance(CLIENTS);
        struct client *client = &world.clients[number];

        if (!client->here)
            return;
        client->surely_told_at = client->told_at;
        *flush = (struct flush){
            .used = true,
            .client = number,
            .received_at = world.now,
            .mark = remote_ledger_flush_mark(&world.ledger, &client->flusher),
        };
    } else if (flush->step == IDLE) {
        flush->arrived = true;
        flush_goes_on(flush);
    } else if (flush->step == SENT) {
        server_flushes(flush);
    } else {
        flush_is_answered(flush);
    }
}

static void client_begins(struct client *client)
{
    client->flusher = (struct flusher){ 0 };
    remote_ledger_flusher_begin(&world.ledger, &client->flusher);
    client->here = true;
}

/* One at a time: who comes then is taken for it. */
static void client_event(unsigned number)
{
    struct client *client = &world.clients[number];
    bool busy = false, one_is_away = false;

    for (unsigned i = 0; i < FLUSHES; i++)
        busy |= world.flushes[i].used && world.flushes[i].client == number;
    for (unsigned i = 0; i < CLIENTS; i++)
        one_is_away |= !world.clients[i].here;
    if (client->here && !one_is_away) { /* it vanishes */
        client->here = false;
        client->going = true;
        client->told_at = client->surely_told_at;
    } else if (client->going && !busy) {
        client->going = false;
        remote_ledger_flusher_end(&world.ledger, &client->flusher, false);
    } else if (!client->here && !client->going) {
        client_begins(client);
    }
}

/* ---- all of it ---- */

static void one_event(bool with_losses, bool with_vanishing)
{
    unsigned event = chance(100);

    world.now++;
    if (event < 55)
        command_event(&world.commands[chance(COMMANDS)]);
    else if (event < 80)
        flush_event(&world.flushes[chance(FLUSHES)]);
    else if (event < 92 && (with_losses || !world.lines[event % 2].connected))
        line_event(event % 2);
    else if (event < 96 && with_losses)
        server_dies_or_starts();
    else if (event >= 96 && with_vanishing)
        client_event(chance(CLIENTS));
}

static void begin(uint64_t number)
{
    memset(&world, 0, sizeof world);
    seed = number * 0x9E3779B97F4A7C15u + 1;
    world.alive = true;
    world.lines[0].connected = true;
    for (unsigned i = 0; i < CLIENTS; i++)
        client_begins(&world.clients[i]);
}

/* Everything comes to an end; then a client is told once more at most. */
static void settle_down(void)
{
    if (!world.alive)
        server_dies_or_starts();
    for (unsigned i = 0; i < 4; i++)
        for (unsigned line = 0; line < 2; line++)
            if (!world.lines[line].connected)
                connect_line(line);
            else if (!reaches_server(&world.lines[line]))
                lose(line);
    for (unsigned i = 0; i < 8 * FLUSHES; i++)
        if (world.flushes[i % FLUSHES].used)
            flush_event(&world.flushes[i % FLUSHES]);
    for (unsigned i = 0; i < CLIENTS; i++) {
        unsigned refused_before = world.refused;

        for (unsigned n = 0; n < 3 && world.clients[i].here; n++) {
            uint64_t mark = remote_ledger_flush_mark(&world.ledger, &world.clients[i].flusher);
            struct flush flush = {
                .used = true, .arrived = true, .client = i, .received_at = ++world.now, .mark = mark
            };

            flush_goes_on(&flush);
            server_flushes(&flush);
            flush_is_answered(&flush);
            EXPECT(!flush.used);
        }
        EXPECT(world.refused <= refused_before + 1);
    }
}

static unsigned run(bool with_losses, bool with_vanishing)
{
    unsigned refused = 0;

    for (unsigned number = 1; number <= WORLDS; number++) {
        begin(number);
        for (unsigned i = 0; i < EVENTS; i++)
            one_event(with_losses, with_vanishing);
        if (with_losses && !with_vanishing)
            settle_down();
        EXPECT(world.harmed || world.refused == 0);
        refused += world.refused;
    }
    return refused;
}

static void losses(void)
{
    EXPECT(run(true, false) > WORLDS / 4);
}

static void losses_and_vanishing(void)
{
    EXPECT(run(true, true) > WORLDS / 4);
}

static void no_losses(void)
{
    EXPECT(run(false, true) == 0);
}

static const struct check checks[] = {
    { "a FLUSH that succeeds tells the truth, whatever was lost when", losses },
    { "even to a client that vanished and came back", losses_and_vanishing },
    { "no FLUSH fails when nothing was lost", no_losses },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
