#include "server/metrics/metrics-snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/luks-layer.h"

#define TRIES 3u /* exports that go meanwhile make it begin anew */

/* ---- what is shown as what ---- */

const char *metrics_op_name(enum metrics_op op)
{
    static const char *const names[] = { "read", "write", "flush", "trim", "zero", "other" };

    return names[op];
}

static enum metrics_op shown_as(unsigned board_op)
{
    static const enum metrics_op ops[BOARD_OPS] = {
        [BOARD_READ] = METRICS_READ,    [BOARD_WRITE] = METRICS_WRITE,
        [BOARD_FLUSH] = METRICS_FLUSH,  [BOARD_TRIM] = METRICS_TRIM,
        [BOARD_ZERO] = METRICS_ZERO,    [BOARD_CACHE] = METRICS_OTHER,
        [BOARD_STATUS] = METRICS_OTHER,
    };

    return ops[board_op];
}

uint64_t metrics_bound_us(unsigned bound)
{
    return UINT64_C(16) << (2 * bound);
}

void metrics_histogram_of(struct metrics_histogram *out, const struct board_histogram *from)
{
    out->count = board_histogram_count(from);
    out->sum_ns = from->sum_ns;
    for (unsigned i = 0; i < METRICS_BOUNDS; i++)
        out->below[i] = board_histogram_below(from, metrics_bound_us(i));
}

static void add_histogram(struct metrics_histogram *to, const struct board_histogram *from)
{
    struct metrics_histogram one;

    metrics_histogram_of(&one, from);
    to->count += one.count;
    to->sum_ns += one.sum_ns;
    for (unsigned i = 0; i < METRICS_BOUNDS; i++)
        to->below[i] += one.below[i];
}

static void set_durations(struct metrics_export *of, const struct board_figures *figures)
{
    of->durations = calloc(1, sizeof *of->durations);
    for (unsigned op = 0; op < BOARD_OPS && of->durations != NULL; op++) {
        add_histogram(&of->durations->request[shown_as(op)], &figures->request[op]);
        add_histogram(&of->durations->backend[shown_as(op)], &figures->backend[op]);
    }
}

static void set_counts(struct metrics_export *of, const struct board_figures *figures)
{
    of->has_counts = true;
    for (unsigned op = 0; op < BOARD_OPS; op++) {
        of->requests[shown_as(op)] += board_histogram_count(&figures->request[op]);
        for (unsigned i = 0; i < BOARD_ERRORS; i++)
            of->errors[shown_as(op)][i] += figures->errors[op][i];
    }
    of->read_bytes = figures->read_bytes;
    of->written_bytes = figures->written_bytes;
    of->attached = figures->attached;
    of->throttled_ns = figures->throttled_ns;
    of->slow = figures->slow;
    of->crypto[0] = figures->crypto[0];
    of->crypto[1] = figures->crypto[1];
}

static void add_figures(struct board_figures *to, const struct board_figures *from)
{
    for (size_t i = 0; i < sizeof *to / sizeof(uint64_t); i++)
        ((uint64_t *)to)[i] += ((const uint64_t *)from)[i];
}

/* ---- exports ---- */

struct taking {
    struct metrics_snapshot *out;
    const struct metrics_source *source;
};

/* NULL: there is no memory. */
static struct metrics_export *new_export(struct metrics_snapshot *snapshot, const char *name)
{
    if (snapshot->count == snapshot->room) {
        size_t room = snapshot->room > 0 ? 2 * snapshot->room : 64;
        void *larger = realloc(snapshot->exports, room * sizeof snapshot->exports[0]);

        if (larger == NULL)
            return NULL;
        snapshot->exports = larger;
        snapshot->room = room;
    }
    struct metrics_export *new = &snapshot->exports[snapshot->count];
    *new = (struct metrics_export){ .name = strdup(name) };
    snapshot->count += new->name != NULL;
    return new->name != NULL ? new : NULL;
}

static void set_facts(struct metrics_export *of, const struct export *export)
{
    of->id = export->id;
    of->open = export_is_open(export);
    of->suspended = atomic_load(&export->suspended);
    memcpy(of->limits, export->rates.terms.rate, sizeof of->limits);
    of->group = atomic_load(&export->group);
    of->weight = export_weight(export);
    if (!of->open)
        return;
    const struct stage *backend = stage_backend(export->top);
    const struct luks_segment *segment = luks_stage_segment(export->top);
    of->size_bytes = limits_size_bytes(&export->limits);
    of->backend = backend->ops->name;
    of->backend_lost = backend->ops->is_lost != NULL && backend->ops->is_lost(backend);
    if (segment == NULL)
        return;
    snprintf(of->uuid, sizeof of->uuid, "%s", segment->uuid);
    snprintf(of->cipher, sizeof of->cipher, "%s", segment->cipher.name);
}

static void take_export(void *context, const struct export *export,
                        const struct board_figures *figures)
{
    const struct taking *taking = context;
    struct metrics_snapshot *out = taking->out;
    const struct metrics_source *source = taking->source;
    const char *name = export->name;
    bool own = source->detail == METRICS_FULL && metrics_names_has(source->names, name, export->id);
    struct metrics_export *new = new_export(out, name);

    out->failed |= new == NULL;
    if (new == NULL)
        return;
    set_facts(new, export);
    if (figures == NULL)
        return;
    set_counts(new, figures);
    if (own)
        set_durations(new, figures);
    else
        add_figures(&out->sums[1], figures);
}

static void forget(struct metrics_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->count; i++) {
        free(snapshot->exports[i].name);
        free(snapshot->exports[i].durations);
    }
    snapshot->count = 0;
    free(snapshot->others.durations);
    snapshot->others = (struct metrics_export){ .name = NULL };
}

/* NULL: it is not one of them. */
static struct metrics_export *find(struct metrics_snapshot *snapshot, uint64_t id)
{
    size_t low = 0, high = snapshot->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (snapshot->exports[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < snapshot->count && snapshot->exports[low].id == id ? &snapshot->exports[low]
                                                                    : NULL;
}

/* ---- those that are leaving ---- */

/* All that are on the board; false: there is no memory. */
static bool take_rows(struct metrics_snapshot *out, const struct board *board)
{
    board_cursor cursor = 0;
    struct board_export row;
    size_t room = 0;

    out->row_count = 0;
    while (board_next_export(board, &cursor, &row)) {
        if (out->row_count == room) {
            room = room > 0 ? 2 * room : 64;
            void *larger = realloc(out->rows, room * sizeof out->rows[0]);
            if (larger == NULL)
                return false;
            out->rows = larger;
        }
        out->rows[out->row_count++] = row;
    }
    return true;
}

/* Those that nobody finds any more, but have clients still. */
static bool add_leaving(struct metrics_snapshot *out, const struct board *board)
{
    struct board_figures figures;
    bool complete = true;

    for (size_t i = 0; i < out->row_count; i++) {
        if (out->rows[i].replaced || find(out, out->rows[i].id) != NULL)
            continue;
        complete &= board_sum_export(board, out->rows[i].place, &figures);
        add_figures(&out->sums[0], &figures);
        add_figures(&out->sums[1], &figures);
    }
    return complete;
}

/* False: what exports had has moved meanwhile. */
static bool take_exports(struct metrics_snapshot *out, const struct metrics_source *source)
{
    struct taking taking = { out, source };
    uint64_t moves = board_moves(source->board);

    forget(out);
    out->failed |= !take_rows(out, source->board); /* before the set, which has those that come */
    bool complete = board_sum_export(source->board, BOARD_GONE, &out->sums[0]);
    out->sums[1] = out->sums[0];
    metrics_names_begin(source->names);
    complete &= metrics_each_export(source, take_export, &taking);
    metrics_names_end(source->names);
    complete &= add_leaving(out, source->board);
    return complete && board_moves(source->board) == moves;
}

static void take_names(struct metrics_snapshot *out, const struct metrics_source *source)
{
    pthread_mutex_lock(&source->names->mutex);
    for (unsigned i = 0; i < TRIES && !take_exports(out, source); i++)
        continue;
    pthread_mutex_unlock(&source->names->mutex);
}

static void take_all_as_one(struct metrics_snapshot *out, const struct metrics_source *source)
{
    out->failed |= !board_sum_all(source->board, &out->sums[0]);
    out->sums[1] = out->sums[0];
}

/* ---- what they have to do ---- */

static struct metrics_export *of_id(struct metrics_snapshot *snapshot, uint64_t id)
{
    struct metrics_export *found = find(snapshot, id);

    return found != NULL ? found : &snapshot->others;
}

static void take_connections(struct metrics_snapshot *snapshot, const struct board *board)
{
    board_cursor cursor = 0;
    struct board_export row;

    while (board_next_export(board, &cursor, &row))
        of_id(snapshot, row.id)->connections += row.connections;
}

static void take_commands(struct metrics_snapshot *snapshot, const struct board *board)
{
    uint64_t now_ns = board_now_ns();
    struct board_command command;
    board_cursor cursor = 0;

    while (board_next_command(board, &cursor, &command)) {
        struct metrics_export *of = of_id(snapshot, command.export_id);
        uint64_t age_ns = now_ns > command.start_ns ? now_ns - command.start_ns : 0;

        if (command.torn)
            continue;
        of->in_flight++;
        of->oldest_ns = age_ns > of->oldest_ns ? age_ns : of->oldest_ns;
    }
}

bool metrics_snapshot_take(struct metrics_snapshot *out, const struct metrics_source *source)
{
    *out = (struct metrics_snapshot){ .sums = calloc(2, sizeof *out->sums) };
    if (out->sums == NULL)
        return false;
    if (source->detail == METRICS_OFF)
        take_all_as_one(out, source);
    else
        take_names(out, source);
    set_counts(&out->others, &out->sums[0]);
    set_durations(&out->others, &out->sums[1]);
    take_connections(out, source->board);
    take_commands(out, source->board);
    return !out->failed && out->others.durations != NULL;
}

void metrics_snapshot_free(struct metrics_snapshot *snapshot)
{
    forget(snapshot);
    free(snapshot->exports);
    free(snapshot->rows);
    free(snapshot->sums);
}
