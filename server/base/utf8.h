/* Text that others chose: UTF-8 (RFC 3629) without control characters. */
#ifndef NBDCRYPT_UTF8_H
#define NBDCRYPT_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the character that begins `text`, of which `left` (at least one) are there; 0: it is
 * not valid, or a control character. */
size_t utf8_character_bytes(const char *text, size_t left);
/* All of it is valid, and none of it a control character (C0, DEL, C1). */
bool utf8_is_clean(const char *text);
/* A copy with '?' for each byte that is not so, NULs included.  NULL: no memory.  The caller frees
 * it. */
char *utf8_clean(const char *text, size_t length_bytes);
/* How many characters a clean text has, as a terminal would count most of them. */
size_t utf8_columns(const char *text);

#endif
