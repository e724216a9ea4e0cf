/* Text that others chose: UTF-8 (RFC 3629) without control characters. */
#ifndef NBDCRYPT_UTF8_H
#define NBDCRYPT_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* All of it is valid, and none of it a control character (C0, DEL, C1). */
bool utf8_is_clean(const char *text);
/* A copy with '?' for each byte that is not so, NULs included.  NULL: no memory.  The caller frees
 * it. */
char *utf8_clean(const char *text, size_t length_bytes);
/* How many characters a clean text has, as a terminal would count most of them. */
size_t utf8_columns(const char *text);

#endif
