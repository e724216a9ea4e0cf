#include "server/cli/text-table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"

/* The server took it from others: '?' instead of what moves something on a terminal. */
static void put_text(char out[TEXT_CELL_BYTES], const char *text)
{
    char *clean = utf8_clean(text, strnlen(text, TEXT_CELL_BYTES - 1));

    snprintf(out, TEXT_CELL_BYTES, "%s", clean != NULL ? clean : "");
    free(clean);
}

/* At so many characters, with a mark. */
static void cut_cell(char cell[TEXT_CELL_BYTES], int most)
{
    int columns = 0;

    for (char *at = cell; *at != '\0'; at++) {
        if ((*at & 0xc0) == 0x80)
            continue;
        if (++columns == most && at[1] != '\0') {
            snprintf(at, TEXT_CELL_BYTES - (size_t)(at - cell), "~");
            return;
        }
    }
}

void text_table_cell(char out[TEXT_CELL_BYTES], const struct text_column *column,
                     struct json_object *row)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(row, column->key, &value);
    if (value == NULL)
        snprintf(out, TEXT_CELL_BYTES, "-");
    else if (column->put != NULL)
        column->put(out, value);
    else if (json_object_is_type(value, json_type_boolean))
        snprintf(out, TEXT_CELL_BYTES, "%s", json_object_get_boolean(value) ? "yes" : "no");
    else
        put_text(out, json_object_get_string(value));
    if (column->most > 0)
        cut_cell(out, column->most);
}

void text_cell_words(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    size_t used = 0;

    snprintf(out, TEXT_CELL_BYTES, "%s", json_object_array_length(value) == 0 ? "-" : "");
    for (size_t i = 0; i < json_object_array_length(value) && used < TEXT_CELL_BYTES - 1; i++) {
        char word[TEXT_CELL_BYTES];

        put_text(word, json_object_get_string(json_object_array_get_idx(value, i)));
        int bytes = snprintf(out + used, TEXT_CELL_BYTES - used, "%s%s", i > 0 ? " " : "", word);
        used += bytes > 0 ? (size_t)bytes : 0;
    }
}

static int columns_of(const char *text)
{
    return (int)utf8_columns(text);
}

static int width_of(const struct text_column *column, struct json_object *rows)
{
    int width = columns_of(column->title);
    char cell[TEXT_CELL_BYTES];

    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        text_table_cell(cell, column, json_object_array_get_idx(rows, i));
        if (columns_of(cell) > width)
            width = columns_of(cell);
    }
    return width;
}

static void print_cell(FILE *out, const struct text_column *column, const char *cell, int width)
{
    int blanks = width - columns_of(cell);
    bool last = column[1].title == NULL;

    if (column->right)
        fprintf(out, "%*s%s", blanks, "", cell);
    else
        fprintf(out, "%s%*s", cell, last ? 0 : blanks, "");
    fputs(last ? "\n" : "  ", out);
}

void text_table_print(FILE *out, const struct text_column *columns, struct json_object *rows)
{
    char cell[TEXT_CELL_BYTES];
    int widths[16];
    size_t count = 0;

    for (; columns[count].title != NULL && count < 16; count++)
        widths[count] = width_of(&columns[count], rows);
    for (size_t k = 0; k < count; k++)
        print_cell(out, &columns[k], columns[k].title, widths[k]);
    for (size_t i = 0; i < json_object_array_length(rows); i++)
        for (size_t k = 0; k < count; k++) {
            text_table_cell(cell, &columns[k], json_object_array_get_idx(rows, i));
            print_cell(out, &columns[k], cell, widths[k]);
        }
}

void text_table_print_one(FILE *out, const struct text_column *columns, struct json_object *row)
{
    char cell[TEXT_CELL_BYTES];

    for (; columns->title != NULL; columns++) {
        struct json_object *value = NULL;

        if (!json_object_object_get_ex(row, columns->key, &value) || value == NULL)
            continue;
        text_table_cell(cell, columns, row);
        fprintf(out, "%-12s%s\n", columns->title, cell);
    }
}

void text_cell_size(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double size = (double)json_object_get_int64(value);
    size_t unit = 0;

    for (; size >= 1024 && unit < 6; unit++)
        size /= 1024;
    snprintf(out, TEXT_CELL_BYTES, size < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", size,
             units[unit]);
}

void text_cell_duration_us(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    int64_t us = json_object_get_int64(value), s = us / 1000000;

    if (us < 10000)
        snprintf(out, TEXT_CELL_BYTES, "%" PRId64 " us", us);
    else if (us < 10000000)
        snprintf(out, TEXT_CELL_BYTES, "%" PRId64 " ms", us / 1000);
    else if (s < 86400)
        snprintf(out, TEXT_CELL_BYTES, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600,
                 s / 60 % 60, s % 60);
    else
        snprintf(out, TEXT_CELL_BYTES, "%" PRId64 "d %02" PRId64 ":%02" PRId64, s / 86400,
                 s / 3600 % 24, s / 60 % 60);
}

/* "7", "7.1k", "71k": three digits and a letter, or four digits. */
static void put_short(char out[TEXT_CELL_BYTES], double number, double step, const char *letters)
{
    size_t letter = 0;

    for (; number >= step && letters[letter + 1] != '\0'; letter++)
        number /= step;
    snprintf(out, TEXT_CELL_BYTES, number < 9.95 && letter > 0 ? "%.1f%.*s" : "%.0f%.*s", number,
             letter > 0, &letters[letter]);
}

void text_cell_short_size(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    put_short(out, (double)json_object_get_int64(value), 1024, " KMGTPE");
}

void text_cell_short_count(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    put_short(out, (double)json_object_get_int64(value), 1000, " kMGTPE");
}

void text_cell_short_us(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    static const struct {
        double at_least_us;
        const char *name;
    } units[] = { { 86400e6, "d" }, { 3600e6, "h" }, { 60e6, "m" },
                  { 1e6, "s" },     { 1e3, "ms" },   { 1, "us" } };
    double us = (double)json_object_get_int64(value);
    size_t unit = 0;

    while (unit < 5 && us < units[unit].at_least_us)
        unit++;
    us /= units[unit].at_least_us;
    snprintf(out, TEXT_CELL_BYTES, us < 9.95 && unit < 5 ? "%.1f%s" : "%.0f%s", us,
             units[unit].name);
}
