#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "server/report/report.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define SECTIONS_MAX 32u
#define MASKED_BYTES_MAX 4000u
#define MASK "***"

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

/* ---- secrets ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/* A parameter: its name is from `start` to `end`. */
static bool is_secret_name(const char *start, const char *end)
{
    static const char *const marks[] = { "passw", "passphrase", "secret", "token",
                                         "key",   "auth",       "cookie", "credential" };

    for (; start < end; start++)
        for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
            if (strncasecmp(start, marks[i], strlen(marks[i])) == 0)
                return true;
    return false;
}

/* Behind "://": the password of user:password@, whose length is *bytes; NULL: there is none. */
static const char *password_of_uri(const char *at, size_t *bytes)
{
    size_t length = strcspn(at, "/?# \t\"'");
    const char *end = memrchr(at, '@', length), *colon;

    if (end == NULL)
        return NULL;
    colon = memchr(at, ':', (size_t)(end - at));
    if (colon == NULL)
        return NULL;
    *bytes = (size_t)(end - colon) - 1;
    return colon + 1;
}

/* "name": "value" of JSON, where `at` is the quote behind the name; NULL: it is no such thing. */
static const char *value_of_json(const char *at, size_t *bytes)
{
    at += 1 + strspn(at + 1, " \t");
    if (*at != ':')
        return NULL;
    at += 1 + strspn(at + 1, " \t");
    if (*at != '"')
        return NULL;
    *bytes = strcspn(at + 1, "\"");
    return at + 1;
}

/* The value of the parameter whose name ends at `at`, if that is one of a secret; NULL. */
static const char *secret_value(const char *text, const char *at, size_t *bytes)
{
    const char *name = at, *value = at + 1;

    while (name > text && is_word(name[-1]))
        name--;
    if (!is_secret_name(name, at))
        return NULL;
    if (*at == '"')
        value = value_of_json(at, bytes);
    else
        *bytes = strcspn(value, "&,; \t\"'");
    return value != NULL && *bytes > 0 ? value : NULL;
}

/* The next secret of `text`, which begins at `from`; NULL: there is none. */
static const char *next_secret(const char *text, const char *from, size_t *bytes)
{
    for (const char *at = from; *at != '\0'; at++) {
        if (strncmp(at, "://", 3) == 0) {
            const char *found = password_of_uri(at + 3, bytes);

            if (found != NULL)
                return found;
        }
        if (*at != '=' && *at != '"')
            continue;
        const char *value = secret_value(text, at, bytes);
        if (value != NULL)
            return value;
    }
    return NULL;
}

void report_text_masked(struct report_tree *tree, struct report_node *of, const char *name,
                        const char *text)
{
    char out[MASKED_BYTES_MAX];
    size_t used = 0, bytes = 0;
    const char *at = text;

    while (text != NULL && *at != '\0') {
        const char *secret = next_secret(text, at, &bytes);
        size_t plain = secret != NULL ? (size_t)(secret - at) : strlen(at);

        if (plain > sizeof out - used - sizeof MASK)
            break; /* rather nothing than half of it */
        memcpy(out + used, at, plain);
        used += plain;
        at += plain;
        if (secret == NULL)
            break;
        memcpy(out + used, MASK, sizeof MASK - 1);
        used += sizeof MASK - 1;
        at += bytes;
    }
    out[used] = '\0';
    if (text != NULL)
        report_text(tree, of, name, out);
}
