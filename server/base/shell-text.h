/* Commands for people to copy: words that a shell takes as they are meant. */
#ifndef NBDCRYPT_SHELL_TEXT_H
#define NBDCRYPT_SHELL_TEXT_H

/* `word`, between apostrophes if the shell would make something else of it; control characters
 * are shown as '?'.  NULL: no memory.  The caller frees it. */
char *shell_text_word(const char *word);

/* As a part of a URI, with all but unreserved characters and '/' as %XX (RFC 3986, 2.1).
 * NULL: no memory.  The caller frees it. */
char *shell_text_uri(const char *text);

#endif
