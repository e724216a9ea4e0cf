#include "server/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_TEXT_BYTES 2048

static const char *log_program = "nbdcrypt";
static atomic_int log_level = LOG_WARNING;

void log_set_program(const char *name)
{
    log_program = name;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* C0, DEL, and C1 as UTF-8 writes it (0xC2 0x80..0x9F): what can drive a terminal. */
static bool is_control(const unsigned char *at)
{
    if (at[0] < 0x20 || at[0] == 0x7f)
        return true;
    return at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;
}

static size_t put_escaped(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";

    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

/* At most 4 bytes for each one of `text`. */
static size_t put_line(char *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t used = strnlen(log_program, LOG_PROGRAM_BYTES_MAX);

    memcpy(out, log_program, used);
    out[used++] = ':';
    out[used++] = ' ';
    for (; *at; at++) {
        bool control = is_control(at);

        if (!control) {
            out[used++] = (char)*at;
            continue;
        }
        used += put_escaped(out + used, *at);
        if (*at == 0xc2)
            used += put_escaped(out + used, *++at);
    }
    out[used++] = '\n';
    return used;
}

/* One write per line, so that lines of several threads do not mix. */
static void write_all(const char *line, size_t length_bytes)
{
    while (length_bytes > 0) {
        ssize_t written = write(STDERR_FILENO, line, length_bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* nowhere to complain to */
        line += written;
        length_bytes -= (size_t)written;
    }
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[LOG_TEXT_BYTES];
    char line[LOG_TEXT_BYTES * 4 + LOG_PROGRAM_BYTES_MAX + 3];
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    write_all(line, put_line(line, text));
}
