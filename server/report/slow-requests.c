#include "server/report/slow-requests.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/board/board-owner.h"

#define MS_NS UINT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)
#define LOOKS_A_LIMIT 4u
#define LOOK_LEAST_NS (20 * MS_NS)
#define LOOK_MOST_NS (250 * MS_NS)
#define TEXT_BYTES 256u
#define WATCHED_MAX 64u /* at a time; of others it is counted that there were some */

/* One that was told and has not ended. */
struct watched {
    struct slow_request request; /* number 0: nobody is here */
    struct board_command seen;   /* as it was at the last look */
    bool is_seen;                /* in this look */
    bool untold;                 /* there were too many in that second */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of `kept`: held for a copy */
static struct slow_request kept[SLOW_REQUESTS_KEPT];      /* by number */
static struct watched watched[WATCHED_MAX];
static uint64_t numbers;   /* given so far */
static uint64_t second_ns; /* that began then has: */
static unsigned told, untold;

/* ---- whose fault ---- */

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void split(struct slow_request *out, const struct board_command *command, uint64_t now_ns)
{
    out->age_ns = since(now_ns, command->start_ns);
    out->throttled_ns = command->phase == BOARD_THROTTLED ? out->age_ns : command->throttled_ns;
    out->backend_ns = command->phase == BOARD_BACKEND ? since(now_ns, command->backend_since_ns)
                                                      : command->backend_ns;
    out->throttled_ns = least(out->throttled_ns, out->age_ns);
    out->backend_ns = least(out->backend_ns, out->age_ns - out->throttled_ns);
    out->client_ns = out->age_ns - out->throttled_ns - out->backend_ns;
}

/* What so many bytes take on average in this export. */
static uint64_t crypto_of(const struct board *board, const struct board_command *command)
{
    static struct board_figures figures;
    const struct board_crypto *crypto = &figures.crypto[command->op == BOARD_WRITE];
    bool moves_data = command->op == BOARD_READ || command->op == BOARD_WRITE;

    if (!moves_data || !board_sum_export(board, command->export_place, &figures) ||
        crypto->bytes == 0)
        return 0;
    return (uint64_t)((double)crypto->ns / (double)crypto->bytes * (double)command->length_bytes);
}

/* ---- what is told ---- */

static bool may_tell(uint64_t now_ns)
{
    if (since(now_ns, second_ns) >= SECOND_NS) {
        if (untold > 0)
            log_warning("%u more slow requests than these were not told one by one: nbdcrypt ctl "
                        "requests --slow has the last of them",
                        untold);
        second_ns = now_ns;
        told = untold = 0;
    }
    if (told < SLOW_REQUESTS_TOLD_A_SECOND) {
        told++;
        return true;
    }
    untold++;
    return false;
}

static void say(const struct slow_request *request, char text[TEXT_BYTES])
{
    snprintf(text, TEXT_BYTES,
             "%llu ms%s (throttled %llu, backend %llu, crypto %llu, waiting for the client %llu)",
             (unsigned long long)(request->age_ns / MS_NS), request->ended ? "" : " so far",
             (unsigned long long)(request->throttled_ns / MS_NS),
             (unsigned long long)(since(request->backend_ns, request->crypto_ns) / MS_NS),
             (unsigned long long)(request->crypto_ns / MS_NS),
             (unsigned long long)(request->client_ns / MS_NS));
}

static void tell_followers(const struct slow_request *request, const char *text)
{
    char reason[TEXT_BYTES + 64];

    snprintf(reason, sizeof reason, "%s %llu+%llu: %s", board_op_name(request->op),
             (unsigned long long)request->offset_bytes, (unsigned long long)request->length_bytes,
             text);
    EVENT(.type = "slow-request", .export = request->export, .peer = request->peer,
          .client = request->client, .reason = reason);
}

static void tell(const struct slow_request *request)
{
    char text[TEXT_BYTES];
    const struct log_about about = { .id = LOG_ID_SLOW_REQUEST,
                                     .peer = request->peer,
                                     .client = request->client,
                                     .export = request->export,
                                     .operation = board_op_name(request->op),
                                     .offset_bytes = request->offset_bytes,
                                     .length_bytes = request->length_bytes,
                                     .duration_us = request->age_ns / 1000 };

    say(request, text);
    log_write_about(LOG_WARNING, about, "export '%s': slow %s %llu+%llu of %s: %s", request->export,
                    board_op_name(request->op), (unsigned long long)request->offset_bytes,
                    (unsigned long long)request->length_bytes, request->peer, text);
    tell_followers(request, text);
}

static void keep(const struct slow_request *request)
{
    kept[request->number % SLOW_REQUESTS_KEPT] = *request;
}

/* ---- looks ---- */

static bool is_same(const struct watched *one, const struct board_command *command)
{
    return one->request.number != 0 && one->seen.connection == command->connection &&
           one->seen.start_ns == command->start_ns && one->seen.op == command->op &&
           one->seen.offset_bytes == command->offset_bytes &&
           one->seen.length_bytes == command->length_bytes;
}

/* The place of that request, or a free one; NULL: there is none. */
static struct watched *place_of(const struct board_command *command)
{
    struct watched *free = NULL;

    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        if (is_same(&watched[i], command))
            return &watched[i];
        if (watched[i].request.number == 0)
            free = &watched[i];
    }
    return free;
}

static void describe(struct slow_request *out, const struct board *board,
                     const struct board_command *command)
{
    struct board_connection connection = { .peer = "a client that has gone" };
    struct board_export export = { .name = "" };

    (void)board_read_connection(board, command->connection, &connection);
    (void)board_read_export(board, command->export_id, &export);
    board_export_was_slow(board, export.place);
    *out = (struct slow_request){ .number = ++numbers,
                                  .client = command->connection,
                                  .export_id = command->export_id,
                                  .op = command->op,
                                  .offset_bytes = command->offset_bytes,
                                  .length_bytes = command->length_bytes,
                                  .start_ns = command->start_ns,
                                  .crypto_ns = crypto_of(board, command) };
    memcpy(out->peer, connection.peer, sizeof out->peer);
    memcpy(out->export, export.name, sizeof out->export);
}

static void look_at(const struct board *board, const struct board_command *command, uint64_t now_ns)
{
    struct watched *one = place_of(command);

    if (one == NULL) {
        untold++;
        return;
    }
    bool is_new = one->request.number == 0;
    if (is_new)
        describe(&one->request, board, command);
    one->seen = *command;
    one->is_seen = true;
    split(&one->request, command, now_ns);
    keep(&one->request);
    if (is_new)
        one->untold = !may_tell(now_ns);
    if (is_new && !one->untold)
        tell(&one->request);
}

/* It is there no more: since the last look it went on as it was then. */
static void end(struct watched *one, uint64_t now_ns)
{
    split(&one->request, &one->seen, now_ns);
    one->request.ended = true;
    keep(&one->request);
    if (!one->untold)
        tell(&one->request);
    one->request.number = 0;
}

/* False: one of them kept changing, and which it is is not known. */
static bool walk(const struct board *board, uint64_t now_ns)
{
    struct board_command command;
    board_cursor cursor = 0;
    bool all = true;

    while (board_next_command(board, &cursor, &command)) {
        all &= !command.torn;
        if (!command.torn && command.slow_ns > 0 &&
            since(now_ns, command.start_ns) >= command.slow_ns)
            look_at(board, &command, now_ns);
    }
    return all;
}

/* Who reads is not waited for: the next look will do. */
void slow_requests_look(const struct board *board, uint64_t now_ns)
{
    if (slow_requests_every_ns(board) == 0 || pthread_mutex_trylock(&mutex) != 0)
        return;
    for (unsigned i = 0; i < WATCHED_MAX; i++)
        watched[i].is_seen = false;
    bool all = walk(board, now_ns);
    for (unsigned i = 0; all && i < WATCHED_MAX; i++)
        if (watched[i].request.number != 0 && !watched[i].is_seen)
            end(&watched[i], now_ns);
    pthread_mutex_unlock(&mutex);
}

uint64_t slow_requests_every_ns(const struct board *board)
{
    uint64_t every_ns = board_slow_ns(board) / LOOKS_A_LIMIT;

    if (every_ns == 0)
        return 0;
    return every_ns < LOOK_LEAST_NS ? LOOK_LEAST_NS : least(every_ns, LOOK_MOST_NS);
}

unsigned slow_requests_read(struct slow_request out[SLOW_REQUESTS_KEPT])
{
    unsigned count = 0;

    pthread_mutex_lock(&mutex);
    for (uint64_t i = 1; i <= SLOW_REQUESTS_KEPT; i++) {
        const struct slow_request *one = &kept[(numbers + i) % SLOW_REQUESTS_KEPT];

        if (one->number != 0)
            out[count++] = *one;
    }
    pthread_mutex_unlock(&mutex);
    return count;
}
