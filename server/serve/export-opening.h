/* Opening the exports of a server at its start, several at a time: a key takes a second of a CPU,
 * and storage may let wait. */
#ifndef NBDCRYPT_EXPORT_OPENING_H
#define NBDCRYPT_EXPORT_OPENING_H

#include "server/export/export-set.h"

struct export_opening {
    struct export **exports;                /* declared, with the settings below */
    const struct export_settings *settings; /* as many */
    size_t count;
    struct offload *offload;
    unsigned workers; /* that will serve them */
    unsigned cpus;    /* to derive keys on */
    char *
        *reasons; /* as many: why one is not open, as it was told; owned by whoever has the table */
    bool strict;  /* all or none */
    bool none_will_do; /* they may come later */
};

/* Opens all of them; blocks.  One that fails is told and not published; strict: no other is begun
 * then, and that is the error.  It is another error when all of them fail, unless `none_will_do`.
 *
 * Those whose key comes from the terminal, standard input or a descriptor, and those whose backend
 * wants it so, are opened one after the other, in order, before the others.  The service manager is
 * told how far it is.  Signals that the threads must not take are blocked. */
NODISCARD int export_opening_run(const struct export_opening *opening, struct error *err);

/* Whether this one can't be tried again later: see above. */
bool export_opens_in_order(const struct export_settings *settings);

/* Opens one for export_publish().  A failure is told unless the last one was the same. */
NODISCARD int export_opening_try(const struct export_opening *opening, size_t index,
                                 struct export *opened);

/* What is to be said of one that is open beside those that are. */
void export_opening_warn(const struct export_opening *opening, size_t index);

/* How many are open. */
size_t export_opening_count(const struct export_opening *opening);

#endif
