/* Parameters behind the '?' of an IMAGE that are for no backend. */
#ifndef NBDCRYPT_IMAGE_QUERY_H
#define NBDCRYPT_IMAGE_QUERY_H

#include "server/base/params.h"

/* Where parameters begin in a text whose other question marks belong to a path: its last '?', if a
 * name of `table` and a '=' are behind it; else NULL. */
char *image_query_question(const char *path, const struct param *table);

/* Takes those of `table` out of `query` (the text behind '?'), which keeps the others, and parses
 * them into `target`.  Its strings point into *kept, which is made where there are any, and is the
 * caller's to free.  *given: whether there were any.  -EINVAL. */
NODISCARD int image_query_take(void *target, bool *given, char **kept, const struct param *table,
                               char *query, struct error *err);

#endif
