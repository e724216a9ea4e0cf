#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "server/report/report.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "server/base/secret-text.h"

#define SECTIONS_MAX 32u
#define MASKED_BYTES_MAX 4000u

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* ---- sections ---- */

static _Atomic(const struct report_section *) sections[SECTIONS_MAX];

void report_register(const struct report_section *section)
{
    for (size_t i = 0; i < SECTIONS_MAX; i++) {
        const struct report_section *before = NULL;

        if (atomic_compare_exchange_strong(&sections[i], &before, section) || before == section)
            return;
    }
}

static void add_head(struct report_tree *tree, const struct report_cause *cause,
                     const struct report_look *look)
{
    char time[REPORT_TIME_BYTES];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    report_time(time, (uint64_t)now.tv_sec, false);
    report_number(tree, &tree->root, "report", REPORT_VERSION);
    report_text(tree, &tree->root, "kind", cause->kind);
    report_text(tree, &tree->root, "reason", cause->reason);
    report_text(tree, &tree->root, "time", time);
    report_number(tree, &tree->root, "pid", (uint64_t)look->pid);
    report_text(tree, &tree->root, "version", PACKAGE_VERSION);
}

void report_collect(struct report_tree *tree, const struct report_cause *cause,
                    const struct report_look *look, unsigned with, unsigned without)
{
    report_tree_clear(tree);
    if (cause != NULL)
        add_head(tree, cause, look);
    struct report_node *all = report_object(tree, &tree->root, "sections");
    for (size_t i = 0; i < SECTIONS_MAX; i++) {
        const struct report_section *section = atomic_load(&sections[i]);

        if (section == NULL || (section->flags & with) != with || (section->flags & without) != 0)
            continue;
        uint64_t left_out = tree->left_out;
        struct report_node *of = report_object(tree, all, section->name);
        section->collect(tree, of, look);
        if (tree->left_out > left_out) {
            tree->room_bytes += REPORT_TREE_KEPT_BYTES;
            report_number(tree, of, "left_out", tree->left_out - left_out);
            tree->room_bytes -= REPORT_TREE_KEPT_BYTES;
        }
    }
}

/* ---- text ---- */

void report_join(char *out, size_t room_bytes, const char *first, ...)
{
    size_t used = 0;
    va_list args;

    va_start(args, first);
    for (const char *part = first; part != NULL; part = va_arg(args, const char *))
        for (; *part != '\0' && used < room_bytes - 1; part++)
            out[used++] = *part;
    va_end(args);
    out[used] = '\0';
}

const char *report_digits(char out[24], uint64_t number)
{
    char *at = out + 23;

    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return at;
}

static char *put_digits(char *out, uint64_t number, unsigned digits)
{
    for (unsigned i = digits; i-- > 0; number /= 10)
        out[i] = (char)('0' + number % 10);
    return out + digits;
}

/* Of the proleptic Gregorian calendar, from 1970 on: years that begin with March end with the day
 * that may be missing. */
void report_time(char out[REPORT_TIME_BYTES], uint64_t seconds, bool short_form)
{
    uint64_t days = seconds / 86400 + 719468, second = seconds % 86400;
    uint64_t era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t of_year = day - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    char *at = out;

    day = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year += era * 400 + (month <= 2);
    const uint64_t parts[] = { year, month, day, second / 3600, second / 60 % 60, second % 60 };
    static const char between[] = "\0--T::";
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (between[i] != '\0' && (!short_form || between[i] == 'T'))
            *at++ = between[i];
        at = put_digits(at, parts[i], i == 0 ? 4 : 2);
    }
    *at++ = 'Z';
    *at = '\0';
}

void report_text_masked(struct report_tree *tree, struct report_node *of, const char *name,
                        const char *text)
{
    char out[MASKED_BYTES_MAX];

    if (text == NULL)
        return;
    secret_text_mask(out, sizeof out, text);
    report_text(tree, of, name, out);
}
