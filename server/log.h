/* Messages to the operator: one line each on standard error, "nbdcrypt: " in front, or the name of
 * another program of the package.
 * Any thread.  Control characters in what a client sent are shown as \xNN. */
#ifndef NBDCRYPT_LOG_H
#define NBDCRYPT_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Before there are threads. `name` must stay; at most LOG_PROGRAM_BYTES_MAX bytes of it are used. */
#define LOG_PROGRAM_BYTES_MAX 32u
void log_set_program(const char *name);

/* LOG_WARNING by default. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
