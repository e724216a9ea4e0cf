#include "bench/history-run.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "bench/history.h"
#include "bench/random.h"
#include "server/client/channel.h"
#include "server/client/client-connect.h"
#include "server/client/client-handshake.h"
#include "server/nbd/nbd-wire.h"

#define CONNECTIONS_MAX 64u
#define DEPTH_MAX 16u
#define AREA_BYTES_DEFAULT (8u << 20)
#define SENT_BYTES_MAX (256u << 10) /* together, so that nobody waits for who waits for him */
#define FLUSH_PERCENT 2u
#define FUA_PERCENT 10u
#define WRITE_PERCENT_DEFAULT 40u
#define PAUSE_US 20000u
#define READ_BACK_BYTES (64u << 10)

struct run {
    const struct bench_options *options;
    const struct nbd_uri *uri;
    struct history *history;
    struct export_info info;
    uint64_t offset_bytes, length_bytes, end_ms;
    uint32_t block_bytes; /* lengths and offsets are multiples of it */
    unsigned write_percent;
    _Atomic uint64_t commands, errors;
    atomic_bool failed;
};

struct command {
    struct nbd_request request;
    uint64_t number; /* of a change */
    uint64_t sent;   /* of a read, or a FLUSH */
    bool answered;
};

struct client {
    struct run *run;
    pthread_t thread;
    struct random random;
    struct channel channel; /* fd -1: there is none */
    struct history_connection connection;
    uint64_t cookies;
    struct command commands[DEPTH_MAX];
    unsigned count;
    uint8_t *buffer; /* SENT_BYTES_MAX and the headers */
    struct error reason;
};

/* ---- connections ---- */

static void disconnect(struct client *client)
{
    if (client->channel.fd >= 0)
        close(client->channel.fd);
    client->channel.fd = -1;
}

static int connect_once(struct client *client, struct export_info *info, struct error *err)
{
    const struct run *run = client->run;
    const struct client_wishes wishes = { .export_name = run->uri->export_name };

    client->channel =
        (struct channel){ .fd = -1,
                          .end_ms = channel_clock_ms() + (uint64_t)run->options->timeout_s * 1000 };
    client->connection = (struct history_connection){
        .made = run->history != NULL ? history_moment(run->history) : 0,
    };
    int result = client_connect(&client->channel, run->uri, err);
    if (result == 0)
        result = client_handshake(info, &client->channel, &wishes, err);
    if (result < 0)
        disconnect(client);
    return result;
}

/* Until it works, for as long as a server may be away. */
static int connect_again(struct client *client)
{
    struct run *run = client->run;
    uint64_t end_ms = channel_clock_ms() + (uint64_t)run->options->timeout_s * 1000;
    struct export_info info = { 0 };

    while (connect_once(client, &info, &client->reason) < 0) {
        if (channel_clock_ms() > end_ms || atomic_load(&run->failed))
            return -ETIMEDOUT;
        usleep(PAUSE_US);
    }
    if (info.size_bytes != run->info.size_bytes)
        return error_set(&client->reason, -EMEDIUMTYPE,
                         "the export had %" PRIu64 " bytes, and now has %" PRIu64,
                         run->info.size_bytes, info.size_bytes);
    return 0;
}

/* ---- commands ---- */

static bool can(const struct run *run, unsigned flag)
{
    return (run->info.flags & flag) != 0;
}

static uint16_t draw_kind(struct client *client)
{
    const struct run *run = client->run;
    unsigned drawn = (unsigned)random_below(&client->random, 100);

    if (can(run, NBD_FLAG_SEND_FLUSH) && random_below(&client->random, 100) < FLUSH_PERCENT)
        return NBD_CMD_FLUSH;
    if (drawn < run->write_percent)
        return NBD_CMD_WRITE;
    if (drawn < run->write_percent + run->options->zero_percent)
        return NBD_CMD_WRITE_ZEROES;
    if (drawn < run->write_percent + run->options->zero_percent + run->options->trim_percent)
        return NBD_CMD_TRIM;
    return NBD_CMD_READ;
}

static void draw_range(struct client *client, struct nbd_request *request)
{
    const struct run *run = client->run;
    uint32_t most = run->options->block_max_bytes / run->block_bytes;
    uint64_t blocks = run->length_bytes / run->block_bytes;
    uint64_t count = 1 + random_below(&client->random, most < blocks ? most : blocks);

    request->length_bytes = (uint32_t)count * run->block_bytes;
    request->offset_bytes =
        run->offset_bytes + random_below(&client->random, blocks - count + 1) * run->block_bytes;
}

static void note(struct client *client, struct command *command)
{
    static const enum history_kind kinds[] = {
        [NBD_CMD_WRITE] = HISTORY_WRITE,
        [NBD_CMD_TRIM] = HISTORY_TRIM,
        [NBD_CMD_WRITE_ZEROES] = HISTORY_ZERO,
    };
    struct history *history = client->run->history;
    const struct nbd_request *request = &command->request;

    if (request->command == NBD_CMD_READ)
        command->sent = history_read_begins(history);
    else if (request->command == NBD_CMD_FLUSH)
        command->sent = history_moment(history);
    else
        command->number =
            history_change_begins(history, kinds[request->command], request->offset_bytes,
                                  (uint32_t)request->length_bytes);
}

/* Into the buffer, at `at`: how many bytes. */
static uint32_t encode(struct client *client, struct command *command, uint8_t *at)
{
    const struct nbd_request *request = &command->request;

    nbd_encode_request(at, request);
    if (request->command != NBD_CMD_WRITE)
        return NBD_REQUEST_BYTES;
    history_fill(client->run->history, command->number, at + NBD_REQUEST_BYTES,
                 request->offset_bytes, (uint32_t)request->length_bytes);
    return NBD_REQUEST_BYTES + (uint32_t)request->length_bytes;
}

static uint32_t add_command(struct client *client, const struct nbd_request *request,
                            uint32_t used_bytes)
{
    struct command *command = &client->commands[client->count++];

    *command = (struct command){ .request = *request };
    command->request.cookie = ++client->cookies;
    note(client, command);
    return used_bytes + encode(client, command, client->buffer + used_bytes);
}

static void draw_command(struct client *client, struct nbd_request *request)
{
    *request = (struct nbd_request){ .command = draw_kind(client) };
    if (request->command != NBD_CMD_FLUSH)
        draw_range(client, request);
    if (can(client->run, NBD_FLAG_SEND_FUA) && random_below(&client->random, 100) < FUA_PERCENT &&
        (request->command == NBD_CMD_WRITE || request->command == NBD_CMD_WRITE_ZEROES))
        request->flags = NBD_CMD_FLAG_FUA;
}

/* Some that leave together: how many bytes. */
static uint32_t draw_commands(struct client *client)
{
    unsigned depth =
        client->run->options->depth < DEPTH_MAX ? client->run->options->depth : DEPTH_MAX;
    unsigned count = 1 + (unsigned)random_below(&client->random, depth);
    uint32_t used_bytes = 0, moved_bytes = 0;

    client->count = 0;
    while (client->count < count) {
        struct nbd_request request;

        draw_command(client, &request);
        moved_bytes += (uint32_t)request.length_bytes;
        if (moved_bytes > SENT_BYTES_MAX)
            break;
        used_bytes = add_command(client, &request, used_bytes);
    }
    return used_bytes;
}

/* ---- answers ---- */

static void judge(struct client *client, struct command *command, uint32_t error,
                  const uint8_t *data)
{
    struct history *history = client->run->history;
    const struct nbd_request *request = &command->request;

    command->answered = true;
    atomic_fetch_add(&client->run->commands, 1);
    if (error != 0)
        atomic_fetch_add(&client->run->errors, 1);
    if (request->command == NBD_CMD_READ)
        history_read_ends(history, command->sent, error == 0 ? data : NULL, request->offset_bytes,
                          (uint32_t)request->length_bytes);
    else if (request->command == NBD_CMD_FLUSH)
        history_flushed(history, command->sent, error == 0);
    else
        history_change_answered(history, command->number, error == 0,
                                (request->flags & NBD_CMD_FLAG_FUA) != 0, &client->connection);
}

static struct command *find(struct client *client, uint64_t cookie)
{
    for (unsigned i = 0; i < client->count; i++)
        if (client->commands[i].request.cookie == cookie && !client->commands[i].answered)
            return &client->commands[i];
    return NULL;
}

static int receive_answer(struct client *client)
{
    uint8_t reply[NBD_SIMPLE_REPLY_BYTES];
    uint32_t error;
    uint64_t cookie;
    int result = channel_receive(&client->channel, reply, sizeof reply, &client->reason);

    if (result < 0)
        return result;
    if (!nbd_decode_simple_reply(reply, &error, &cookie))
        return error_set(&client->reason, -EPROTO, "the server sends something that is no reply");
    struct command *command = find(client, cookie);
    if (command == NULL)
        return error_set(&client->reason, -EPROTO,
                         "the server answers a command that was not sent, or twice");
    if (command->request.command == NBD_CMD_READ && error == 0) {
        result = channel_receive(&client->channel, client->buffer, command->request.length_bytes,
                                 &client->reason);
        if (result < 0)
            return result;
    }
    judge(client, command, error, client->buffer);
    return 0;
}

/* What has no answer may have happened, or not. */
static void give_up_unanswered(struct client *client)
{
    for (unsigned i = 0; i < client->count; i++) {
        struct command *command = &client->commands[i];

        if (!command->answered && command->request.command == NBD_CMD_READ)
            history_read_ends(client->run->history, command->sent, NULL, 0, 0);
    }
    client->count = 0;
}

/* The commands are in the buffer. */
static int exchange(struct client *client, uint32_t bytes)
{
    client->channel.end_ms = channel_clock_ms() + (uint64_t)client->run->options->timeout_s * 1000;
    int result = channel_send(&client->channel, client->buffer, bytes, &client->reason);

    for (unsigned i = 0; result == 0 && i < client->count; i++)
        result = receive_answer(client);
    if (result == 0)
        return 0;
    give_up_unanswered(client);
    history_lost(client->run->history);
    disconnect(client);
    return result == -EPROTO || result == -ETIMEDOUT ? result : 0;
}

/* ---- a run ---- */

static int work(struct client *client)
{
    struct run *run = client->run;
    int result = 0;

    while (result == 0 && !atomic_load(&run->failed) && channel_clock_ms() < run->end_ms) {
        if (client->channel.fd < 0)
            result = connect_again(client);
        if (result == 0)
            result = exchange(client, draw_commands(client));
    }
    return result;
}

static void *client_thread(void *context)
{
    struct client *client = context;

    if (work(client) < 0)
        atomic_store(&client->run->failed, true);
    else
        client->reason.text[0] = '\0';
    return NULL;
}

/* One command for each piece of the area, in order. */
static int go_over(struct client *client, uint16_t command)
{
    struct run *run = client->run;
    uint64_t end = run->offset_bytes + run->length_bytes;

    for (uint64_t at = run->offset_bytes; at < end;) {
        struct nbd_request request = { .command = command, .offset_bytes = at };

        request.length_bytes = end - at < READ_BACK_BYTES ? (uint32_t)(end - at) : READ_BACK_BYTES;
        if (client->channel.fd < 0 && connect_again(client) < 0)
            return -EIO;
        client->count = 0;
        int result = exchange(client, add_command(client, &request, 0));
        if (result < 0)
            return result;
        if (client->channel.fd >= 0)
            at += request.length_bytes;
    }
    return 0;
}

static int flush(struct client *client)
{
    const struct nbd_request request = { .command = NBD_CMD_FLUSH };

    if (!can(client->run, NBD_FLAG_SEND_FLUSH))
        return 0;
    client->count = 0;
    return exchange(client, add_command(client, &request, 0));
}

static unsigned connections_of(const struct run *run)
{
    unsigned wanted = run->options->connections;

    if (!can(run, NBD_FLAG_CAN_MULTI_CONN))
        return 1;
    return wanted < CONNECTIONS_MAX ? wanted : CONNECTIONS_MAX;
}

static int run_clients(struct run *run, struct client *clients, unsigned count, struct error *err)
{
    unsigned started = 0;
    int result = 0;

    run->end_ms = channel_clock_ms() + run->options->time_ms;
    for (; started < count && result == 0; started++) {
        result = -pthread_create(&clients[started].thread, NULL, client_thread, &clients[started]);
        if (result < 0) {
            atomic_store(&run->failed, true);
            (void)error_set(err, result, "a thread could not be made: %s", strerror(-result));
            break;
        }
    }
    for (unsigned i = 0; i < started; i++)
        pthread_join(clients[i].thread, NULL);
    for (unsigned i = 0; i < started && result == 0 && atomic_load(&run->failed); i++)
        if (clients[i].reason.text[0] != '\0')
            result = error_set(err, -EIO, "connection %u: %s", i + 1, clients[i].reason.text);
    return result;
}

static int report(struct run *run, unsigned connections, struct error *err)
{
    const struct history_counts counts = history_counts(run->history);

    printf("%" PRIu64 " commands on %u connections, %" PRIu64
           " answered with an error; connections "
           "lost: %" PRIu64 "\n%" PRIu64 " cells of %u bytes read, %" PRIu64
           " of them wrong, %" PRIu64 " a mixture, which is allowed while they are written\n",
           atomic_load(&run->commands), connections, atomic_load(&run->errors), counts.losses,
           counts.cells_checked, CELL_BYTES, counts.cells_faulty, counts.cells_mixed);
    if (counts.cells_faulty > 0)
        return error_set(err, -EIO, "the server has answered %" PRIu64 " reads of a cell wrongly",
                         counts.cells_faulty);
    return 0;
}

/* What can't be asked of this server. */
static int check(struct run *run, struct error *err)
{
    const struct bench_options *options = run->options;
    uint64_t size_bytes = options->size_bytes != 0 ? options->size_bytes : AREA_BYTES_DEFAULT;

    if (can(run, NBD_FLAG_READ_ONLY))
        return error_set(err, -EINVAL, "the export is read-only");
    if ((options->trim_percent > 0 && !can(run, NBD_FLAG_SEND_TRIM)) ||
        (options->zero_percent > 0 && !can(run, NBD_FLAG_SEND_WRITE_ZEROES)))
        return error_set(err, -EINVAL, "the server does not offer what --trim or --zero ask for");
    run->block_bytes =
        run->info.block_min_bytes > CELL_BYTES ? run->info.block_min_bytes : CELL_BYTES;
    if (options->offset_bytes % run->block_bytes != 0 ||
        options->offset_bytes >= run->info.size_bytes)
        return error_set(err, -EINVAL, "--offset: not in the export, or no multiple of %u",
                         run->block_bytes);
    run->offset_bytes = options->offset_bytes;
    if (size_bytes > run->info.size_bytes - run->offset_bytes)
        size_bytes = run->info.size_bytes - run->offset_bytes;
    run->length_bytes = size_bytes / run->block_bytes * run->block_bytes;
    if (run->length_bytes == 0 || options->block_max_bytes < run->block_bytes ||
        options->block_max_bytes > READ_BACK_BYTES)
        return error_set(err, -EINVAL, "--size or --block: too small, or --block above %u",
                         READ_BACK_BYTES);
    run->write_percent =
        options->write_percent > 0 ? options->write_percent : WRITE_PERCENT_DEFAULT;
    return 0;
}

static uint64_t seed_of(const struct bench_options *options)
{
    uint64_t seed = options->seed;

    if (seed == 0 && getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint64_t)getpid();
    return seed;
}

/* All is written first, so that each cell is known; and read at the end. */
static int try_server(struct run *run, struct client *clients, struct error *err)
{
    unsigned count = connections_of(run);
    int result = go_over(&clients[0], NBD_CMD_WRITE);

    if (result == 0)
        result = flush(&clients[0]);
    if (result < 0)
        return error_set(err, result, "before anything else was tried: %s", clients[0].reason.text);
    result = run_clients(run, clients, count, err);
    if (result < 0)
        return result;
    result = go_over(&clients[0], NBD_CMD_READ);
    if (result < 0)
        return error_set(err, result, "at the end: %s", clients[0].reason.text);
    return report(run, count, err);
}

static int prepare(struct client *clients, struct run *run, uint64_t seed)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        clients[i].run = run;
        clients[i].random.state = random_mix(seed + i);
        clients[i].channel.fd = -1;
        clients[i].buffer = malloc(SENT_BYTES_MAX + DEPTH_MAX * NBD_REQUEST_BYTES);
        if (clients[i].buffer == NULL)
            return -ENOMEM;
    }
    return 0;
}

int history_run(const struct bench_options *options, const struct nbd_uri *uri, struct error *err)
{
    struct client *clients = calloc(CONNECTIONS_MAX, sizeof *clients);
    struct run run = { .options = options, .uri = uri };
    uint64_t seed = seed_of(options);
    int result = clients == NULL ? -ENOMEM : prepare(clients, &run, seed);

    if (result < 0)
        result = error_no_memory(err, "for the clients");
    if (result == 0)
        result = connect_once(&clients[0], &run.info, err);
    if (result == 0)
        result = check(&run, err);
    if (result == 0)
        result = history_create(&run.history, seed, run.offset_bytes, run.length_bytes, err);
    if (result == 0) {
        clients[0].connection.made = history_moment(run.history);
        result = try_server(&run, clients, err);
    }
    for (unsigned i = 0; clients != NULL && i < CONNECTIONS_MAX; i++) {
        disconnect(&clients[i]);
        free(clients[i].buffer);
    }
    history_free(run.history);
    free(clients);
    return result;
}
