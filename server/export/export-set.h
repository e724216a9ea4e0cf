/* All exports of a server at one time, and what a client gets to see of them.
 *
 * A set never changes: who changes the exports of a server makes the next one, hands it to each
 * worker, and frees this one when no worker reads it any more.  It does not own its exports.
 *
 * To a client the server looks like one that has only the exports that it may attach: neither
 * names, answers, limits nor the default export tell that there are others.
 *
 * One that is not open (export_is_open()) is there all the same, so that no other becomes the
 * default export in its place: who finds it must ask. */
#ifndef NBDCRYPT_EXPORT_SET_H
#define NBDCRYPT_EXPORT_SET_H

#include "server/export/export.h"

struct peer;

struct export_set {
    uint64_t version;        /* each one has another */
    struct export **exports; /* by export.id, ascending */
    size_t count;
    struct export **by_name; /* a table of `places`, a power of two: see export-set.c */
    size_t places;
};

/* Of these exports, whose names differ and whose ids ascend.  -ENOMEM with a sentence. */
NODISCARD int export_set_create(struct export_set **out, struct export *const *exports,
                                size_t count, struct error *err);
void export_set_free(struct export_set *set);

/* The place of the first export behind the one of this id; set->count: there is none. */
size_t export_set_behind(const struct export_set *set, uint64_t id);

/* What this client means by a name: the export of that name, or for the empty name the only one
 * that it may attach.  NULL: there is none, or none that it may attach. */
struct export *export_set_find(const struct export_set *set, const struct peer *peer,
                               const char *name, size_t name_bytes);

/* Whether this client may attach it. */
bool export_set_shows(const struct export *ex, const struct peer *peer);

/* How many exports this client may attach; looks at all of them. */
size_t export_set_count(const struct export_set *set, const struct peer *peer);

/* The export of that name, whoever asks, for messages to the operator; NULL: none.  The empty name
 * also means the only export there is. */
struct export *export_set_named(const struct export_set *set, const char *name, size_t name_bytes);

/* The name of one that a client can attach, under TLS or without: the default one, or else the
 * first that is open, or else the first; "" of no exports. */
const char *export_set_name_to_attach(const struct export_set *set, bool tls);

#endif
