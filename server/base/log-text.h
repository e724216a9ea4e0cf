/* What a line of the log may hold: UTF-8 (RFC 3629) that moves nothing on a terminal. */
#ifndef NBDCRYPT_LOG_TEXT_H
#define NBDCRYPT_LOG_TEXT_H

#include <stddef.h>

/* Each byte of `text` becomes at most so many. */
#define LOG_TEXT_GROWTH 4u

/* Writes `text` to `out` (at least LOG_TEXT_GROWTH times its length; no NUL is added) and returns
 * how many bytes that are. A byte that is not valid UTF-8, a control character (C0, DEL, C1), and a
 * character that ends a line or turns the direction of writing become \xNN, byte by byte. */
size_t log_text_escape(char *out, const char *text);

#endif
