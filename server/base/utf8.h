/* Text that others chose: UTF-8 (RFC 3629) without control characters. */
#ifndef NBDCRYPT_UTF8_H
#define NBDCRYPT_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* A control character of ASCII: C0 or DEL, which a terminal would obey. */
bool utf8_is_control(char byte);
bool utf8_has_control(const char *text, size_t length_bytes);
/* Printable ASCII of `text`, and '?' for all else; as much as fits, with a NUL. */
void utf8_show_ascii(char *out, size_t out_bytes, const void *text, size_t length_bytes);

/* The bytes of the character that begins `text`, of which `left` (at least one) are there; 0: it is
 * not valid, or NUL.  Table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing
 * above U+10FFFF. */
size_t utf8_sequence_bytes(const char *text, size_t left);
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
