/* What a reload would do: two configurations compared.  A pure function; who carries it out knows
 * the clients. */
#ifndef NBDCRYPT_CONFIG_PLAN_H
#define NBDCRYPT_CONFIG_PLAN_H

#include "server/serve/serve-params.h"

struct json_object;

#define PLAN_NONE SIZE_MAX

/* One key of which the value is another one. */
struct plan_key {
    const char *name;
    enum param_change change;   /* what that takes */
    const struct param *row;    /* NULL: metadata */
    const void *before, *after; /* the structs that have it, for a row */
};

/* An export that comes, goes or changes, or a section of the server that changes. */
struct plan_item {
    const char *name;      /* of the export, or NULL */
    const char *section;   /* "server", "tls" and others; NULL: it is an export */
    const char *group;     /* of limits, which is a section that may come and go; NULL: none */
    size_t before, after;  /* its indices in the two lists of exports, or of groups; PLAN_NONE: it
                            * is not there */
    struct plan_key *keys; /* what changes, if it is on both sides */
    size_t key_count;
    enum param_change change; /* what all of it takes: LIVE for one that comes or goes */
    bool taken_over;          /* nbdcrypt ctl has added it: it is on both sides, and may be equal */
    unsigned clients;         /* that the export has now: set by who knows them */
};

/* Exports by name, then groups of limits, then sections in the order of the tables: of each what
 * happens at once, then what needs a restart.  Nothing at all: both are the same. */
struct config_plan {
    struct plan_item *items;
    size_t count;
    struct export_settings *effective; /* what keys point into: exports with what they inherit */
    size_t effective_count;            /* of both sides */
};

/* Compares what `before`, of which exports may be `added`, and `after` mean; both must stay as long
 * as the plan.  -ENOMEM; `out` is freed by config_plan_free() in every case. */
NODISCARD int config_plan_make(struct config_plan *out, const struct serve_options *before,
                               const struct serve_options *after, struct error *err);
void config_plan_free(struct config_plan *plan);

/* -EPERM: an export would be opened anew, whose clients would be disconnected, and it is not one of
 * `replace`, which was asked for; -EINVAL: one of these is not in the plan as such, and what was
 * perhaps meant. */
NODISCARD int config_plan_allow(const struct config_plan *plan, const char *const *replace,
                                size_t count, struct error *err);

/* One line, without a newline: "+ vm9  added: rbd:ssd/vm9".  The caller frees it; NULL: no
 * memory. */
char *config_plan_line(const struct config_plan *plan, size_t index,
                       const struct serve_options *after);

/* The same for programs: a Change of org.nbdcrypt.varlink, the caller's to put. */
struct json_object *config_plan_json(const struct config_plan *plan, size_t index,
                                     const struct serve_options *after);

#endif
