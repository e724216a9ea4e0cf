#include "server/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What error.h tells the analyzer. */
#undef error_set
#undef error_no_memory

#define GAP "..."

static bool is_within_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80; /* UTF-8 */
}

/* What does not fit loses its middle: the beginning says what failed, the end why and what to
 * do. */
static void keep_ends(char out[ERROR_TEXT_BYTES], const char *text, size_t length_bytes)
{
    size_t head = (ERROR_TEXT_BYTES - sizeof GAP) / 2;
    size_t tail = ERROR_TEXT_BYTES - sizeof GAP - head;

    if (length_bytes < ERROR_TEXT_BYTES) {
        memcpy(out, text, length_bytes + 1);
        return;
    }
    while (head > 0 && is_within_character(text[head]))
        head--;
    while (tail > 0 && is_within_character(text[length_bytes - tail]))
        tail--;
    memcpy(out, text, head);
    memcpy(out + head, GAP, strlen(GAP));
    memcpy(out + head + strlen(GAP), text + length_bytes - tail, tail + 1);
}

/* Longer than there is room: the whole is made elsewhere, to be shortened. */
static bool set_long(struct error *err, const char *behind, const char *format, va_list args)
{
    char *front = NULL, *whole = NULL;
    int length_bytes = vasprintf(&front, format, args);

    if (length_bytes >= 0) {
        length_bytes = asprintf(&whole, "%s%s", front, behind);
        free(front);
    }
    if (length_bytes < 0)
        return false;
    keep_ends(err->text, whole, (size_t)length_bytes);
    free(whole);
    return true;
}

/* The arguments, and `behind`, may point into err->text, so that is written last. */
static void set(struct error *err, const char *behind, const char *format, va_list args)
{
    char text[ERROR_TEXT_BYTES];
    size_t behind_bytes = strlen(behind);
    va_list again;

    va_copy(again, args);
    int length_bytes = vsnprintf(text, sizeof text, format, args);
    if (length_bytes < 0)
        text[0] = '\0';
    size_t used = length_bytes > 0 ? (size_t)length_bytes : 0;
    if (used + behind_bytes < sizeof text) {
        memcpy(text + used, behind, behind_bytes + 1);
        memcpy(err->text, text, used + behind_bytes + 1);
    } else if (!set_long(err, behind, format, again)) {
        memcpy(err->text, text, sizeof text); /* no memory: the beginning */
    }
    va_end(again);
}

/* What opens files is everywhere, and its reason says nothing of where the limit is. */
static const char *advice_for(int result)
{
    if (result == -EMFILE)
        return ERROR_DESCRIPTORS_ADVICE;
    if (result == -ENFILE)
        return "; raise `sysctl fs.file-max`, of which all programs have a part";
    return NULL;
}

int error_set(struct error *err, int result, const char *format, ...)
{
    const char *advice = advice_for(result);
    va_list args;

    if (err == NULL)
        return result;
    va_start(args, format);
    set(err, "", format, args);
    va_end(args);
    if (advice != NULL &&
        strstr(err->text, advice) == NULL) /* a message may be made of another one */
        (void)error_set(err, 0, "%s%s", err->text, advice);
    return result;
}

void error_prefix(struct error *err, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return;
    va_start(args, format);
    set(err, err->text, format, args);
    va_end(args);
}

int error_no_memory(struct error *err, const char *what_for)
{
    return error_set(err, -ENOMEM, "not enough memory%s%s", what_for != NULL ? " " : "",
                     what_for != NULL ? what_for : "");
}
