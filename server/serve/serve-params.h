/* What `nbdcrypt serve` can be told: the options of the command line, which are the keys of
 * configuration files. */
#ifndef NBDCRYPT_SERVE_PARAMS_H
#define NBDCRYPT_SERVE_PARAMS_H

#include "server/export/export.h"
#include "server/serve/control-options.h"
#include "server/serve/listen-address.h"
#include "server/serve/metrics-options.h"
#include "server/serve/sandbox-options.h"
#include "server/base/params.h"
#include "server/base/user.h"
#include "server/config/config-file.h"
#include "server/tls/tls.h"

#define LOOPBACK "127.0.0.1"
#define ADDRESS_DEFAULT LOOPBACK ":10809"

struct report_options {
    const char *directory;                /* NULL: as report_directory() says */
    unsigned keep;                        /* 0: all */
    unsigned stall_seconds, hung_seconds; /* 0: never */
    struct param_list metadata;           /* namespaces, "all" or "none"; empty: all */
};

struct serve_options {
    /* What the command line says, one field for each row of serve_params.  The strings are
     * those of argv. */
    struct param_list unix_paths, listen_texts, export_texts, limit_texts;
    const char *run, *unix_mode, *unix_group;
    const char *log_level;         /* NULL: the usual one */
    struct export_settings common; /* given once for all exports, or for the single IMAGE */
    unsigned port;                 /* UINT_MAX: none was given */
    bool strict, may_be_empty, help;
    unsigned verbose;
    unsigned threads; /* 0: one per online CPU */
    unsigned max_connections;
    unsigned max_connections_per_client; /* 0: a quarter of them */
    uint64_t memory_max_bytes;           /* of data buffers; 0: half of what there is */
    unsigned handshake_timeout_seconds;
    unsigned stall_timeout_seconds;    /* 0: none */
    unsigned shutdown_timeout_seconds; /* 0: none */
    unsigned
        retry_exports_seconds; /* 0: those that can't be opened at the start are not tried again */
    unsigned open_timeout_seconds; /* 0: none */
    unsigned busy_wait_us;         /* 0: never */
    bool no_extended_headers;
    struct tls_settings tls;
    const char *config; /* a file; NULL: the command line is all */
    struct param_list config_dirs;
    bool for_others; /* another process will serve this, with descriptors of its own */
    struct control_options control;
    struct metrics_options metrics;
    struct report_options report;
    const char *audit_file; /* NULL: there is none; or AUDIT_JOURNAL */
    bool audit_required;
    struct sandbox_options sandbox;
    const char *user_text; /* NULL: none */
    struct user user;      /* what it means */

    /* What it means.  Owned here; the settings point into argv and into `texts`. */
    struct export_settings *exports;           /* names differ; those of files come last */
    size_t export_count;                       /* 0 only with may_be_empty */
    struct config_file files;                  /* with `config`, and what is wrong with it */
    struct config_place *export_places;        /* of each export; only with `config` */
    struct limit_group_settings *limit_groups; /* names differ; those of files come last */
    size_t limit_group_count;
    char **limit_copies; /* of each --limits, cut into pieces */
    bool retry_exports_given;
    enum tls_mode tls_mode;
    struct listen_address *addresses; /* at least one; --unix first, then --listen and
                                          --port */
    size_t address_count;
    bool address_is_default; /* the user named none: addresses[0] is 127.0.0.1:10809 */
    char port_text[24];      /* of the address that --port means */
    char **texts;            /* a copy of each --export, cut into pieces */
};

/* The rows of `serve`, for --help and for the check that the man page names them all. */
extern const struct param serve_params[];

#endif
