#include "server/export/export-table.h"

#include <string.h>

#include "server/access/access.h"

static bool has_name(const struct export *ex, const char *name, size_t name_bytes)
{
    return strlen(ex->name) == name_bytes && !memcmp(ex->name, name, name_bytes);
}

bool export_table_shows(const struct export *ex, const struct peer *peer)
{
    return access_allows(ex->access, peer);
}

/* NULL: this client sees none, or several. */
static struct export *only_one(const struct export_table *table, const struct peer *peer)
{
    struct export *only = NULL;

    for (size_t i = 0; i < table->count; i++) {
        if (!export_table_shows(&table->exports[i], peer))
            continue;
        if (only)
            return NULL;
        only = &table->exports[i];
    }
    return only;
}

struct export *export_table_find(const struct export_table *table, const struct peer *peer,
                                 const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < table->count; i++) {
        struct export *ex = &table->exports[i];

        if (has_name(ex, name, name_bytes) && export_table_shows(ex, peer))
            return ex;
    }
    return name_bytes == 0 ? only_one(table, peer) : NULL;
}

size_t export_table_count(const struct export_table *table, const struct peer *peer)
{
    size_t count = 0;

    for (size_t i = 0; i < table->count; i++)
        count += export_table_shows(&table->exports[i], peer);
    return count;
}

const struct export *export_table_named(const struct export_table *table, const char *name,
                                        size_t name_bytes)
{
    for (size_t i = 0; i < table->count; i++) {
        if (has_name(&table->exports[i], name, name_bytes))
            return &table->exports[i];
    }
    return name_bytes == 0 && table->count == 1 ? &table->exports[0] : NULL;
}
