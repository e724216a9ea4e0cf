#include "server/cli/ctl-top.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "server/cli/text-table.h"
#include "server/control/control-json.h"

#define DELAY_SECONDS_DEFAULT 2u
#define FIRST_SECONDS 1u /* on a terminal, until there are rates */
#define ROWS_DEFAULT 24
#define COLUMNS_DEFAULT 80
#define HEADING_ROWS 3 /* the status, the titles, and the line that the cursor is on */

/* ---- what came between two looks ---- */

/* The figures that the export of this id had at the last look; NULL: none.  Lists are by id, and
 * *at is where the search for the one before has come to. */
static struct json_object *figures_of(struct json_object *list, int64_t id, size_t *at)
{
    for (; list != NULL && *at < json_object_array_length(list); ++*at) {
        struct json_object *one = json_object_array_get_idx(list, *at);
        int64_t its_id = control_number(one, "id", -1);

        if (its_id >= id)
            return its_id == id ? one : NULL;
    }
    return NULL;
}

static int64_t grown(struct json_object *now, struct json_object *before, const char *key)
{
    return control_number(now, key, 0) - control_number(before, key, 0);
}

static int64_t count_at(struct json_object *durations, int64_t us)
{
    for (size_t i = 0; durations != NULL && i < json_object_array_length(durations); i++) {
        struct json_object *one = json_object_array_get_idx(durations, i);

        if (control_number(one, "us", -1) == us)
            return control_number(one, "count", 0);
    }
    return 0;
}

/* What so many of a thousand requests did not exceed; -1: there were none. */
static int64_t quantile_us(struct json_object *now, struct json_object *before, int64_t permille)
{
    struct json_object *durations = control_member(now, "durations");
    struct json_object *old = control_member(before, "durations");
    int64_t all = grown(now, before, "requests"), seen = 0;

    for (size_t i = 0; durations != NULL && i < json_object_array_length(durations); i++) {
        struct json_object *one = json_object_array_get_idx(durations, i);
        int64_t us = control_number(one, "us", 0);

        seen += control_number(one, "count", 0) - count_at(old, us);
        if (all > 0 && seen * 1000 >= all * permille)
            return us;
    }
    return -1;
}

/* ---- a table ---- */

static void add_rate(struct json_object *row, const char *key, int64_t grown_by, double seconds)
{
    control_add_number(row, key, grown_by > 0 ? (uint64_t)((double)grown_by / seconds) : 0);
}

/* ---- by export ---- */

/* Of all exports at once: how many of the list each has, and the greatest `key` of these. */
struct tally {
    struct json_object *counts, *greatest; /* by name */
};

static void count_one(struct tally *tally, struct json_object *one, const char *key)
{
    const char *name = control_text(one, "export");
    int64_t value = control_number(one, key, 0);

    if (name == NULL)
        return;
    int64_t count = control_number(tally->counts, name, 0);
    control_add(tally->counts, name, json_object_new_int64(count + 1));
    if (value > control_number(tally->greatest, name, -1))
        control_add(tally->greatest, name, json_object_new_int64(value));
}

static struct tally tally_of(struct json_object *list, const char *key)
{
    struct tally tally = { json_object_new_object(), json_object_new_object() };

    for (size_t i = 0; i < json_object_array_length(list); i++)
        count_one(&tally, json_object_array_get_idx(list, i), key);
    return tally;
}

static void free_tally(struct tally *tally)
{
    json_object_put(tally->counts);
    json_object_put(tally->greatest);
}

struct look {
    struct json_object *figures, *requests, *clients;
    struct timespec time;
};

static void free_look(struct look *look)
{
    json_object_put(look->figures);
    json_object_put(look->requests);
    json_object_put(look->clients);
    *look = (struct look){ 0 };
}

static int take_look(struct ctl *ctl, struct look *out)
{
    *out = (struct look){ 0 };
    int status = ctl_list(ctl, "ListFigures", NULL, "figures", &out->figures);
    clock_gettime(CLOCK_MONOTONIC, &out->time);
    if (status == EXIT_SUCCESS)
        status = ctl_list(ctl, "ListRequests", NULL, "request", &out->requests);
    if (status == EXIT_SUCCESS)
        status = ctl_list(ctl, "ListClients", NULL, "client", &out->clients);
    return status;
}

struct between {
    const struct look *before;
    size_t at;      /* of its figures */
    double seconds; /* 0: there was no look before, and no rate is known */
    struct tally clients, requests;
};

static void add_rates(struct json_object *row, struct json_object *figures, struct json_object *old,
                      double seconds)
{
    int64_t p50 = quantile_us(figures, old, 500), p99 = quantile_us(figures, old, 990);

    add_rate(row, "read", grown(figures, old, "read_bytes"), seconds);
    add_rate(row, "written", grown(figures, old, "written_bytes"), seconds);
    add_rate(row, "requests", grown(figures, old, "requests"), seconds);
    add_rate(row, "held_percent", grown(figures, old, "throttled_us"), seconds * 10000);
    if (p50 >= 0)
        control_add_number(row, "p50_us", (uint64_t)p50);
    if (p99 >= 0)
        control_add_number(row, "p99_us", (uint64_t)p99);
}

static struct json_object *row_of(struct between *between, struct json_object *figures)
{
    struct json_object *row = json_object_new_object(), *old;
    const char *text = control_text(figures, "name"), *name = text != NULL ? text : "";
    int64_t in_flight = control_number(between->requests.counts, name, 0);

    old = figures_of(between->before->figures, control_number(figures, "id", -1), &between->at);
    control_add_text(row, "name", name);
    control_add_number(row, "clients", (uint64_t)control_number(between->clients.counts, name, 0));
    if (between->seconds > 0)
        add_rates(row, figures, old, between->seconds);
    control_add_number(row, "in_flight", (uint64_t)in_flight);
    if (in_flight > 0)
        control_add_number(row, "oldest_us",
                           (uint64_t)control_number(between->requests.greatest, name, 0));
    return row;
}

/* The busiest first. */
static int compare_rows(const void *a, const void *b)
{
    struct json_object *const *one = a, *const *other = b;
    int64_t left = control_number(*one, "requests", 0),
            right = control_number(*other, "requests", 0);

    return left == right ? 0 : left > right ? -1 : 1;
}

static struct json_object *rows_of(const struct look *now, const struct look *before)
{
    struct json_object *rows = json_object_new_array();
    struct between between = { .before = before,
                               .clients = tally_of(now->clients, "id"),
                               .requests = tally_of(now->requests, "age_us") };

    if (before->figures != NULL)
        between.seconds = (double)(now->time.tv_sec - before->time.tv_sec) +
                          (double)(now->time.tv_nsec - before->time.tv_nsec) / 1e9;
    for (size_t i = 0; i < json_object_array_length(now->figures); i++)
        control_append(rows, row_of(&between, json_object_array_get_idx(now->figures, i)));
    json_object_array_sort(rows, compare_rows);
    free_tally(&between.clients);
    free_tally(&between.requests);
    return rows;
}

/* ---- the screen ---- */

static struct termios terminal_before;
static bool terminal_changed;

static void restore_terminal(void)
{
    if (terminal_changed)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
    terminal_changed = false;
}

/* Keys come at once, and are not shown. */
static void prepare_terminal(void)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal_before) != 0)
        return;
    raw = terminal_before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    terminal_changed = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    (void)atexit(restore_terminal);
}

struct screen {
    size_t rows, columns;
};

static struct screen look_at_screen(void)
{
    struct winsize size = { 0 };
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    size_t rows = known && size.ws_row > 0 ? size.ws_row : ROWS_DEFAULT;

    return (struct screen){ .rows = rows > HEADING_ROWS ? rows - HEADING_ROWS : 1,
                            .columns = known && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT };
}

/* A line that the terminal would break would move all that follow. */
static void print_cut(const char *text, size_t columns)
{
    size_t used = 0;

    for (; *text != '\0'; text++) {
        bool goes_on = (*text & 0xc0) == 0x80; /* of a character of UTF-8 */

        if (*text == '\n')
            used = 0;
        else if (!goes_on)
            used++;
        if (used <= columns)
            putchar(*text);
    }
}

static void cell_percent(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    (void)snprintf(out, TEXT_CELL_BYTES, "%lld%%", (long long)json_object_get_int64(value));
}

static void print_rows(FILE *out, struct json_object *rows)
{
    static const struct text_column columns[] = {
        { .title = "EXPORT", .key = "name", .most = 14 },
        { .title = "CL", .key = "clients", .right = true },
        { .title = "READ/s", .key = "read", .right = true, .put = text_cell_short_size },
        { .title = "WRITE/s", .key = "written", .right = true, .put = text_cell_short_size },
        { .title = "IOPS", .key = "requests", .right = true, .put = text_cell_short_count },
        { .title = "p50", .key = "p50_us", .right = true, .put = text_cell_short_us },
        { .title = "p99", .key = "p99_us", .right = true, .put = text_cell_short_us },
        { .title = "FLIGHT", .key = "in_flight", .right = true },
        { .title = "OLDEST", .key = "oldest_us", .right = true, .put = text_cell_short_us },
        { .title = "HELD", .key = "held_percent", .right = true, .put = cell_percent },
        { 0 },
    };

    text_table_print(out, columns, rows);
}

static void print_heading(FILE *out, struct json_object *state)
{
    long long exports = (long long)control_number(state, "exports", 0),
              open = (long long)control_number(state, "exports_open", 0);

    fprintf(out, "nbdcrypt %s  %s  threads %lld  exports %lld", control_text(state, "version"),
            control_text(state, "state"), (long long)control_number(state, "threads", 0), exports);
    if (open < exports)
        fprintf(out, " (%lld missing)", exports - open);
    fprintf(out, "  clients %lld", (long long)control_number(state, "clients", 0));
}

/* To the top, and what was there before is cleared: ECMA-48. */
static void print_screen(struct json_object *state, struct json_object *rows)
{
    struct screen screen = look_at_screen();
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return;
    if (json_object_array_length(rows) > screen.rows)
        json_object_array_del_idx(rows, screen.rows, json_object_array_length(rows) - screen.rows);
    print_heading(out, state);
    fputs("  q quit\n", out);
    print_rows(out, rows);
    if (fclose(out) == 0) {
        fputs("\033[H\033[2J", stdout);
        print_cut(text, screen.columns);
    }
    free(text);
}

static int print_look(struct ctl *ctl, const struct look *now, const struct look *before,
                      bool batch)
{
    struct json_object *reply, *rows = rows_of(now, before);
    int status = ctl_call(ctl, "Status", NULL, &reply);
    struct json_object *state = control_member(reply, "status");

    if (status == EXIT_SUCCESS && ctl->options.json) {
        ctl_print_json_line(json_object_get(rows));
    } else if (status == EXIT_SUCCESS && batch) {
        print_heading(stdout, state);
        putchar('\n');
        print_rows(stdout, rows);
    } else if (status == EXIT_SUCCESS) {
        print_screen(state, rows);
    }
    json_object_put(rows);
    json_object_put(reply);
    fflush(stdout);
    return status;
}

/* True: somebody wants to leave. */
static bool wait_or_quit(unsigned seconds)
{
    struct pollfd poller = { .fd = terminal_changed ? STDIN_FILENO : -1, .events = POLLIN };
    char key = 0;

    if (poll(&poller, 1, (int)seconds * 1000) != 1)
        return false;
    return read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 'Q');
}

static bool is_for_people(const struct ctl *ctl)
{
    const char *kind = getenv("TERM");

    return !ctl->options.batch && !ctl->options.json && isatty(STDOUT_FILENO) && kind != NULL &&
           strcmp(kind, "dumb") != 0;
}

/* The first table of a screen is there at once, and its rates soon; one that is written to the end
 * of others has its rates from the first one on. */
int ctl_top(struct ctl *ctl)
{
    bool batch = !is_for_people(ctl);
    unsigned delay =
        ctl->options.delay_seconds > 0 ? ctl->options.delay_seconds : DELAY_SECONDS_DEFAULT;
    unsigned wait = !batch && delay > FIRST_SECONDS ? FIRST_SECONDS : delay;
    struct look before = { 0 }, now;

    if (!batch)
        prepare_terminal();
    int status = take_look(ctl, &now);
    if (status == EXIT_SUCCESS && !batch)
        status = print_look(ctl, &now, &before, batch);
    for (unsigned i = 0; status == EXIT_SUCCESS && !ferror(stdout) &&
                         (ctl->options.count == 0 || i < ctl->options.count);
         i++) {
        if (wait_or_quit(wait))
            break;
        free_look(&before);
        before = now;
        status = take_look(ctl, &now);
        if (status == EXIT_SUCCESS)
            status = print_look(ctl, &now, &before, batch);
        wait = delay;
    }
    free_look(&before);
    free_look(&now);
    restore_terminal();
    return status;
}
