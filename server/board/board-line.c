/* The last lines of the log. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "server/base/log-text.h"
#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/board/board-owner.h"

static struct board_line_row *line_rows(const struct board *board)
{
    return board_at(board, board->head->lines_at);
}

/* ---- writing ---- */

static void escape(char out[BOARD_LINE_BYTES * LOG_TEXT_GROWTH], const char *text)
{
    char start[BOARD_LINE_BYTES];

    snprintf(start, sizeof start, "%s", text);
    out[log_text_escape(out, start)] = '\0';
}

void board_line(const struct board *board, int level, bool about_client, const char *text)
{
    struct board_head *head = board->head;
    uint32_t ring = about_client ? 1 : 0;
    uint32_t count = __atomic_fetch_add(&head->ring_lines[ring], 1, __ATOMIC_RELAXED);
    struct board_line_row *row =
        line_rows(board) + ring * BOARD_RING_LINES + count % BOARD_RING_LINES;
    uint64_t before = board_get(&row->number);
    char escaped[BOARD_LINE_BYTES * LOG_TEXT_GROWTH];

    /* Somebody who is still at this place, after all others have been filled: one line is lost. */
    if (before == BOARD_BUSY ||
        !__atomic_compare_exchange_n(&row->number, &before, BOARD_BUSY, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    escape(escaped, text);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    board_put_last(&row->time_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    board_put_last(&row->level, (uint64_t)level);
    board_text_put(row->text, escaped, sizeof row->text);
    board_put_last(&row->number, 1 + __atomic_fetch_add(&head->lines, 1, __ATOMIC_RELAXED));
}

static const struct board *kept_on;

static void hear(enum log_level level, const char *who, const char *format, va_list args)
{
    char text[BOARD_LINE_BYTES * 2];
    int saved = errno, used = who != NULL ? snprintf(text, sizeof text / 2, "%s: ", who) : 0;

    if (used < 0 || used >= (int)sizeof text / 2)
        used = 0;
    tally_add((enum tally)(TALLY_LOG_LINES + (int)level));
    errno = saved; /* for %m */
    vsnprintf(text + used, sizeof text - (size_t)used, format, args);
    board_line(kept_on, (int)level, who != NULL, text);
    errno = saved;
}

void board_keep_log(const struct board *board)
{
    kept_on = board;
    log_set_witness(board != NULL ? hear : NULL);
}

/* ---- reading ---- */

struct found {
    uint64_t number;
    uint32_t row;
};

/* The one at `root` goes down to its place in the heap of `count`. */
static void sift(struct found *found, size_t root, size_t count)
{
    struct found moved = found[root];
    size_t child;

    for (; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && found[child + 1].number > found[child].number)
            child++;
        if (found[child].number <= moved.number)
            break;
        found[root] = found[child];
    }
    found[root] = moved;
}

/* By number.  qsort() may take memory, and who reads this may be in the handler of a signal. */
static void sort(struct found *found, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift(found, i, count);
    for (size_t end = count; end-- > 1;) {
        struct found last = found[end];

        found[end] = found[0];
        found[0] = last;
        sift(found, 0, end);
    }
}

/* False: it is being written, or has become another one. */
static bool look(const struct board_line_row *row, uint64_t number, struct board_line *out)
{
    if (board_get_first(&row->number) != number)
        return false;
    out->number = number;
    out->time_ns = board_get_first(&row->time_ns);
    out->level = (int)board_get_first(&row->level);
    board_words_get(out->text, row->text, sizeof out->text);
    out->text[sizeof out->text - 1] = '\0';
    return board_get(&row->number) == number;
}

size_t board_read_lines(const struct board *board, uint64_t after, struct board_line *out,
                        size_t most)
{
    const struct board_line_row *rows = line_rows(board);
    struct found found[BOARD_LINES];
    size_t count = 0, got = 0;

    for (uint32_t i = 0; i < BOARD_LINES; i++) {
        uint64_t number = board_get(&rows[i].number);

        if (number > after && number != BOARD_BUSY)
            found[count++] = (struct found){ number, i };
    }
    sort(found, count);
    for (size_t i = count > most ? count - most : 0; i < count; i++)
        if (look(&rows[found[i].row], found[i].number, &out[got]))
            got++;
    return got;
}
