#include "server/metrics/metrics-text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"

#define ROOM_LEAST_BYTES 65536u

/* False: there is no memory. */
static bool make_room(struct metrics_text *text, size_t more_bytes)
{
    size_t wanted_bytes = text->length_bytes + more_bytes;
    size_t room_bytes = text->room_bytes > 0 ? text->room_bytes : ROOM_LEAST_BYTES;

    if (text->failed || wanted_bytes <= text->room_bytes)
        return !text->failed;
    while (room_bytes < wanted_bytes)
        room_bytes *= 2;
    char *larger = realloc(text->bytes, room_bytes);
    text->failed = larger == NULL;
    if (larger == NULL)
        return false;
    text->bytes = larger;
    text->room_bytes = room_bytes;
    return true;
}

static void append(struct metrics_text *text, const char *bytes, size_t length_bytes)
{
    if (!make_room(text, length_bytes))
        return;
    memcpy(text->bytes + text->length_bytes, bytes, length_bytes);
    text->length_bytes += length_bytes;
}

void metrics_put(struct metrics_text *text, const char *format, ...)
{
    for (size_t more_bytes = 256; make_room(text, more_bytes);) {
        size_t left_bytes = text->room_bytes - text->length_bytes;
        va_list args;

        va_start(args, format);
        int length = vsnprintf(text->bytes + text->length_bytes, left_bytes, format, args);
        va_end(args);
        if (length >= 0 && (size_t)length < left_bytes) {
            text->length_bytes += (size_t)length;
            return;
        }
        text->failed = length < 0;
        more_bytes = (size_t)length + 1;
    }
}

void metrics_family(struct metrics_text *text, enum metrics_type type, const char *name,
                    const char *help)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    const char *end = type == METRICS_COUNTER && !text->openmetrics ? "_total" : "";

    metrics_put(text, "# HELP %s%s %s\n", name, end, help);
    metrics_put(text, "# TYPE %s%s %s\n", name, end, types[type]);
}

void metrics_put_label(struct metrics_text *text, const char *value)
{
    size_t left = strlen(value);

    while (left > 0) {
        size_t bytes = utf8_character_bytes(value, left);

        if (bytes == 0)
            metrics_put(text, "\\\\x%02x", (unsigned char)*value);
        else if (*value == '\\' || *value == '"')
            metrics_put(text, "\\%c", *value);
        else
            append(text, value, bytes);
        value += bytes > 0 ? bytes : 1;
        left -= bytes > 0 ? bytes : 1;
    }
}

void metrics_put_count(struct metrics_text *text, uint64_t count)
{
    char digits[24];
    size_t at = sizeof digits;

    digits[--at] = '\n';
    do
        digits[--at] = (char)('0' + count % 10);
    while ((count /= 10) > 0);
    digits[--at] = ' ';
    append(text, digits + at, sizeof digits - at);
}

void metrics_put_seconds(struct metrics_text *text, uint64_t ns)
{
    metrics_put(text, " %llu.%09llu\n", (unsigned long long)(ns / 1000000000u),
                (unsigned long long)(ns % 1000000000u));
}

void metrics_end(struct metrics_text *text)
{
    if (text->openmetrics)
        metrics_put(text, "# EOF\n");
}

void metrics_text_free(struct metrics_text *text)
{
    free(text->bytes);
    *text = (struct metrics_text){ .openmetrics = text->openmetrics };
}
