#include "server/serve/config-plan.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "server/control/control-json.h"
#include "server/serve/config-keys.h"
#include "server/serve/export-options.h"
#include "server/serve/limit-options.h"

#define NAME_COLUMNS 10
#define ANY_CHANGE UINT_MAX

static int no_memory(struct error *err)
{
    return error_no_memory(err, "for comparing configurations");
}

/* ---- one value ---- */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_list(const struct param_list *a, const struct param_list *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return a->count == b->count;
}

static bool same_value(const struct param *row, const void *a, const void *b)
{
    const char *one = (const char *)a + row->offset, *other = (const char *)b + row->offset;

    switch (row->type) {
    case PARAM_FLAG:
        return *(const bool *)one == *(const bool *)other;
    case PARAM_COUNT:
    case PARAM_UINT:
        return *(const unsigned *)one == *(const unsigned *)other;
    case PARAM_SIZE:
        return *(const uint64_t *)one == *(const uint64_t *)other;
    case PARAM_STRING:
        return same_text(*(const char *const *)one, *(const char *const *)other);
    case PARAM_LIST:
        return same_list((const void *)one, (const void *)other);
    }
    return false;
}

/* ---- the list ---- */

static struct plan_item *add_item(struct config_plan *plan, const struct plan_item *item)
{
    struct plan_item *items = reallocarray(plan->items, plan->count + 1, sizeof *items);

    if (items == NULL)
        return NULL;
    plan->items = items;
    items[plan->count] = *item;
    return &items[plan->count++];
}

static int add_key(struct plan_item *item, const struct plan_key *key)
{
    struct plan_key *keys = reallocarray(item->keys, item->key_count + 1, sizeof *keys);

    if (keys == NULL)
        return -ENOMEM;
    item->keys = keys;
    keys[item->key_count++] = *key;
    if (key->change > item->change)
        item->change = key->change;
    return 0;
}

/* Of all keys that take one of the `wanted`, a set of bits. */
static int compare_rows(struct plan_item *item, const char *section, unsigned wanted,
                        const void *before, const void *after)
{
    struct config_keys keys;
    int result = 0;

    config_keys_of(&keys, section);
    for (size_t i = 0; i < keys.count && result == 0; i++) {
        if (!(wanted & 1u << keys.rows[i].change))
            continue;
        const struct plan_key key = { .name = keys.rows[i].name,
                                      .change = keys.rows[i].change,
                                      .row = config_key_row(section, keys.rows[i].name),
                                      .before = before,
                                      .after = after };

        if (!same_value(key.row, before, after))
            result = add_key(item, &key);
    }
    return result;
}

/* ---- exports ---- */

/* With what it inherits in its own fields, so that rows compare what holds.  Nothing in it is
 * owned. */
static struct export_settings effective(const struct export_settings *settings,
                                        const struct export_settings *common)
{
    const struct luks_demands *demands = &settings->demands;
    struct export_settings result = *settings;

    if (result.allow.count == 0 && !result.added)
        result.allow = common->allow;
    result.header_demands = (struct header_demands){ 0 };
    if (settings->raw) /* it has no header */
        return result;
    result.header_demands = (struct header_demands){
        .uuid = demands->uuid,
        .digest = demands->digest,
        .ciphers = { (const char **)demands->ciphers, demands->cipher_count },
        .key_bits_min = demands->key_bits_min,
        .iterations_max = demands->iterations_max,
        .memory_kib_max = demands->memory_kib_max,
    };
    return result;
}

static int compare_export(struct config_plan *plan, struct plan_item *item,
                          const struct export_settings *before, const struct export_settings *after)
{
    static const struct plan_key metadata = { .name = CONFIG_METADATA, .change = PARAM_LIVE };
    int result = compare_rows(item, CONFIG_EXPORT, ANY_CHANGE, before, after);

    if (result == 0 && !export_metadata_equal(&before->metadata, &after->metadata))
        result = add_key(item, &metadata);
    item->taken_over = before->added;
    bool same = item->key_count == 0 && !item->taken_over;
    if (result == 0 && !same && add_item(plan, item) != NULL)
        return 0;
    free(item->keys);
    return result == 0 && same ? 0 : -ENOMEM;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct export_settings *const *)a)->name,
                  (*(const struct export_settings *const *)b)->name);
}

static const struct export_settings **sort(const struct export_settings *exports, size_t count)
{
    const struct export_settings **sorted = calloc(count + 1, sizeof *sorted);

    for (size_t i = 0; sorted != NULL && i < count; i++)
        sorted[i] = &exports[i];
    if (sorted != NULL && count > 0)
        qsort(sorted, count, sizeof *sorted, by_name);
    return sorted;
}

/* Both sides by name, side by side. */
static int compare_sorted(struct config_plan *plan, const struct export_settings **before,
                          size_t before_count, const struct export_settings **after,
                          size_t after_count)
{
    const struct export_settings *first = plan->effective, *second = first + before_count;
    int result = 0;

    for (size_t i = 0, k = 0; (i < before_count || k < after_count) && result == 0;) {
        int order = i == before_count  ? 1
                    : k == after_count ? -1
                                       : strcmp(before[i]->name, after[k]->name);
        struct plan_item item = {
            .name = order <= 0 ? before[i]->name : after[k]->name,
            .before = order <= 0 ? (size_t)(before[i] - first) : PLAN_NONE,
            .after = order >= 0 ? (size_t)(after[k] - second) : PLAN_NONE,
            .change = PARAM_LIVE,
        };

        if (order == 0)
            result = compare_export(plan, &item, before[i], after[k]);
        else if (add_item(plan, &item) == NULL)
            result = -ENOMEM;
        i += order <= 0;
        k += order >= 0;
    }
    return result;
}

static int compare_exports(struct config_plan *plan, const struct serve_options *before,
                           const struct serve_options *after)
{
    size_t count = before->export_count;
    const struct export_settings **first, **second;
    int result = -ENOMEM;

    plan->effective = calloc(count + after->export_count + 1, sizeof *plan->effective);
    if (plan->effective == NULL)
        return -ENOMEM;
    plan->effective_count = count + after->export_count;
    for (size_t i = 0; i < count; i++)
        plan->effective[i] = effective(&before->exports[i], &before->common);
    for (size_t i = 0; i < after->export_count; i++)
        plan->effective[count + i] = effective(&after->exports[i], &after->common);
    first = sort(plan->effective, count);
    second = sort(plan->effective + count, after->export_count);
    if (first != NULL && second != NULL)
        result = compare_sorted(plan, first, count, second, after->export_count);
    free(first);
    free(second);
    return result;
}

/* ---- groups of limits ---- */

static size_t index_of(const struct serve_options *options, const char *name)
{
    const struct limit_group_settings *group = limit_options_named(options, name);

    return group == NULL ? PLAN_NONE : (size_t)(group - options->limit_groups);
}

static int compare_group(struct config_plan *plan, const char *name,
                         const struct serve_options *before, const struct serve_options *after)
{
    struct plan_item item = { .section = CONFIG_LIMITS,
                              .group = name,
                              .before = index_of(before, name),
                              .after = index_of(after, name),
                              .change = PARAM_LIVE };
    bool both = item.before != PLAN_NONE && item.after != PLAN_NONE;
    int result = 0;

    if (both)
        result = compare_rows(&item, CONFIG_LIMITS, ANY_CHANGE,
                              &before->limit_groups[item.before].limits,
                              &after->limit_groups[item.after].limits);
    if (result == 0 && both && item.key_count == 0)
        return 0;
    if (result == 0 && add_item(plan, &item) != NULL)
        return 0;
    free(item.keys);
    return -ENOMEM;
}

/* Those that stay or go, and then those that come. */
static int compare_groups(struct config_plan *plan, const struct serve_options *before,
                          const struct serve_options *after)
{
    int result = 0;

    for (size_t i = 0; i < before->limit_group_count && result == 0; i++)
        result = compare_group(plan, before->limit_groups[i].name, before, after);
    for (size_t i = 0; i < after->limit_group_count && result == 0; i++)
        if (index_of(before, after->limit_groups[i].name) == PLAN_NONE)
            result = compare_group(plan, after->limit_groups[i].name, before, after);
    return result;
}

/* ---- all of it ---- */

static int compare_section(struct config_plan *plan, const char *section, unsigned wanted,
                           const struct serve_options *before, const struct serve_options *after)
{
    struct plan_item item = { .section = section, .before = PLAN_NONE, .after = PLAN_NONE };
    int result = compare_rows(&item, section, wanted, before, after);

    if (result == 0 && item.key_count == 0)
        return 0;
    if (result == 0 && add_item(plan, &item) != NULL)
        return 0;
    free(item.keys);
    return -ENOMEM;
}

/* What happens at once is not said with what needs a restart. */
static int compare_sections(struct config_plan *plan, const struct serve_options *before,
                            const struct serve_options *after)
{
    static const unsigned restart = 1u << PARAM_RESTART;
    const char *sections[CONFIG_SECTIONS_MAX];
    size_t count = config_sections(sections);
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        if (strcmp(sections[i], CONFIG_EXPORT) == 0 || strcmp(sections[i], CONFIG_DEFAULTS) == 0 ||
            strcmp(sections[i], CONFIG_LIMITS) == 0)
            continue;
        result = compare_section(plan, sections[i], ~restart, before, after);
        if (result == 0)
            result = compare_section(plan, sections[i], restart, before, after);
    }
    return result;
}

int config_plan_make(struct config_plan *out, const struct serve_options *before,
                     const struct serve_options *after, struct error *err)
{
    int result;

    *out = (struct config_plan){ 0 };
    result = compare_exports(out, before, after);
    if (result == 0)
        result = compare_groups(out, before, after);
    if (result == 0)
        result = compare_sections(out, before, after);
    return result == 0 ? 0 : no_memory(err);
}

void config_plan_free(struct config_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        free(plan->items[i].keys);
    free(plan->items);
    free(plan->effective);
    *plan = (struct config_plan){ 0 };
}

/* ---- whether it may be done ---- */

static bool is_replaced(const struct plan_item *item)
{
    return item->section == NULL && item->change > PARAM_LIVE;
}

static bool is_named(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static bool replaces(const struct config_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count; i++)
        if (is_replaced(&plan->items[i]) && strcmp(plan->items[i].name, name) == 0)
            return true;
    return false;
}

static bool is_configured(const struct config_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->effective_count; i++)
        if (strcmp(plan->effective[i].name, name) == 0)
            return true;
    return false;
}

/* Of those that have to be replaced, or else of all; as the options of a table are. */
static int refuse_unknown(const struct config_plan *plan, const char *typed, struct error *err)
{
    struct param *table = calloc(plan->count + plan->effective_count + 1, sizeof *table);
    const char *near = NULL;
    size_t count = 0;

    for (size_t i = 0; table != NULL && i < plan->count; i++)
        if (is_replaced(&plan->items[i]))
            table[count++].name = plan->items[i].name;
    for (size_t i = 0; table != NULL && i < plan->effective_count; i++)
        table[count++].name = plan->effective[i].name;
    if (table != NULL)
        near = params_nearest(table, typed);
    error_set(err, -EINVAL, "there is no export '%.*s' that could be replaced%s%.*s%s",
              export_options_shown(strlen(typed)), typed, near != NULL ? ": did you mean '" : "",
              near != NULL ? export_options_shown(strlen(near)) : 0, near != NULL ? near : "",
              near != NULL ? "'?" : "");
    free(table);
    return -EINVAL;
}

static int check_named(const struct config_plan *plan, const char *name, struct error *err)
{
    if (replaces(plan, name))
        return 0;
    if (!is_configured(plan, name))
        return refuse_unknown(plan, name, err);
    return error_set(err, -EINVAL, "export '%.*s' does not have to be replaced",
                     export_options_shown(strlen(name)), name);
}

static int refuse_replacing(const struct plan_item *item, struct error *err)
{
    int length = export_options_shown(strlen(item->name));

    if (!item->taken_over)
        return error_set(err, -EPERM,
                         "export '%.*s' would be opened anew, and its clients disconnected: "
                         "name it with --replace",
                         length, item->name);
    return error_set(
        err, -EPERM,
        "export '%.*s' was added by nbdcrypt ctl, and not as the files have it: remove "
        "it there, or have it opened anew, and its clients disconnected, with --replace",
        length, item->name);
}

int config_plan_allow(const struct config_plan *plan, const char *const *replace, size_t count,
                      struct error *err)
{
    for (size_t i = 0; i < count; i++)
        if (check_named(plan, replace[i], err) < 0)
            return -EINVAL;
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_item *item = &plan->items[i];

        if (is_replaced(item) && !is_named(item->name, replace, count))
            return refuse_replacing(item, err);
    }
    return 0;
}

/* ---- what is said of it ---- */

static bool is_zero(const struct param *row, const char *value)
{
    if (row->type == PARAM_SIZE)
        return *(const uint64_t *)value == 0;
    return row->type != PARAM_FLAG && *(const unsigned *)value == 0;
}

/* 0 has a word where it is none of the numbers that may be given. */
static void print_value(FILE *out, const struct param *row, const void *target)
{
    const char *value = (const char *)target + row->offset;

    if (is_zero(row, value) && (row->zero != NULL || row->min > 0))
        fputs(row->zero != NULL ? row->zero : "default", out);
    else if (row->type == PARAM_FLAG)
        fputs(*(const bool *)value ? "yes" : "no", out);
    else if (row->type == PARAM_SIZE)
        fprintf(out, "%" PRIu64, *(const uint64_t *)value);
    else
        fprintf(out, "%u", *(const unsigned *)value);
}

/* Numbers, and yes or no: texts may be long, and a command is not for every reader. */
static bool has_short_value(const struct plan_key *key)
{
    return key->row != NULL && key->row->type != PARAM_STRING && key->row->type != PARAM_LIST;
}

static void print_key(FILE *out, const struct plan_key *key)
{
    fputs(key->name, out);
    if (has_short_value(key)) {
        fputc(' ', out);
        print_value(out, key->row, key->before);
        fputs(" -> ", out);
        print_value(out, key->row, key->after);
    }
    if (key->change == PARAM_RESTART)
        fprintf(out, ": needs a restart (%s)", key->row->why);
}

static bool comes_or_goes(const struct plan_item *item)
{
    return item->section == NULL || item->group != NULL;
}

static bool is_added(const struct plan_item *item)
{
    return comes_or_goes(item) && item->before == PLAN_NONE;
}

static bool is_removed(const struct plan_item *item)
{
    return comes_or_goes(item) && item->after == PLAN_NONE;
}

static void print_name(FILE *out, const struct plan_item *item)
{
    int used = item->group != NULL     ? fprintf(out, "[%s %s]", item->section, item->group)
               : item->section != NULL ? fprintf(out, "[%s]", item->section)
                                       : fprintf(out, "%s", item->name);

    fprintf(out, "%*s  ", used < NAME_COLUMNS ? NAME_COLUMNS - used : 0, "");
}

static void print_item(FILE *out, const struct plan_item *item, const struct serve_options *after)
{
    bool section = item->section != NULL;

    fprintf(out, "%c ",
            is_added(item)               ? '+'
            : is_removed(item)           ? '-'
            : item->change == PARAM_LIVE ? '~'
                                         : '!');
    print_name(out, item);
    if (is_added(item) && section)
        fputs("added", out);
    else if (is_added(item))
        fprintf(out, "added: %s", after->exports[item->after].image);
    else if (is_removed(item))
        fputs("removed", out);
    else if (item->taken_over && item->change == PARAM_LIVE)
        fprintf(out, "taken over from nbdcrypt ctl%s", item->key_count > 0 ? ": " : "");
    for (size_t i = 0; i < item->key_count; i++) {
        if (i > 0)
            fputs(item->keys[i - 1].change == PARAM_RESTART ? "; " : ", ", out);
        print_key(out, &item->keys[i]);
    }
    if (item->clients > 0)
        fprintf(out, " (%u client%s)", item->clients, item->clients > 1 ? "s" : "");
    if (item->change == PARAM_REPLACE && !section)
        fprintf(out,
                item->taken_over
                    ? ": was added otherwise by nbdcrypt ctl: remove it there, or have "
                      "it opened anew, and its clients disconnected, with --replace %s"
                    : ": opened anew, and its clients disconnected, with --replace %s",
                item->name);
}

char *config_plan_line(const struct config_plan *plan, size_t index,
                       const struct serve_options *after)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return NULL;
    print_item(out, &plan->items[index], after);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- the same for programs ---- */

static void put_text(struct json_object *object, const char *key, const char *text)
{
    if (text != NULL)
        control_add(object, key, json_object_new_string(text));
}

static const char *action_of(const struct plan_item *item)
{
    if (is_added(item))
        return "add";
    if (is_removed(item))
        return "remove";
    if (item->change == PARAM_LIVE)
        return "change";
    return item->section == NULL && item->change == PARAM_REPLACE ? "replace" : "restart";
}

/* As print_value() writes it; NULL: no memory. */
static char *value_text(const struct param *row, const void *target)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return NULL;
    print_value(out, row, target);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static void put_value(struct json_object *object, const char *key, const struct param *row,
                      const void *target)
{
    char *text = value_text(row, target);

    put_text(object, key, text);
    free(text);
}

static struct json_object *key_json(const struct plan_key *key)
{
    struct json_object *object = json_object_new_object();

    put_text(object, "name", key->name);
    if (has_short_value(key)) {
        put_value(object, "before", key->row, key->before);
        put_value(object, "after", key->row, key->after);
    }
    return object;
}

struct json_object *config_plan_json(const struct config_plan *plan, size_t index,
                                     const struct serve_options *after)
{
    const struct plan_item *item = &plan->items[index];
    struct json_object *object = json_object_new_object(), *keys = json_object_new_array();
    char *line = config_plan_line(plan, index, after);

    put_text(object, "action", action_of(item));
    put_text(object, "export", item->name);
    put_text(object, "section", item->section);
    put_text(object, "group", item->group);
    if (item->section == NULL && item->after != PLAN_NONE)
        put_text(object, "image", after->exports[item->after].image);
    for (size_t i = 0; i < item->key_count; i++)
        control_append(keys, key_json(&item->keys[i]));
    control_add(object, "keys", keys);
    if (item->section == NULL && item->before != PLAN_NONE)
        control_add_number(object, "clients", item->clients);
    put_text(object, "text", line != NULL ? line : "");
    free(line);
    return object;
}
