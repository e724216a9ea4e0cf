#include "server/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/error.h"
#include "server/base/file-io.h"
#include "server/base/log-exports.h"
#include "server/base/log-text.h"
#include "server/base/secret-text.h"

#define TEXT_BYTES (ERROR_TEXT_BYTES + 512u) /* any error, and on whom it came */

static const char *program = "nbdcrypt";
static atomic_int log_level = LOG_WARNING;
static _Atomic(const struct log_sink *) log_sink;
static _Atomic(log_witness_fn *) log_witness;
static _Atomic(const char *) line_start = "";

void log_set_program(const char *name)
{
    program = name;
}

const char *log_program(void)
{
    return program;
}

void log_set_line_start(const char *text)
{
    atomic_store_explicit(&line_start, text, memory_order_release);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void log_set_sink(const struct log_sink *sink)
{
    atomic_store_explicit(&log_sink, sink, memory_order_release);
}

void log_set_witness(log_witness_fn *witness)
{
    atomic_store_explicit(&log_witness, witness, memory_order_release);
}

bool log_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;

    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

int log_priority(enum log_level level)
{
    static const int priorities[] = {
        [LOG_ERROR] = 3, [LOG_WARNING] = 4, [LOG_NOTICE] = 5, [LOG_INFO] = 6, [LOG_DEBUG] = 7,
    };

    return priorities[level];
}

/* "client 192.0.2.7:40312 (CN=vm7)" -> "client 192.0.2.7", "client pid 71 uid 0" -> "uid 0". */
static void source_text(const char *who, const char **start, size_t *length_bytes)
{
    const char *user = strstr(who, " uid ");

    *start = who;
    *length_bytes = strlen(who);
    if (strncmp(who, "client ", 7) != 0)
        return;
    if (strncmp(who, "client pid ", 11) == 0 && user != NULL) {
        *start = user + 1;
        *length_bytes = 4 + strspn(user + 5, "0123456789");
        return;
    }
    size_t end = strcspn(who + 7, " ") + 7;
    size_t digits = end;
    while (digits > 0 && isdigit((unsigned char)who[digits - 1]))
        digits--;
    *length_bytes = digits > 0 && who[digits - 1] == ':' ? digits - 1 : end;
}

/* FNV-1a, 64 bits (RFC 9923). */
uint64_t log_source_of(const char *who)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    size_t length_bytes;
    const char *start;

    source_text(who, &start, &length_bytes);
    for (size_t i = 0; i < length_bytes; i++)
        hash = (hash ^ (unsigned char)start[i]) * UINT64_C(0x100000001b3);
    return hash != 0 ? hash : 1;
}

/* As log-service.c puts it for the journal; elsewhere the level is not told. */
static size_t put_prefix(char *line, size_t line_bytes, enum log_level level)
{
    const char *start = atomic_load_explicit(&line_start, memory_order_acquire);

    if (log_is_journal())
        return (size_t)snprintf(line, line_bytes, "<%d>", log_priority(level));
    return (size_t)snprintf(line, line_bytes, "%.*s%.*s: ", (int)LOG_LINE_START_BYTES_MAX, start,
                            (int)LOG_PROGRAM_BYTES_MAX, program);
}

static void write_at_once(enum log_level level, const char *who, const char *format, va_list args)
{
    char text[TEXT_BYTES];
    char line[LOG_LINE_START_BYTES_MAX + TEXT_BYTES * LOG_TEXT_GROWTH + LOG_PROGRAM_BYTES_MAX + 3];
    size_t length;
    int used = who != NULL ? snprintf(text, sizeof text, "%s: ", who) : 0;

    if (used < 0 || (size_t)used >= sizeof text ||
        vsnprintf(text + used, sizeof text - (size_t)used, format, args) < 0)
        text[0] = '\0';
    secret_text_mask_line(text, sizeof text);
    length = put_prefix(line, LOG_LINE_START_BYTES_MAX + LOG_PROGRAM_BYTES_MAX + 3, level);
    length += log_text_escape(line + length, text);
    line[length++] = '\n';
    /* One write per line, so that lines of several threads do not mix.  Who should be told that it
     * failed? */
    int ignored = file_io_write(STDERR_FILENO, line, length);
    (void)ignored;
}

static void put(enum log_level level, const struct log_about *about, const char *format,
                va_list args)
{
    const struct log_sink *sink = atomic_load_explicit(&log_sink, memory_order_acquire);
    uint64_t source = about->who != NULL ? log_source_of(about->who) : 0;

    if (sink != NULL)
        sink->put(level, source, about, format, args);
    else
        write_at_once(level, about->who, format, args);
}

static bool is_wanted(enum log_level level, const char *export)
{
    int own;

    if (export != NULL && log_exports_get(export, &own))
        return (int)level <= own;
    return log_enabled(level);
}

static void write_about(enum log_level level, const struct log_about *about, const char *format,
                        va_list args)
{
    log_witness_fn *witness = atomic_load_explicit(&log_witness, memory_order_acquire);
    va_list copy;

    if (witness != NULL) {
        va_copy(copy, args);
        witness(level, about->who, format, copy);
        va_end(copy);
    }
    if (is_wanted(level, about->export))
        put(level, about, format, args);
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_about(level, &LOG_ABOUT(0), format, args);
    va_end(args);
}

void log_write_of(enum log_level level, const char *who, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_about(level, &LOG_ABOUT(.who = who), format, args);
    va_end(args);
}

void log_write_about(enum log_level level, struct log_about about, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_about(level, &about, format, args);
    va_end(args);
}
