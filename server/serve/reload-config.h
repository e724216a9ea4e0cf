/* The configuration files of a running server, read again: a transaction.
 *
 *     read and check all -> compare: the plan -> prepare: TLS files, addresses, exports -> all
 *     workers use it
 *
 * A failure before the last step leaves all as it was.  On the admin thread, which it may block. */
#ifndef NBDCRYPT_RELOAD_CONFIG_H
#define NBDCRYPT_RELOAD_CONFIG_H

#include "server/serve/reload-server.h"
#include "server/serve/serve-options.h"

/* All of it but `current` and `server` is set by its owner, and outlives it. */
struct reload_config {
    int argc; /* of the command line, which files are read with */
    char **argv;
    struct tls *tls;
    struct exports *exports;
    const struct reload_host *host;
    const struct serve_options *first; /* what the server began with */
    struct serve_options *current;     /* what holds now; NULL: that is `first` */
    struct reload_server server;       /* what is changed besides exports */
    atomic_bool stopped;               /* the server ends: nothing is waited for any more */
};

struct json_object;

struct reload_wish {
    bool dry_run;
    const char *const *replace; /* exports that may be opened anew */
    size_t replace_count;
    /* Takes one change of the plan (config_plan_json()), which is consumed; NULL: nobody reads it.
     */
    void (*change)(void *context, struct json_object *change);
    void *context;
    struct error *refused; /* dry_run: why it would be refused; "": it would not, as far as can be
                            * seen without opening anything */
};

/* -errno with a sentence: nothing has changed. */
NODISCARD int reload_config_run(struct reload_config *config, const struct reload_wish *wish,
                                struct error *err);
/* What is in force, until it is unlocked: a reload waits for that, and for nothing else of it. */
const struct serve_options *reload_config_lock(struct reload_config *config);
void reload_config_unlock(struct reload_config *config);
/* At the end of the server, before its exports are closed. */
void reload_config_free(struct reload_config *config);

#endif
