#include "bench/history.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"

#define SENTENCES_MAX 10u
#define LIST_LONG 8u /* from here on it is looked for what can't be seen any more */

/* A moment of 0 is none. */
struct change {
    uint64_t begun, answered; /* with success */
    uint64_t connection;      /* when that was made */
    enum history_kind kind;
    bool fua, may_be_lost, for_good; /* whoever is alive */
};

/* What may be in a cell: numbers of changes.  0 is what was there before all. */
struct cell {
    uint64_t *numbers;
    uint32_t count, room;
};

struct history {
    pthread_mutex_t mutex;
    uint64_t seed, offset_bytes, length_bytes;
    uint64_t moment;
    struct change *changes; /* by number; the first is what was there before */
    uint64_t change_count, change_room;
    struct cell *cells;
    uint64_t reads[HISTORY_READS_MAX]; /* moments at which those that are under way were sent */
    unsigned read_count;
    uint64_t flushed; /* what was answered before it is durable, if it was not lost before */
    uint64_t lost;    /* when a connection was lost the last time */
    struct history_counts counts;
};

int history_create(struct history **out, uint64_t seed, uint64_t offset_bytes,
                   uint64_t length_bytes, struct error *err)
{
    struct history *history = calloc(1, sizeof *history);

    assert(offset_bytes % CELL_BYTES == 0 && length_bytes % CELL_BYTES == 0);
    if (history == NULL)
        return error_no_memory(err, "for a history");
    history->seed = seed;
    history->offset_bytes = offset_bytes;
    history->length_bytes = length_bytes;
    history->change_room = 1024;
    history->changes = calloc(history->change_room, sizeof *history->changes);
    history->cells = calloc(length_bytes / CELL_BYTES, sizeof *history->cells);
    pthread_mutex_init(&history->mutex, NULL);
    if (history->changes == NULL || history->cells == NULL) {
        history_free(history);
        return error_no_memory(err, "for a history");
    }
    history->change_count = 1;
    history->changes[0] =
        (struct change){ .answered = ++history->moment, .kind = HISTORY_TRIM, .fua = true };
    *out = history;
    return 0;
}

void history_free(struct history *history)
{
    if (history == NULL)
        return;
    for (uint64_t i = 0; history->cells != NULL && i < history->length_bytes / CELL_BYTES; i++)
        free(history->cells[i].numbers);
    free(history->cells);
    free(history->changes);
    pthread_mutex_destroy(&history->mutex);
    free(history);
}

struct history_counts history_counts(struct history *history)
{
    pthread_mutex_lock(&history->mutex);
    struct history_counts counts = history->counts;
    pthread_mutex_unlock(&history->mutex);
    return counts;
}

uint64_t history_moment(struct history *history)
{
    pthread_mutex_lock(&history->mutex);
    uint64_t moment = ++history->moment;
    pthread_mutex_unlock(&history->mutex);
    return moment;
}

/* Without memory there is no judgement. */
static void *grown(void *memory, uint64_t count, size_t each_bytes)
{
    memory = reallocarray(memory, count, each_bytes);
    if (memory == NULL) {
        log_error("not enough memory for the history: choose a shorter --time");
        exit(EXIT_FAILURE);
    }
    return memory;
}

/* ---- what may be in a cell ---- */

static bool is_durable(const struct history *history, const struct change *change)
{
    return change->answered != 0 && !change->may_be_lost &&
           (change->fua || change->answered < history->flushed);
}

/* Whether `change` is not there any more once `later` is. */
static bool comes_before(const struct change *change, const struct change *later)
{
    return change->answered != 0 && later->answered != 0 && change->answered < later->begun;
}

/* Who has replaced it for certain, when a read was sent at `sent`; 0: nobody. */
static uint64_t replaced_by(const struct history *history, const struct cell *cell,
                            const struct change *change, uint64_t sent)
{
    for (uint32_t i = 0; i < cell->count; i++) {
        const struct change *later = &history->changes[cell->numbers[i]];

        if (comes_before(change, later) && !later->may_be_lost && later->answered < sent)
            return cell->numbers[i];
    }
    return 0;
}

/* For any read to come, whatever is lost. */
static bool is_replaced_for_ever(const struct history *history, const struct cell *cell,
                                 const struct change *change, uint64_t oldest_read)
{
    for (uint32_t i = 0; i < cell->count; i++) {
        const struct change *later = &history->changes[cell->numbers[i]];

        if (comes_before(change, later) && is_durable(history, later) &&
            later->answered < oldest_read)
            return true;
    }
    return false;
}

static uint64_t oldest_read(const struct history *history)
{
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < history->read_count; i++)
        if (history->reads[i] < oldest)
            oldest = history->reads[i];
    return oldest;
}

static void forget_replaced(const struct history *history, struct cell *cell)
{
    uint64_t oldest = oldest_read(history);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < cell->count; i++)
        if (!is_replaced_for_ever(history, cell, &history->changes[cell->numbers[i]], oldest))
            cell->numbers[kept++] = cell->numbers[i];
    cell->count = kept;
}

static struct cell *cell_at(const struct history *history, uint64_t offset_bytes)
{
    return &history->cells[(offset_bytes - history->offset_bytes) / CELL_BYTES];
}

static void add_to_cell(const struct history *history, struct cell *cell, uint64_t number)
{
    if (cell->count == cell->room) {
        if (cell->count >= LIST_LONG)
            forget_replaced(history, cell);
        if (cell->count * 2 > cell->room || cell->room == 0) {
            cell->room = cell->room == 0 ? 4 : cell->room * 2;
            cell->numbers = grown(cell->numbers, cell->room, sizeof *cell->numbers);
        }
    }
    if (cell->count == 0)
        cell->numbers[cell->count++] = 0;
    cell->numbers[cell->count++] = number;
}

/* ---- changes ---- */

uint64_t history_change_begins(struct history *history, enum history_kind kind,
                               uint64_t offset_bytes, uint32_t length_bytes)
{
    pthread_mutex_lock(&history->mutex);
    uint64_t number = history->change_count++;
    if (history->change_count > history->change_room) {
        history->change_room *= 2;
        history->changes = grown(history->changes, history->change_room, sizeof *history->changes);
    }
    history->changes[number] = (struct change){ .begun = ++history->moment, .kind = kind };
    history->counts.changes++;
    for (uint64_t at = 0; at < length_bytes; at += CELL_BYTES)
        add_to_cell(history, cell_at(history, offset_bytes + at), number);
    pthread_mutex_unlock(&history->mutex);
    return number;
}

void history_fill(const struct history *history, uint64_t number, uint8_t *out,
                  uint64_t offset_bytes, uint32_t length_bytes)
{
    struct cell_label label = {
        .seed = history->seed,
        .number = number,
        .write_offset_bytes = offset_bytes,
        .write_length_bytes = length_bytes,
    };

    for (uint32_t at = 0; at < length_bytes; at += CELL_BYTES) {
        label.offset_bytes = offset_bytes + at;
        cell_encode(out + at, &label);
    }
}

/* Since the loss it has answered what was sent after it. */
static void is_alive(struct history *history, struct history_connection *connection, uint64_t sent)
{
    if (connection->made > history->lost || sent < history->lost ||
        connection->alive > history->lost)
        return;
    connection->alive = sent;
    for (uint64_t i = 1; i < history->change_count; i++)
        if (history->changes[i].connection == connection->made && !history->changes[i].for_good)
            history->changes[i].may_be_lost = false;
}

void history_change_answered(struct history *history, uint64_t number, bool success, bool fua,
                             struct history_connection *connection)
{
    pthread_mutex_lock(&history->mutex);
    struct change *change = &history->changes[number];
    is_alive(history, connection, change->begun);
    if (success) {
        change->answered = ++history->moment;
        change->connection = connection->made;
        change->fua = fua;
        /* The server that has said so may be gone since. */
        change->may_be_lost =
            !fua && connection->made < history->lost && change->begun < history->lost;
    }
    pthread_mutex_unlock(&history->mutex);
}

static void unless_durable_may_be_lost(struct history *history, bool for_good)
{
    for (uint64_t i = 1; i < history->change_count; i++) {
        struct change *change = &history->changes[i];

        if (change->answered == 0 || is_durable(history, change))
            continue;
        change->may_be_lost = true;
        change->for_good |= for_good;
    }
}

/* What a FLUSH that failed was to make durable may be gone, and no later one tells. */
void history_flushed(struct history *history, uint64_t sent, bool success)
{
    pthread_mutex_lock(&history->mutex);
    if (!success)
        unless_durable_may_be_lost(history, true);
    else if (sent > history->flushed)
        history->flushed = sent;
    pthread_mutex_unlock(&history->mutex);
}

void history_lost(struct history *history)
{
    pthread_mutex_lock(&history->mutex);
    history->lost = ++history->moment;
    history->counts.losses++;
    unless_durable_may_be_lost(history, false);
    pthread_mutex_unlock(&history->mutex);
}

/* ---- reads ---- */

uint64_t history_read_begins(struct history *history)
{
    pthread_mutex_lock(&history->mutex);
    uint64_t sent = ++history->moment;
    assert(history->read_count < HISTORY_READS_MAX);
    history->reads[history->read_count++] = sent;
    pthread_mutex_unlock(&history->mutex);
    return sent;
}

static void fault(struct history *history, uint64_t offset_bytes, const char *what, uint64_t number,
                  uint64_t later)
{
    if (history->counts.cells_faulty++ >= SENTENCES_MAX)
        return;
    if (later != 0)
        log_error("offset %" PRIu64 ": write %" PRIu64 " is there, and change %" PRIu64
                  " was sent after its answer, and answered before this was read: it was lost",
                  offset_bytes, number, later);
    else
        log_error("offset %" PRIu64 ": %s", offset_bytes, what);
}

/* What may be there: how many changes, and whether one of these leaves anything, or zeros. */
struct candidates {
    unsigned count;
    bool anything, zeros, under_way;
};

static struct candidates find_candidates(const struct history *history, const struct cell *cell,
                                         uint64_t sent)
{
    struct candidates found = { .anything = cell->count == 0 };

    for (uint32_t i = 0; i < cell->count; i++) {
        const struct change *change = &history->changes[cell->numbers[i]];

        if (replaced_by(history, cell, change, sent) != 0)
            continue;
        found.count++;
        found.anything |= change->kind == HISTORY_TRIM;
        found.zeros |= change->kind == HISTORY_ZERO;
        found.under_way |= change->answered == 0 || change->answered > sent;
    }
    return found;
}

static bool is_listed(const struct cell *cell, uint64_t number)
{
    for (uint32_t i = 0; i < cell->count; i++)
        if (cell->numbers[i] == number)
            return true;
    return false;
}

static void check_cell(struct history *history, uint64_t sent, const uint8_t *data,
                       uint64_t offset_bytes)
{
    const struct cell *cell = cell_at(history, offset_bytes);
    const struct candidates may_be = find_candidates(history, cell, sent);
    struct cell_label label;
    enum cell_state state = cell_decode(data, &label);

    history->counts.cells_checked++;
    if (may_be.anything || (may_be.zeros && cell_is_zero(data)))
        return;
    if (state != CELL_GOOD) {
        if (cell_is_zero(data))
            fault(history, offset_bytes, "zeros are there, and nobody has written them since", 0,
                  0);
        else if (may_be.count > 1 || may_be.under_way)
            history->counts.cells_mixed++;
        else
            fault(history, offset_bytes,
                  state == CELL_ALIEN ? "what is there was never written"
                                      : "what is there is damaged, and nobody was writing it",
                  0, 0);
        return;
    }
    if (label.seed != history->seed || label.offset_bytes != offset_bytes)
        fault(history, offset_bytes,
              label.seed != history->seed ? "what is there was written by another run"
                                          : "what is there belongs to another offset",
              0, 0);
    else if (label.number >= history->change_count || !is_listed(cell, label.number))
        fault(history, offset_bytes,
              "a write is there that durable ones have replaced before this was read", 0, 0);
    else {
        uint64_t later = replaced_by(history, cell, &history->changes[label.number], sent);

        if (later != 0)
            fault(history, offset_bytes, NULL, label.number, later);
    }
}

void history_read_ends(struct history *history, uint64_t sent, const uint8_t *data,
                       uint64_t offset_bytes, uint32_t length_bytes)
{
    pthread_mutex_lock(&history->mutex);
    for (uint32_t at = 0; data != NULL && at < length_bytes; at += CELL_BYTES)
        check_cell(history, sent, data + at, offset_bytes + at);
    for (unsigned i = 0; i < history->read_count; i++)
        if (history->reads[i] == sent) {
            history->reads[i] = history->reads[--history->read_count];
            break;
        }
    pthread_mutex_unlock(&history->mutex);
}
