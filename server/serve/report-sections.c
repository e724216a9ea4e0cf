#include "server/serve/report-sections.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "server/block/group-sync.h"
#include "server/keys/key-source.h"
#include "server/export/limit-groups.h"
#include "server/report/report.h"
#include "server/serve/config-keys.h"
#include "server/serve/export-options.h"

#define EXPORTS_MAX 1024u
#define VALUE_BYTES_MAX 3000u /* of metadata */

static struct {
    pthread_mutex_t mutex;   /* who has it may look at them */
    struct exports *exports; /* NULL: they have gone */
    struct reload_config *config;
} server = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* ---- values of options ---- */

/* Commands may have anything in them. */
static bool is_secret(const struct param *row)
{
    return strcmp(row->name, "key-command") == 0 || strcmp(row->name, "run") == 0;
}

static void add_text(struct report_tree *tree, struct report_node *of, const struct param *row,
                     const char *name, const char *value)
{
    if (is_secret(row))
        report_text(tree, of, name, "***");
    else
        report_text_masked(tree, of, name, value);
}

static void add_list(struct report_tree *tree, struct report_node *of, const struct param *row,
                     const struct param_list *list)
{
    struct report_node *values = NULL;

    for (size_t i = 0; i < list->count; i++) {
        if (values == NULL)
            values = report_list(tree, of, row->name);
        add_text(tree, values, row, NULL, list->items[i]);
    }
}

/* Those that were given, and numbers, which have defaults. */
static void add_option(struct report_tree *tree, struct report_node *of, const struct param *row,
                       const void *target)
{
    const char *field = (const char *)target + row->offset;

    switch (row->type) {
    case PARAM_STRING:
        if (*(const char *const *)field != NULL)
            add_text(tree, of, row, row->name, *(const char *const *)field);
        break;
    case PARAM_LIST:
        add_list(tree, of, row, (const struct param_list *)field);
        break;
    case PARAM_FLAG:
        if (*(const bool *)field)
            report_flag(tree, of, row->name, true);
        break;
    case PARAM_SIZE:
        if (*(const uint64_t *)field != 0)
            report_number(tree, of, row->name, *(const uint64_t *)field);
        break;
    case PARAM_COUNT:
    case PARAM_UINT:
        if (*(const unsigned *)field != 0 && *(const unsigned *)field != UINT_MAX)
            report_number(tree, of, row->name, *(const unsigned *)field);
        break;
    }
}

/* ---- configuration ---- */

/* An option of exports that is given for all is told of each. */
static bool is_of_exports(const struct param *row)
{
    return (row->section != NULL && strcmp(row->section, CONFIG_EXPORT) == 0) ||
           strcmp(row->name, "export") == 0;
}

static void add_options(struct report_tree *tree, struct report_node *of)
{
    const struct serve_options *options = reload_config_lock(server.config);

    for (const struct param *row = serve_params; row->name != NULL; row++)
        if (!is_of_exports(row))
            add_option(tree, of, row, options);
    reload_config_unlock(server.config);
}

static void collect_configuration(struct report_tree *tree, struct report_node *of,
                                  const struct report_look *look)
{
    (void)look;
    pthread_mutex_lock(&server.mutex);
    if (server.exports != NULL)
        add_options(tree, of);
    pthread_mutex_unlock(&server.mutex);
}

static const struct report_section configuration_section = { "configuration", 0,
                                                             collect_configuration };

/* ---- exports ---- */

/* By --report-metadata: its name and its size are told in any case. */
static bool may_be_told(const char *name_space)
{
    const struct param_list *which = &server.config->first->report.metadata;
    bool may = which->count == 0;

    for (size_t i = 0; i < which->count && !may; i++) {
        const char *item = which->items[i];
        size_t length = strlen(item);

        may = strcmp(item, "all") == 0 || strcmp(item, name_space) == 0 ||
              (length > 2 && strcmp(item + length - 2, ".*") == 0 &&
               strncmp(item, name_space, length - 1) == 0);
    }
    return may;
}

/* As the application wrote it; what looks like a password is not shown. */
static void add_metadata(struct report_tree *tree, struct report_node *of,
                         const struct export_metadata *metadata)
{
    struct report_node *list = metadata->count > 0 ? report_list(tree, of, "metadata") : NULL;

    for (size_t i = 0; i < metadata->count; i++) {
        const struct metadata_item *item = &metadata->items[i];
        struct report_node *one = report_object(tree, list, NULL);

        report_text(tree, one, "namespace", item->name_space);
        report_number(tree, one, "bytes", item->value_bytes);
        if (item->value_bytes <= VALUE_BYTES_MAX && may_be_told(item->name_space))
            report_text_masked(tree, one, "value", item->value);
    }
}

static void add_stages(struct report_tree *tree, struct report_node *of, const struct export *ex)
{
    struct report_node *list = report_list(tree, of, "stages");

    for (const struct stage *stage = ex->top; stage != NULL; stage = stage->below) {
        struct report_node *one = report_object(tree, list, NULL);

        report_text(tree, one, "stage", stage->ops->name);
        report_number(tree, one, "size_bytes", limits_size_bytes(&stage->limits));
        report_number(tree, one, "block_bytes", stage->limits.block_min_bytes);
        report_flag(tree, one, "read_only", stage->limits.read_only);
        report_flag(tree, one, "fua", stage->limits.fua);
        report_flag(tree, one, "multi_conn", stage->limits.multi_conn);
        if (stage->ops->is_lost != NULL)
            report_flag(tree, one, "lost", stage->ops->is_lost(stage));
        if (stage->sync != NULL && group_sync_error(stage->sync) != 0)
            report_text(tree, one, "sync_failed", strerrorname_np(group_sync_error(stage->sync)));
        if (stage->ops->report != NULL)
            stage->ops->report(stage, tree, one);
    }
}

/* As they hold: nbdcrypt ctl may have changed them since. */
static void add_terms(struct report_tree *tree, struct report_node *of,
                      const struct limit_terms *terms)
{
    char value[LIMIT_TEXT_BYTES];
    const char *key;
    unsigned at = 0;

    while (limit_terms_next(terms, &at, &key, value))
        report_text(tree, of, key, value);
}

static void add_limits(struct report_tree *tree, struct report_node *of, const struct export *ex)
{
    const struct limit_set *group = atomic_load(&ex->group);
    struct report_node *limits = report_object(tree, of, "limits");

    add_terms(tree, limits, &ex->rates.terms);
    report_number(tree, limits, "weight", export_weight(ex));
    if (group != NULL)
        report_text(tree, limits, "limit-group", limit_group_name(group));
}

static void add_groups(struct report_tree *tree, struct report_node *of)
{
    struct report_node *list = report_list(tree, of, "limit_groups");
    const struct limit_set *group = limit_groups_next(NULL);

    for (unsigned i = 0; group != NULL && i < EXPORTS_MAX; group = limit_groups_next(group)) {
        if (!limit_group_is_configured(group))
            continue;
        struct report_node *one = report_object(tree, list, NULL);
        report_text(tree, one, "name", limit_group_name(group));
        report_number(tree, one, "weight", atomic_load(&group->weight));
        add_terms(tree, one, &group->terms);
        i++;
    }
}

static void add_export(struct report_tree *tree, struct report_node *list, const struct export *ex)
{
    struct report_node *one = report_object(tree, list, NULL), *options;
    bool open = export_is_open(ex);

    report_text(tree, one, "name", ex->name);
    report_number(tree, one, "id", ex->id);
    report_text(tree, one, "state",
                !open                         ? "missing"
                : atomic_load(&ex->suspended) ? "suspended"
                                              : "serving");
    report_text_masked(tree, one, "image", ex->settings->image);
    if (!ex->settings->raw)
        report_text(tree, one, "key_source", key_source_given(&ex->settings->key));
    add_limits(tree, one, ex);
    options = report_object(tree, one, "options");
    for (const struct param *row = export_params; row->name != NULL; row++)
        add_option(tree, options, row, ex->settings);
    add_metadata(tree, one, &ex->settings->metadata);
    if (open)
        add_stages(tree, one, ex);
}

static void add_exports(struct report_tree *tree, struct report_node *of)
{
    const struct export_set *set = exports_lock(server.exports);
    struct report_node *list = report_list(tree, of, "exports");

    report_number(tree, of, "count", set->count);
    for (size_t i = 0; i < set->count && i < EXPORTS_MAX; i++)
        add_export(tree, list, set->exports[i]);
    exports_unlock(server.exports);
    add_groups(tree, of);
}

static void collect_exports(struct report_tree *tree, struct report_node *of,
                            const struct report_look *look)
{
    (void)look;
    pthread_mutex_lock(&server.mutex);
    if (server.exports != NULL)
        add_exports(tree, of);
    pthread_mutex_unlock(&server.mutex);
}

static const struct report_section exports_section = { "exports", 0, collect_exports };

void report_sections_use(struct exports *exports, struct reload_config *config)
{
    server.exports = exports;
    server.config = config;
    report_register(&exports_section);
    report_register(&configuration_section);
}

void report_sections_forget(void)
{
    pthread_mutex_lock(&server.mutex);
    server.exports = NULL;
    pthread_mutex_unlock(&server.mutex);
}
