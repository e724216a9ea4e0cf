#include "server/block/meta-contexts.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"

#define NAME_BYTES_MAX 4096u /* proto.md: of a string */

static bool begins_with(const char *name, size_t length_bytes, const char *prefix)
{
    size_t prefix_bytes = strlen(prefix);

    return length_bytes >= prefix_bytes && memcmp(name, prefix, prefix_bytes) == 0;
}

/* "namespace:leaf", both of which are something. */
static bool has_both_parts(const char *name, size_t length_bytes)
{
    const char *colon = memchr(name, ':', length_bytes);

    return colon != NULL && colon > name && colon + 1 < name + length_bytes;
}

unsigned meta_contexts_find(const struct meta_contexts *contexts, const char *name,
                            size_t length_bytes)
{
    for (unsigned i = 0; contexts != NULL && i < contexts->count; i++)
        if (contexts->name_bytes[i] == length_bytes &&
            memcmp(contexts->names[i], name, length_bytes) == 0)
            return i + 1;
    return 0;
}

static enum meta_contexts_result add_copy(struct meta_contexts *contexts, char *copy,
                                          size_t length_bytes)
{
    if (!utf8_is_clean(copy))
        return META_CONTEXTS_BAD;
    if (contexts->count == META_CONTEXTS_MAX - 1 ||
        length_bytes > META_CONTEXTS_NAMES_BYTES_MAX - contexts->names_bytes)
        return META_CONTEXTS_FULL;
    contexts->names[contexts->count] = copy;
    contexts->name_bytes[contexts->count++] = length_bytes;
    contexts->names_bytes += length_bytes;
    return META_CONTEXTS_ADDED;
}

enum meta_contexts_result meta_contexts_add(struct meta_contexts *contexts, const char *name,
                                            size_t length_bytes)
{
    if (length_bytes > NAME_BYTES_MAX || memchr(name, '\0', length_bytes) != NULL ||
        !has_both_parts(name, length_bytes))
        return META_CONTEXTS_BAD;
    if (begins_with(name, length_bytes, "base:") || begins_with(name, length_bytes, "nbdcrypt:"))
        return META_CONTEXTS_OURS;
    if (meta_contexts_find(contexts, name, length_bytes) != 0)
        return META_CONTEXTS_KNOWN;
    char *copy = strndup(name, length_bytes);
    if (copy == NULL)
        return META_CONTEXTS_MEMORY;
    enum meta_contexts_result result = add_copy(contexts, copy, length_bytes);
    if (result != META_CONTEXTS_ADDED)
        free(copy);
    return result;
}

bool meta_contexts_copy(struct meta_contexts *to, const struct meta_contexts *from)
{
    *to = (struct meta_contexts){ .names_bytes = from->names_bytes };
    for (; to->count < from->count; to->count++) {
        to->name_bytes[to->count] = from->name_bytes[to->count];
        to->names[to->count] = strdup(from->names[to->count]);
        if (to->names[to->count] == NULL)
            return false;
    }
    return true;
}

void meta_contexts_clear(struct meta_contexts *contexts)
{
    for (unsigned i = 0; i < contexts->count; i++)
        free(contexts->names[i]);
    *contexts = (struct meta_contexts){ .count = 0 };
}
