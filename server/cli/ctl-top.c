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
#define ROWS_DEFAULT 24
#define HEADING_ROWS 3 /* the status, the titles, and the line that the cursor is on */

/* ---- what came between two looks ---- */

/* The figures that the export of this id had at the last look; NULL: none. */
static struct json_object *figures_of(struct json_object *list, int64_t id)
{
    for (size_t i = 0; list != NULL && i < json_object_array_length(list); i++) {
        struct json_object *one = json_object_array_get_idx(list, i);

        if (control_number(one, "id", -1) == id)
            return one;
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

/* Of one export: commands in flight, and how old the oldest is. */
static void add_flight(struct json_object *row, struct json_object *requests, const char *name)
{
    int64_t count = 0, oldest_us = 0;

    for (size_t i = 0; i < json_object_array_length(requests); i++) {
        struct json_object *one = json_object_array_get_idx(requests, i);
        const char *of = control_text(one, "export");
        int64_t age_us = control_number(one, "age_us", 0);

        if (of == NULL || strcmp(of, name) != 0)
            continue;
        count++;
        oldest_us = age_us > oldest_us ? age_us : oldest_us;
    }
    control_add_number(row, "in_flight", (uint64_t)count);
    if (count > 0)
        control_add_number(row, "oldest_us", (uint64_t)oldest_us);
}

static uint64_t clients_of(struct json_object *clients, const char *name)
{
    uint64_t count = 0;

    for (size_t i = 0; i < json_object_array_length(clients); i++) {
        const char *of = control_text(json_object_array_get_idx(clients, i), "export");

        count += of != NULL && strcmp(of, name) == 0;
    }
    return count;
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

static struct json_object *row_of(const struct look *now, const struct look *before,
                                  struct json_object *figures, double seconds)
{
    struct json_object *row = json_object_new_object();
    struct json_object *old = figures_of(before->figures, control_number(figures, "id", -1));
    const char *name = control_text(figures, "name");
    int64_t p50 = quantile_us(figures, old, 500), p99 = quantile_us(figures, old, 990);

    control_add_text(row, "name", name);
    control_add_number(row, "clients", clients_of(now->clients, name != NULL ? name : ""));
    add_rate(row, "read", grown(figures, old, "read_bytes"), seconds);
    add_rate(row, "written", grown(figures, old, "written_bytes"), seconds);
    add_rate(row, "requests", grown(figures, old, "requests"), seconds);
    if (p50 >= 0)
        control_add_number(row, "p50_us", (uint64_t)p50);
    if (p99 >= 0)
        control_add_number(row, "p99_us", (uint64_t)p99);
    add_flight(row, now->requests, name != NULL ? name : "");
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
    double seconds = (double)(now->time.tv_sec - before->time.tv_sec) +
                     (double)(now->time.tv_nsec - before->time.tv_nsec) / 1e9;

    for (size_t i = 0; i < json_object_array_length(now->figures); i++)
        control_append(rows, row_of(now, before, json_object_array_get_idx(now->figures, i),
                                    seconds > 0 ? seconds : 1));
    json_object_array_sort(rows, compare_rows);
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

static size_t rows_that_fit(void)
{
    struct winsize size = { 0 };
    int rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row
                                                                               : ROWS_DEFAULT;

    return rows > HEADING_ROWS ? (size_t)(rows - HEADING_ROWS) : 1;
}

static void print_rows(struct json_object *rows, bool batch)
{
    static const struct text_column columns[] = {
        { .title = "EXPORT", .key = "name", .most = 16 },
        { .title = "CL", .key = "clients", .right = true },
        { .title = "READ/s", .key = "read", .right = true, .put = text_cell_size },
        { .title = "WRITE/s", .key = "written", .right = true, .put = text_cell_size },
        { .title = "IOPS", .key = "requests", .right = true },
        { .title = "p50", .key = "p50_us", .right = true, .put = text_cell_duration_us },
        { .title = "p99", .key = "p99_us", .right = true, .put = text_cell_duration_us },
        { .title = "FLIGHT", .key = "in_flight", .right = true },
        { .title = "OLDEST", .key = "oldest_us", .right = true, .put = text_cell_duration_us },
        { 0 },
    };

    if (!batch && json_object_array_length(rows) > rows_that_fit())
        json_object_array_del_idx(rows, rows_that_fit(),
                                  json_object_array_length(rows) - rows_that_fit());
    text_table_print(stdout, columns, rows);
}

static int print_look(struct ctl *ctl, const struct look *now, const struct look *before,
                      bool batch)
{
    struct json_object *reply, *rows;
    int status = ctl_call(ctl, "Status", NULL, &reply);
    struct json_object *state = control_member(reply, "status");

    if (status == EXIT_SUCCESS && ctl->options.json) {
        ctl_print_json_line(rows_of(now, before));
    } else if (status == EXIT_SUCCESS) {
        rows = rows_of(now, before);
        fputs(batch ? "" : "\033[H\033[2J", stdout); /* to the top, and clear: ECMA-48 */
        printf("nbdcrypt %s  %s  threads %lld  exports %lld  clients %lld%s\n",
               control_text(state, "version"), control_text(state, "state"),
               (long long)control_number(state, "threads", 0),
               (long long)control_number(state, "exports", 0),
               (long long)control_number(state, "clients", 0), batch ? "" : "  q quit");
        print_rows(rows, batch);
        json_object_put(rows);
    }
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

int ctl_top(struct ctl *ctl)
{
    bool batch = ctl->options.batch || ctl->options.json || !isatty(STDOUT_FILENO);
    unsigned delay =
        ctl->options.delay_seconds > 0 ? ctl->options.delay_seconds : DELAY_SECONDS_DEFAULT;
    struct look before = { 0 }, now;

    if (!batch)
        prepare_terminal();
    int status = take_look(ctl, &before);
    for (unsigned i = 0; status == EXIT_SUCCESS && !ferror(stdout) &&
                         (ctl->options.count == 0 || i < ctl->options.count);
         i++) {
        if (wait_or_quit(delay))
            break;
        status = take_look(ctl, &now);
        if (status == EXIT_SUCCESS)
            status = print_look(ctl, &now, &before, batch);
        free_look(&before);
        before = now;
    }
    free_look(&before);
    restore_terminal();
    return status;
}
