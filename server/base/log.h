/* Messages to the operator: one line each on standard error.
 * Any thread. A server never waits for whoever reads them: see log-service.h. Bytes that are no
 * text are shown as \xNN: see log-text.h. */
#ifndef NBDCRYPT_LOG_H
#define NBDCRYPT_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/log-about.h"

/* LOG_NOTICE: what somebody who looks after a server wants to know of a day on which all went
 * well. */
enum log_level { LOG_ERROR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

/* Before there are threads. `name` must stay; at most LOG_PROGRAM_BYTES_MAX bytes of it are
 * used. */
#define LOG_PROGRAM_BYTES_MAX 32u
void log_set_program(const char *name);
const char *log_program(void);

/* What is written in front of each line where nobody else has the lines (log-service.h): a literal
 * of at most LOG_LINE_START_BYTES_MAX bytes, to take a line of a terminal from something
 * passing. */
#define LOG_LINE_START_BYTES_MAX 8u
void log_set_line_start(const char *text);

/* Standard error is a stream of the journal, which adds time and program itself and takes the level
 * as
 * "<4>" in front: sd-daemon(3), JOURNAL_STREAM in systemd.exec(5). */
bool log_is_journal(void);
/* That number, of syslog(3). */
int log_priority(enum log_level level);

/* LOG_WARNING by default. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same of a client or a remote server, whose name comes first: "WHO: ...". So many of one
 * format and from one address are written in a minute: see log-limit.h. `format` is a literal. */
void log_write_of(enum log_level level, const char *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with all that is known of what it is about. */
void log_write_about(enum log_level level, struct log_about about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_export(level, message_id, name, ...) \
    log_write_about(level, LOG_ABOUT(.id = (message_id), .export = (name)), __VA_ARGS__)

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_write(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

/* Whom a message is counted for: the same for all connections from one address or of one user,
 * whose texts peer_describe() makes; for anybody else it is the name. Never 0. */
uint64_t log_source_of(const char *who);

/* Hears of every message, whatever its level, on the thread that it is of; must not wait; `who` is
 * NULL where it is about nobody.  NULL: nobody hears them. */
typedef void log_witness_fn(enum log_level level, const char *who, const char *format,
                            va_list args);
void log_set_witness(log_witness_fn *witness);

/* What log-service.c puts in the place of writing each line at once; NULL: nothing. */
struct log_sink {
    /* `source` is 0 where nothing is to be limited. */
    void (*put)(enum log_level level, uint64_t source, const struct log_about *about,
                const char *format, va_list args);
};
void log_set_sink(const struct log_sink *sink);

#endif
