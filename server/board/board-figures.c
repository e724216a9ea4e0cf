/* Figures move between rows, and a reader who adds them up meanwhile notices: so what he sees never
 * goes back. */
#include <string.h>

#include "server/board/board-owner.h"

#define SUM_TRIES 1000u      /* a move takes microseconds, and happens when a client leaves */
#define LINE_MAX_EXPORTS 64u /* that replaced each other while clients of the first one stayed */
#define WORDS (sizeof(struct board_figures) / sizeof(uint64_t))

_Static_assert(sizeof(struct board_figures) % sizeof(uint64_t) == 0, "figures are words");

static struct board_figure_row *spare(const struct board *board)
{
    return &((struct board_spare *)board_at(board, board->head->spare_at))->figures;
}

struct board_figures *board_spare_figures(const struct board *board)
{
    return &spare(board)->figures;
}

/* Several threads may move theirs to the same row. */
static void move_figures(struct board_figure_row *to, const struct board_figure_row *from)
{
    uint64_t *out = (uint64_t *)&to->figures;
    const uint64_t *in = (const uint64_t *)&from->figures;

    for (size_t i = 0; i < WORDS; i++) {
        uint64_t count = board_get(&in[i]);

        if (count != 0)
            __atomic_fetch_add(&out[i], count, __ATOMIC_RELEASE);
    }
}

static void clear_figures(struct board_figure_row *row)
{
    for (size_t i = 0; i < WORDS; i++)
        board_put_last((uint64_t *)&row->figures + i, 0);
}

/* What is stored after this is seen after it by who loads with acquire. */
static void begin_move(uint64_t *begun)
{
    __atomic_fetch_add(begun, 1, __ATOMIC_RELAXED);
}

static void end_move(uint64_t *done)
{
    __atomic_fetch_add(done, 1, __ATOMIC_RELEASE);
}

/* ---- exports ---- */

board_place board_export_begin(const struct board *board, uint64_t id, const char *name)
{
    board_place place = board_row_take(board, BOARD_EXPORT_ROWS);

    if (place == 0)
        return BOARD_NOWHERE;
    struct board_export_row *row = board_at(board, place);
    board_put(&row->sequence, board_get(&row->sequence) + 1);
    board_text_put(row->name, name, sizeof row->name);
    board_put_last(&row->retired, 0);
    board_put_last(&row->before, 0);
    board_put_last(&row->after, 0);
    board_put_last(&row->connections, 0);
    board_put_last(&row->slow_ns, 0);
    board_put_last(&row->slow, 0);
    for (unsigned i = 0; i < BOARD_LIMITS; i++)
        board_put_last(&row->limits[i], 0);
    board_put_last(&row->id, id);
    board_put_last(&row->sequence, board_get(&row->sequence) + 1);
    return place;
}

/* Nobody tells of requests that end while it becomes shorter. */
static void note_slow(struct board_head *head, uint64_t slow_ns)
{
    uint64_t known = board_get(&head->slow_ns);

    while (slow_ns > 0 && (known == 0 || slow_ns < known) &&
           !__atomic_compare_exchange_n(&head->slow_ns, &known, slow_ns, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        continue;
}

uint64_t board_slow_ns(const struct board *board)
{
    return board_get(&board->head->slow_ns);
}

void board_export_limit(const struct board *board, board_place place, uint64_t slow_ns,
                        const uint64_t limits[BOARD_LIMITS])
{
    if (place == BOARD_NOWHERE)
        return;
    struct board_export_row *row = board_at(board, place);
    board_put(&row->slow_ns, slow_ns);
    for (unsigned i = 0; i < BOARD_LIMITS; i++)
        board_put(&row->limits[i], limits[i]);
    note_slow(board->head, slow_ns);
}

void board_export_was_slow(const struct board *board, board_place place)
{
    struct board_export_row *row = place != BOARD_NOWHERE ? board_at(board, place) : NULL;

    if (row != NULL)
        __atomic_fetch_add(&row->slow, 1, __ATOMIC_RELAXED);
}

void board_export_replace(const struct board *board, board_place old, board_place new)
{
    if (old == BOARD_NOWHERE || new == BOARD_NOWHERE)
        return;
    board_put_last(&((struct board_export_row *)board_at(board, old))->after, new);
    board_put_last(&((struct board_export_row *)board_at(board, new))->before, old);
}

/* The first figures that retire become those of what is retired: true. */
static bool retire_to(const struct board *board, struct board_export_row *to, board_place place)
{
    struct board_figure_row *row = board_at(board, place);
    board_place before = 0;

    if (__atomic_compare_exchange_n(&to->retired, &before, place, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return true;
    move_figures(board_at(board, before), row);
    return false;
}

/* What is left of the line of those that replaced each other. */
static void leave_line(const struct board *board, struct board_export_row *row)
{
    board_place before = board_get(&row->before), after = board_get(&row->after);

    if (before != 0)
        board_put_last(&((struct board_export_row *)board_at(board, before))->after, after);
    if (after != 0)
        board_put_last(&((struct board_export_row *)board_at(board, after))->before, before);
    board_put_last(&row->before, 0);
    board_put_last(&row->after, 0);
}

void board_export_end(const struct board *board, board_place place)
{
    struct board_head *head = board->head;

    if (place == BOARD_NOWHERE)
        return;
    struct board_export_row *row = board_at(board, place), *heir = NULL;
    board_place retired = board_get(&row->retired), after = board_get(&row->after);
    bool kept = false;
    begin_move(&head->gone_begun);
    if (after != 0) {
        heir = board_at(board, after);
        begin_move(&heir->begun);
    }
    board_put_last(&row->sequence, board_get(&row->sequence) + 1);
    board_put_last(&row->id, 0);
    if (retired != 0 && heir != NULL)
        kept = retire_to(board, heir, retired);
    else if (retired != 0)
        move_figures(&head->gone, board_at(board, retired));
    board_put_last(&row->retired, 0);
    __atomic_fetch_add(heir != NULL ? &heir->slow : &head->gone.figures.slow,
                       __atomic_exchange_n(&row->slow, 0, __ATOMIC_ACQ_REL), __ATOMIC_RELEASE);
    leave_line(board, row);
    board_put_last(&row->sequence, board_get(&row->sequence) + 1);
    if (heir != NULL)
        end_move(&heir->done);
    end_move(&head->gone_done);
    if (retired != 0 && !kept) {
        clear_figures(board_at(board, retired));
        board_row_give(board, BOARD_FIGURE_ROWS, retired);
    }
    board_row_give(board, BOARD_EXPORT_ROWS, place);
}

/* ---- figures of a worker ---- */

struct board_figure_row *board_figures_begin(const struct board *board, board_place export,
                                             unsigned worker)
{
    struct board_export_row *of = export != BOARD_NOWHERE ? board_at(board, export) : NULL;

    if (of == NULL)
        return spare(board);
    board_place place = board_get(&of->live[worker]);
    if (place == 0) {
        place = board_row_take(board, BOARD_FIGURE_ROWS);
        if (place == 0)
            return spare(board);
        struct board_figure_row *new = board_at(board, place);
        new->users = 0;
        new->export = export;
        new->worker = worker;
        board_put_last(&of->live[worker], place);
    }
    struct board_figure_row *row = board_at(board, place);
    row->users++;
    board_add(&row->figures.attached, 1);
    return row;
}

static void retire(const struct board *board, struct board_figure_row *row)
{
    struct board_export_row *of = board_at(board, row->export);
    board_place place = board_place_of(board, row);

    begin_move(&of->begun);
    bool kept = retire_to(board, of, place);
    board_put_last(&of->live[row->worker], 0);
    end_move(&of->done);
    if (!kept) {
        clear_figures(row);
        board_row_give(board, BOARD_FIGURE_ROWS, place);
    }
}

bool board_figures_end(const struct board *board, struct board_figure_row *row)
{
    if (row == spare(board) || --row->users > 0)
        return false;
    retire(board, row);
    return true;
}

/* ---- adding up ---- */

static void add(const struct board *board, board_place place, struct board_figures *out)
{
    const struct board_figure_row *row =
        place != 0 ? board_look_at(board, place, sizeof *row) : NULL;

    for (size_t i = 0; row != NULL && i < WORDS; i++)
        ((uint64_t *)out)[i] += board_get_first((const uint64_t *)&row->figures + i);
}

/* Rows that are moved meanwhile may be added twice, or not: then it says false.  `line`: so many of
 * those that it replaced are added, too. */
static bool try_sum(const struct board *board, const struct board_export_row *row, unsigned line,
                    struct board_figures *out)
{
    uint64_t done = board_get_first(&row->done);

    if (board_get_first(&row->begun) != done)
        return false;
    add(board, board_get_first(&row->retired), out);
    out->slow += board_get_first(&row->slow);
    for (unsigned i = 0; i < board->head->workers; i++)
        add(board, board_get_first(&row->live[i]), out);
    board_place before = board_get_first(&row->before);
    if (line > 0 && before != 0 &&
        !try_sum(board, board_look_at(board, before, board->head->export_row_bytes), line - 1, out))
        return false;
    return board_get(&row->begun) == done;
}

static bool is_export(const struct board *board, board_place place)
{
    const struct board_head *head = board->head;
    uint32_t chunk = (place - head->chunks_at) / (BOARD_CHUNK_BYTES / BOARD_UNIT_BYTES);

    return place >= head->chunks_at && chunk < head->chunks_max &&
           board_get_first(&head->directory[chunk]) == BOARD_EXPORT_ROWS;
}

static bool try_sum_gone(const struct board *board, struct board_figures *out)
{
    const struct board_head *head = board->head;
    uint64_t done = board_get_first(&head->gone_done);

    if (board_get_first(&head->gone_begun) != done)
        return false;
    add(board, board_place_of(board, &head->gone), out);
    return board_get(&head->gone_begun) == done;
}

/* Each try begins with nothing. */
static bool sum(const struct board *board, board_place place, unsigned line,
                struct board_figures *out)
{
    for (unsigned i = 0; i < SUM_TRIES; i++) {
        *out = (struct board_figures){ 0 };
        if (place == BOARD_GONE ? try_sum_gone(board, out)
                                : try_sum(board, board_at(board, place), line, out))
            return true;
    }
    return false;
}

bool board_sum_export(const struct board *board, board_place place, struct board_figures *out)
{
    *out = (struct board_figures){ 0 };
    return (place == BOARD_GONE || is_export(board, place)) &&
           sum(board, place, LINE_MAX_EXPORTS, out);
}

static bool try_sum_all(const struct board *board, struct board_figures *out)
{
    uint64_t begun = board_get_first(&board->head->gone_begun);
    board_cursor cursor = 0;
    struct board_figures part;
    board_place place;

    if (!sum(board, BOARD_GONE, 0, out))
        return false;
    while ((place = board_row_next(board, BOARD_EXPORT_ROWS, &cursor)) != 0) {
        if (!sum(board, place, 0, &part))
            return false;
        for (size_t i = 0; i < WORDS; i++)
            ((uint64_t *)out)[i] += ((const uint64_t *)&part)[i];
    }
    return board_get(&board->head->gone_begun) == begun;
}

bool board_sum_all(const struct board *board, struct board_figures *out)
{
    bool summed = false;

    for (unsigned i = 0; i < BOARD_TRIES && !summed; i++)
        summed = try_sum_all(board, out);
    return summed;
}

uint64_t board_moves(const struct board *board)
{
    return board_get_first(&board->head->gone_begun);
}

/* ---- handshakes ---- */

static void took(struct board_histogram *to, uint64_t ns)
{
    __atomic_fetch_add(&to->sum_ns, ns, __ATOMIC_RELAXED);
    __atomic_fetch_add(&to->counts[board_bucket(ns)], 1, __ATOMIC_RELAXED);
}

void board_handshake_took(const struct board *board, bool tls, uint64_t ns)
{
    took(&board->head->handshakes[tls], ns);
}

void board_tls_handshake_took(const struct board *board, uint64_t ns)
{
    took(&board->head->tls_handshakes, ns);
}

void board_read_handshakes(const struct board *board, bool tls, struct board_histogram *out)
{
    board_words_get(out, &board->head->handshakes[tls], sizeof *out);
}

void board_read_tls_handshakes(const struct board *board, struct board_histogram *out)
{
    board_words_get(out, &board->head->tls_handshakes, sizeof *out);
}
