#include "server/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Copies as much of a NUL-terminated text as fits behind `used` bytes. */
static void append(char text[ERROR_TEXT_BYTES], size_t used, const char *more)
{
    size_t room = ERROR_TEXT_BYTES - 1 - used;
    size_t length = strnlen(more, room);

    memcpy(text + used, more, length);
    text[used + length] = '\0';
}

int error_set(struct error *err, int code, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES]; /* the arguments may point into err->text */
    va_list args;

    if (!err)
        return code;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    append(err->text, 0, text);
    return code;
}

void error_prefix(struct error *err, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list args;

    if (!err)
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    append(text, strlen(text), err->text);
    append(err->text, 0, text);
}
