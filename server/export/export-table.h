/* All exports of a server, and what a client gets to see of them.
 *
 * To a client the server looks like one that has only the exports that it may attach: neither
 * names, answers, limits nor the default export tell that there are others.
 *
 * One that is not open (export_is_open()) is there all the same, so that no other becomes the
 * default export in its place: who finds it must ask. */
#ifndef NBDCRYPT_EXPORT_TABLE_H
#define NBDCRYPT_EXPORT_TABLE_H

#include "server/export/export.h"

struct peer;

struct export_table {
    struct export *exports;
    size_t count;
};

/* What this client means by a name: the export of that name, or for the empty name the only one
 * that it may attach.  NULL: there is none, or none that it may attach. */
struct export *export_table_find(const struct export_table *table, const struct peer *peer,
                                 const char *name, size_t name_bytes);

/* Whether this client may attach it. */
bool export_table_shows(const struct export *ex, const struct peer *peer);

/* How many exports this client may attach; looks at all of them. */
size_t export_table_count(const struct export_table *table, const struct peer *peer);

/* The export of that name, whoever asks, for messages to the operator; NULL: none.  The empty name
 * also means the only export there is. */
const struct export *export_table_named(const struct export_table *table, const char *name,
                                        size_t name_bytes);

#endif
