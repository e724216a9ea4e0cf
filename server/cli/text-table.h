/* A table for people, of rows of JSON: columns as wide as what is in them. */
#ifndef NBDCRYPT_TEXT_TABLE_H
#define NBDCRYPT_TEXT_TABLE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TEXT_CELL_BYTES 512u

struct text_column {
    const char *title, *key;
    bool right; /* numbers */
    int most;   /* columns of the screen that it takes at most, what is longer is cut; 0: any */
    /* NULL: a text, a number or yes and no as it is; "-" where there is none. */
    void (*put)(char out[TEXT_CELL_BYTES], struct json_object *value);
};

/* `columns` end with one without title, `rows` is an array of objects. */
void text_table_print(FILE *out, const struct text_column *columns, struct json_object *rows);
/* "  title  value" for each column of one object, but for what it has not. */
void text_table_print_one(FILE *out, const struct text_column *columns, struct json_object *row);

/* What stands in one cell. */
void text_table_cell(char out[TEXT_CELL_BYTES], const struct text_column *column,
                     struct json_object *row);

/* Cells: "4 MiB", rounded; "310 us", "3d 04:05". */
/* An array of texts: with blanks between them. */
void text_cell_words(char out[TEXT_CELL_BYTES], struct json_object *value);
void text_cell_size(char out[TEXT_CELL_BYTES], struct json_object *value);
void text_cell_duration_us(char out[TEXT_CELL_BYTES], struct json_object *value);

/* The same in five columns or six: "212M" bytes, "7.1k", "310us". */
void text_cell_short_size(char out[TEXT_CELL_BYTES], struct json_object *value);
void text_cell_short_count(char out[TEXT_CELL_BYTES], struct json_object *value);
void text_cell_short_us(char out[TEXT_CELL_BYTES], struct json_object *value);

#endif
