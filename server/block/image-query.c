#include "server/block/image-query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* `pair` begins with one of the names and a '='. */
static bool is_of(const struct param *table, const char *pair)
{
    for (const struct param *param = table; param->name != NULL; param++) {
        size_t length = strlen(param->name);

        if (strncmp(pair, param->name, length) == 0 && pair[length] == '=')
            return true;
    }
    return false;
}

char *image_query_question(const char *path, const struct param *table)
{
    char *question = strrchr(path, '?');

    return question != NULL && is_of(table, question + 1) ? question : NULL;
}

static void append(char *list, size_t *used, const char *pair, size_t length)
{
    if (*used > 0)
        list[(*used)++] = '&';
    memmove(list + *used, pair, length);
    *used += length;
}

int image_query_take(void *target, bool *given, char **kept, const struct param *table, char *query,
                     struct error *err)
{
    size_t length = strlen(query), taken_bytes = 0, left_bytes = 0;
    char *taken = malloc(length + 1);

    *kept = taken;
    if (taken == NULL)
        return error_no_memory(err, NULL);
    for (const char *pair = query, *end = query + length; pair <= end;) {
        const char *and = memchr(pair, '&', (size_t)(end - pair));
        size_t pair_bytes = (size_t)((and != NULL ? and : end) - pair);

        if (is_of(table, pair))
            append(taken, &taken_bytes, pair, pair_bytes);
        else
            append(query, &left_bytes, pair, pair_bytes);
        pair += pair_bytes + 1;
    }
    query[left_bytes] = '\0';
    taken[taken_bytes] = '\0';
    *given = taken_bytes > 0;
    return *given ? params_parse_pairs(target, table, taken, '&', err) : 0;
}
