/* A command line in one string, cut into words: no shell reads it. */
#ifndef NBDCRYPT_ARGV_H
#define NBDCRYPT_ARGV_H

#include "server/base/error.h"

/* Words are separated by blanks.  '...' keeps everything between the quotes; "..." too, but
 * there and outside of quotes a backslash makes the next character an ordinary one.  Nothing
 * else is special: no variables, patterns, pipes.  The array ends with NULL; argv_free() frees
 * it.  -EINVAL: a quote without its end, or no word at all. */
NODISCARD int argv_split(char ***out, const char *text, struct error *err);
void argv_free(char **words); /* NULL is fine */

#endif
