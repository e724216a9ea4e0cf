#include "server/pki/pki-table.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"

#define GAP 2

/* In the order of the table; the last one may be of any width. */
enum column { FILE_NAME, STATE, PURPOSE, SUBJECT, BEGINS, EXPIRES, DAYS, ISSUER, NAMES, COLUMNS };

static const char *const headings[COLUMNS] = {
    "FILE", "STATE", "FOR", "SUBJECT", "NOT BEFORE", "EXPIRES", "DAYS", "ISSUER", "NAMES",
};

struct cells {
    char *text[COLUMNS]; /* owned; NULL is nothing */
};

static struct json_object *member(struct json_object *object, const char *key)
{
    struct json_object *found = NULL;

    (void)json_object_object_get_ex(object, key, &found);
    return found;
}

static char *text_of(struct json_object *object, const char *key)
{
    const char *text = json_object_get_string(member(object, key));

    return text != NULL ? strdup(text) : NULL;
}

/* "2026-11-23T18:25:12Z": the day is enough for people. */
static char *day_of(struct json_object *object, const char *key)
{
    const char *text = json_object_get_string(member(object, key));

    return text != NULL ? strndup(text, 10) : NULL;
}

static char *list_of(struct json_object *object, const char *key)
{
    struct json_object *array = member(object, key);
    size_t count = array != NULL ? json_object_array_length(array) : 0;
    char *list = NULL;

    for (size_t i = 0; i < count; i++) {
        const char *one = json_object_get_string(json_object_array_get_idx(array, i));
        char *longer;

        if (asprintf(&longer, "%s%s%s", list != NULL ? list : "", list != NULL ? "," : "",
                     one != NULL ? one : "") < 0)
            break;
        free(list);
        list = longer;
    }
    return list;
}

static char *purpose_of(struct json_object *item)
{
    const char *kind = json_object_get_string(member(item, "kind"));
    char *text;

    if (strcmp(kind, "certificate") == 0)
        return list_of(item, "purposes");
    if (strcmp(kind, "revoked") == 0 && member(item, "revoked") != NULL)
        return asprintf(&text, "%lld revoked",
                        (long long)json_object_get_int64(member(item, "revoked"))) < 0
                   ? NULL
                   : text;
    return strdup(strcmp(kind, "psk") == 0 ? "pre-shared keys" : kind);
}

static struct cells cells_of(struct json_object *item)
{
    struct cells cells = { .text = {
                               [FILE_NAME] = text_of(item, "file"),
                               [STATE] = text_of(item, "state"),
                               [PURPOSE] = purpose_of(item),
                               [SUBJECT] = text_of(item, "subject"),
                               [BEGINS] = day_of(item, "not-before"),
                               [EXPIRES] = day_of(item, "expires"),
                               [DAYS] = text_of(item, "days-left"),
                               [ISSUER] = text_of(item, "issuer"),
                               [NAMES] =
                                   list_of(item, member(item, "users") != NULL ? "users" : "names"),
                           } };

    return cells;
}

static const char *shown(const char *cell)
{
    return cell != NULL && *cell ? cell : "-";
}

static void print_row(FILE *out, const char *const text[COLUMNS], const size_t widths[COLUMNS])
{
    for (unsigned i = 0; i < COLUMNS; i++) {
        const char *cell = shown(text[i]);

        fputs(cell, out);
        if (i + 1 < COLUMNS)
            fprintf(out, "%*s", (int)(widths[i] + GAP - utf8_columns(cell)), "");
    }
    fputc('\n', out);
}

void pki_table_print(FILE *out, struct json_object *report)
{
    struct json_object *items = member(report, "items");
    size_t count = json_object_array_length(items), widths[COLUMNS];
    struct cells *rows = calloc(count + 1, sizeof *rows);

    if (rows == NULL)
        return;
    for (unsigned i = 0; i < COLUMNS; i++)
        widths[i] = strlen(headings[i]);
    for (size_t row = 0; row < count; row++) {
        rows[row] = cells_of(json_object_array_get_idx(items, row));
        for (unsigned i = 0; i < COLUMNS; i++) {
            size_t width = utf8_columns(shown(rows[row].text[i]));

            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    print_row(out, headings, widths);
    for (size_t row = 0; row < count; row++) {
        print_row(out, (const char *const *)rows[row].text, widths);
        for (unsigned i = 0; i < COLUMNS; i++)
            free(rows[row].text[i]);
    }
    free(rows);
}
