#include "tests/sim/oracle.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/random.h"
#include "tests/sim/trace.h"

#define NEVER UINT64_MAX
#define CANDIDATES_FIRST 4u

struct change {
    uint32_t id;
    enum change_kind kind;
    bool anything; /* what it leaves is open */
    bool answered; /* with success: who was before it is out */
    bool durable;
    bool shaky;   /* it was in flight at a power cut: it may have been done before, and lost */
    bool settled; /* one of those that a power cut may have left: one of them is there */
    uint64_t sent, ended; /* moments; NEVER */
    uint64_t offset_bytes, length_bytes;
    struct change *next; /* of those that are open, or not durable */
    bool listed;
};

/* Those that may be what is there. */
struct cell {
    struct change **candidates;
    uint16_t count, room;
    bool said_zero;     /* a client was told that it reads as zeros, since it was changed */
    bool may_come_back; /* what a power cut took: see mark_edges() */
};

static struct oracle_settings settings;
static struct cell *cells;
static struct change *by_id[1u << 20];
static uint32_t ids_given;
static struct change *pending; /* of those not durable */
static uint64_t moment, cut_moment, gone_moment, flushed_moment;
static struct change first;
static uint64_t reads[4096]; /* when those in flight were sent */
static unsigned read_count;
static bool perhaps_anew; /* since the front was started */

uint64_t oracle_marker(void)
{
    return UINT64_C(0x6c6c6543746e6950);
}

uint64_t oracle_moment(void)
{
    return ++moment;
}

uint64_t oracle_read_begins(void)
{
    if (read_count == sizeof(reads) / sizeof(reads[0]))
        sim_fail("too many reads in flight");
    return reads[read_count++] = oracle_moment();
}

void oracle_read_ends(uint64_t sent)
{
    for (unsigned i = 0; i < read_count; i++) {
        if (reads[i] != sent)
            continue;
        reads[i] = reads[--read_count];
        return;
    }
}

static uint64_t oldest_read(void)
{
    uint64_t oldest = moment + 1;

    for (unsigned i = 0; i < read_count; i++)
        if (reads[i] < oldest)
            oldest = reads[i];
    return oldest;
}

void oracle_init(const struct oracle_settings *wanted)
{
    uint64_t count = (wanted->size_bytes - wanted->desert_bytes) / CELL_BYTES + 1;

    settings = *wanted;
    cells = calloc(count, sizeof(*cells));
    if (cells == NULL)
        sim_fail("no memory");
    first = (struct change){
        .kind = CHANGE_ZERO, .anything = !wanted->starts_as_zeros, .answered = true, .durable = true
    };
}

/* ---- cells ---- */

static void add_candidate(struct cell *cell, struct change *change)
{
    if (cell->count == cell->room) {
        cell->room = (uint16_t)(cell->room > 0 ? 2 * cell->room : CANDIDATES_FIRST);
        cell->candidates = realloc(cell->candidates, cell->room * sizeof(struct change *));
        if (cell->candidates == NULL)
            sim_fail("no memory");
    }
    cell->candidates[cell->count++] = change;
    cell->said_zero = false;
}

/* The first one behind the desert, and behind `at_bytes`. */
static uint64_t first_index(uint64_t at_bytes)
{
    uint64_t from = at_bytes > settings.desert_bytes ? at_bytes : settings.desert_bytes;

    return from / CELL_BYTES;
}

static struct cell *cell_at(uint64_t index)
{
    struct cell *cell = &cells[index - first_index(0)];

    if (cell->count == 0)
        add_candidate(cell, &first);
    return cell;
}

/* When the last one was sent that was answered before that moment: it took the place of all that
 * had ended by then, their ends and its own were seen. */
static uint64_t last_sent(const struct cell *cell, uint64_t before, bool durable)
{
    uint64_t last = 0;

    for (unsigned i = 0; i < cell->count; i++) {
        const struct change *change = cell->candidates[i];

        if (change->answered && (change->durable || !durable) && change->ended < before &&
            change->sent > last)
            last = change->sent;
    }
    return last;
}

static bool is_replaced(const struct cell *cell, const struct change *change, uint64_t before)
{
    return change->ended < last_sent(cell, before, false);
}

static void drop_gone(struct cell *cell)
{
    unsigned kept = 0, count = cell->count;
    struct change *before[256];
    uint64_t last = last_sent(cell, oldest_read(), true);

    if (count > 256)
        count = 256;
    memcpy(before, cell->candidates, count * sizeof(before[0]));
    for (unsigned i = 0; i < count; i++)
        if (before[i]->ended >= last) /* the others will not be seen again, whatever happens */
            before[kept++] = before[i];
    memmove(cell->candidates + kept, cell->candidates + count,
            (cell->count - count) * sizeof(struct change *));
    memcpy(cell->candidates, before, kept * sizeof(before[0]));
    cell->count = (uint16_t)(cell->count - count + kept);
}

/* ---- changes ---- */

struct change *oracle_change_begins(enum change_kind kind, uint64_t offset_bytes,
                                    uint64_t length_bytes)
{
    struct change *change = calloc(1, sizeof(*change));

    if (change == NULL || ids_given + 1 == sizeof(by_id) / sizeof(by_id[0]))
        sim_fail("too many commands");
    *change = (struct change){ .id = ++ids_given,
                               .kind = kind,
                               .anything = kind == CHANGE_TRIM && !settings.trim_is_zero_or_old,
                               .sent = oracle_moment(),
                               .ended = NEVER,
                               .offset_bytes = offset_bytes,
                               .length_bytes = length_bytes,
                               .next = pending,
                               .listed = true };
    pending = change;
    by_id[change->id] = change;
    for (uint64_t i = first_index(offset_bytes); i < (offset_bytes + length_bytes) / CELL_BYTES;
         i++) {
        struct cell *cell = cell_at(i);

        for (unsigned k = 0; k < cell->count; k++)
            if (cell->candidates[k]->ended == NEVER)
                mark(MARK_overlapping_write);
        if (cell->count >= 3)
            drop_gone(cell);
        add_candidate(cell, change);
    }
    return change;
}

static void fill_cell(uint8_t *out, uint32_t id, uint64_t index)
{
    uint64_t words[CELL_BYTES / 8] = { oracle_marker(), id, index };

    for (unsigned i = 3; i < CELL_BYTES / 8; i++)
        words[i] = random_mix(words[1] * 977 + index * 31 + i);
    memcpy(out, words, sizeof(words));
}

void oracle_fill(const struct change *change, uint8_t *out)
{
    for (uint64_t at = 0; at < change->length_bytes; at += CELL_BYTES)
        fill_cell(out + at, change->id, (change->offset_bytes + at) / CELL_BYTES);
}

void oracle_change_answered(struct change *change, bool success, bool durable)
{
    change->ended = oracle_moment();
    /* A TRIM may have done nothing: it replaces nobody, unless it may have done anything. */
    if (change->shaky && !(durable && success))
        return;
    change->answered = success && (change->kind != CHANGE_TRIM || change->anything);
    change->durable = durable && change->answered;
}

static void flushed(uint64_t sent, uint64_t since)
{
    struct change **link = &pending;

    flushed_moment = oracle_moment();
    while (*link != NULL) {
        struct change *change = *link;

        if (change->sent >= since && change->ended < sent && change->answered)
            change->durable = true;
        if (change->durable ||
            (change->sent >= since && change->ended != NEVER && change->ended < sent))
            *link = change->next;
        else
            link = &change->next;
    }
}

void oracle_flushed(uint64_t sent)
{
    flushed(sent, 0);
}

void oracle_flushed_by_itself(uint64_t sent, bool remote)
{
    if (!remote)
        flushed(sent, 0);
    else if (!perhaps_anew)
        flushed(sent, gone_moment);
}

/* Of what was sent since the last FLUSH succeeded: answers overtake each other.
 * And of what this life of the server has answered: of an earlier one it can't know. */
bool oracle_may_be_lost(uint64_t told)
{
    for (const struct change *change = pending; change != NULL; change = change->next)
        if (change->answered && !change->durable && change->kind != CHANGE_TRIM &&
            change->sent > gone_moment && change->sent > flushed_moment && change->sent > told)
            return true;
    return false;
}

void oracle_flush_failed(void)
{
    struct change **link = &pending;

    while (*link != NULL)
        if ((*link)->ended != NEVER)
            *link = (*link)->next;
        else
            link = &(*link)->next;
}

/* ---- reads ---- */

static void tell_candidates(const struct cell *cell, uint64_t sent)
{
    for (unsigned i = 0; i < cell->count; i++) {
        const struct change *change = cell->candidates[i];

        trace_event("candidate: command %llu of kind %llu, sent at moment %llu, ended at %llu",
                    change->id, change->kind, change->sent, change->ended);
        trace_event("    answered %llu, durable %llu, left by a power cut %llu, replaced %llu",
                    change->answered, change->durable, change->settled,
                    is_replaced(cell, change, sent));
    }
}

_Noreturn static void wrong(const struct cell *cell, uint64_t index, uint64_t sent, unsigned who,
                            const uint8_t *data, const char *what)
{
    uint64_t words[3];

    memcpy(words, data, sizeof(words));
    trace_event("read of cell %llu (byte %llu), sent at moment %llu by client %llu", index,
                index * CELL_BYTES, sent, who);
    trace_event("it begins with %llx, command %llu, cell %llu", words[0], words[1], words[2], 0);
    tell_candidates(cell, sent);
    sim_fail("client %u reads at byte %llu %s", who, (unsigned long long)(index * CELL_BYTES),
             what);
}

/* Since one of them was seen, it is that one: nothing else has happened since the power came back.
 */
static void pin(struct cell *cell, struct change *seen)
{
    unsigned kept = 0;

    if (!seen->settled || cell->may_come_back)
        return;
    for (unsigned i = 0; i < cell->count; i++)
        if (cell->candidates[i] == seen || !cell->candidates[i]->settled ||
            cell->candidates[i]->sent != seen->sent)
            cell->candidates[kept++] = cell->candidates[i];
    if (cell->count > kept)
        mark(MARK_old_data_after_cut);
    cell->count = (uint16_t)kept;
}

/* 0: it may be so; else what is wrong with it. */
static const char *check_written(struct cell *cell, uint64_t index, uint64_t sent,
                                 const uint8_t *data)
{
    uint64_t words[3];
    uint8_t expected[CELL_BYTES];

    memcpy(words, data, sizeof(words));
    fill_cell(expected, (uint32_t)words[1], index);
    if (words[1] == 0 || words[1] > ids_given || words[2] != index ||
        memcmp(expected, data, CELL_BYTES) != 0)
        return words[2] != index ? "what was written elsewhere" : "a damaged cell";
    struct change *change = by_id[words[1]];
    for (unsigned i = 0; i < cell->count; i++) {
        if (cell->candidates[i] != change)
            continue;
        if (is_replaced(cell, change, sent))
            return "old data: another command had replaced it";
        if (change->ended == NEVER || change->ended > sent)
            mark(MARK_read_raced_a_write);
        pin(cell, change);
        return NULL;
    }
    return "old data: it was replaced for good";
}

static bool is_zero_cell(const uint8_t *data)
{
    static const uint8_t zeros[CELL_BYTES];

    return memcmp(data, zeros, CELL_BYTES) == 0;
}

/* Half of a sector that is being written may be there, and what it is in can't be read meanwhile:
 * who does not write there sees no noise. */
static bool is_being_written(const struct cell *cell, uint64_t sent)
{
    for (unsigned i = 0; settings.halves_are_noise && i < cell->count; i++)
        if (cell->candidates[i]->ended > sent)
            return true;
    return false;
}

static bool has_open_candidate(const struct cell *cell, uint64_t sent, bool zero)
{
    uint64_t last = last_sent(cell, sent, false);

    for (unsigned i = 0; i < cell->count; i++) {
        const struct change *change = cell->candidates[i];

        if ((change->anything || (zero && change->kind != CHANGE_WRITE)) && change->ended >= last)
            return true;
    }
    return false;
}

/* Zeros after a power cut: it is one of those that leave zeros, if only one does. */
static void pin_zero(struct cell *cell, uint64_t sent)
{
    struct change *only = NULL;

    for (unsigned i = 0; i < cell->count; i++) {
        struct change *change = cell->candidates[i];

        if (change->kind == CHANGE_WRITE || is_replaced(cell, change, sent))
            continue;
        if (only != NULL || change->anything)
            return;
        only = change;
    }
    if (only != NULL)
        pin(cell, only);
}

void oracle_check_read(uint64_t sent, uint64_t offset_bytes, uint32_t length_bytes,
                       const uint8_t *data, unsigned who)
{
    uint64_t marker = oracle_marker();

    for (uint64_t at = 0; at < length_bytes; at += CELL_BYTES) {
        uint64_t index = (offset_bytes + at) / CELL_BYTES;
        struct cell *cell = cell_at(index);
        bool zero = is_zero_cell(data + at);

        if (cell->said_zero && !zero)
            wrong(cell, index, sent, who, data + at, "something that was told to be zeros");
        if (memcmp(data + at, &marker, sizeof(marker)) == 0) {
            const char *what = check_written(cell, index, sent, data + at);
            if (what != NULL && !has_open_candidate(cell, sent, false) &&
                !is_being_written(cell, sent))
                wrong(cell, index, sent, who, data + at, what);
        } else if (!has_open_candidate(cell, sent, zero) && !is_being_written(cell, sent)) {
            wrong(cell, index, sent, who, data + at,
                  zero ? "zeros, and nobody wrote them" : "what nobody wrote");
        } else if (zero) {
            pin_zero(cell, sent);
        }
    }
}

void oracle_check_zeros(uint64_t sent, uint64_t offset_bytes, uint64_t length_bytes, unsigned who)
{
    static const uint8_t zeros[CELL_BYTES];

    for (uint64_t i = first_index(offset_bytes); i * CELL_BYTES < offset_bytes + length_bytes;
         i++) {
        struct cell *cell = cell_at(i);

        oracle_check_read(sent, i * CELL_BYTES, CELL_BYTES, zeros, who);
        cell->said_zero = cell->count == 1 && cell->candidates[0]->ended < sent;
    }
}

/* ---- the end of a server ---- */

void oracle_may_be_opened_anew(void)
{
    perhaps_anew = true;
}

void oracle_opened_anew(void)
{
    gone_moment = oracle_moment();
}

void oracle_server_gone(void)
{
    uint64_t now = oracle_moment();

    gone_moment = now;
    perhaps_anew = false;
    for (struct change *change = pending; change != NULL; change = change->next)
        if (change->ended == NEVER)
            change->ended = now;
}

static bool may_be_left(const struct cell *cell, const struct change *change)
{
    for (unsigned i = 0; i < cell->count; i++) {
        const struct change *other = cell->candidates[i];

        if (other != change && other->durable && change->ended < other->sent)
            return false;
    }
    return true;
}

static void cut_cell(struct cell *cell)
{
    unsigned kept = 0, count = cell->count;
    struct change **before = malloc(count * sizeof(*before) + 1);

    if (before == NULL)
        sim_fail("no memory");
    for (unsigned i = 0; i < count; i++)
        if (may_be_left(cell, cell->candidates[i]))
            before[kept++] = cell->candidates[i];
    memcpy(cell->candidates, before, kept * sizeof(*before));
    cell->count = (uint16_t)kept;
    free(before);
}

uint64_t oracle_cut_moment(void)
{
    return cut_moment;
}

static void settle(struct change *change, uint64_t now)
{
    if (change->ended == NEVER) {
        change->shaky = true;
        return;
    }
    change->sent = change->ended = now;
    change->answered = false;
    change->settled = true;
    change->durable = true;
}

/* It had read what was around it when the power went at the store, and writes that once more when
 * it is sent again: what was lost there is seen, and is no more durable than it was. */
static void mark_edges(const struct change *change)
{
    uint64_t block = settings.block_bytes, end = change->offset_bytes + change->length_bytes;
    uint64_t from = change->offset_bytes / block * block, to = (end + block - 1) / block * block;

    for (uint64_t at = from; at < to && at < settings.size_bytes; at += CELL_BYTES)
        if ((at < change->offset_bytes || at >= end) && at >= settings.desert_bytes)
            cells[at / CELL_BYTES - first_index(0)].may_come_back = true;
}

/* What is left may each be there, whoever came first: they count as concurrent from now on. */
void oracle_power_cut(void)
{
    uint64_t now = oracle_moment();

    for (uint64_t i = 0; i < settings.size_bytes / CELL_BYTES - first_index(0); i++) {
        cells[i].said_zero = cells[i].may_come_back = false;
        if (cells[i].count > 1)
            cut_cell(&cells[i]);
    }
    for (uint32_t id = 1; id <= ids_given; id++)
        settle(by_id[id], now);
    settle(&first, now);
    cut_moment = now;
    pending = NULL;
    for (uint32_t id = 1; id <= ids_given; id++) {
        if (by_id[id]->ended != NEVER)
            continue;
        mark_edges(by_id[id]);
        by_id[id]->next = pending;
        pending = by_id[id];
    }
}
