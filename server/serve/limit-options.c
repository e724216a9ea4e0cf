#include "server/serve/limit-options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/utf8.h"
#include "server/board/board.h"
#include "server/export/limit-groups.h"
#include "server/serve/export-options.h"

const struct param group_params[] = { EXPORT_ROWS_RATES(struct limit_settings, ), { 0 } };

static int check_name(const char *name, struct error *err)
{
    size_t length = strlen(name);

    if (length < 1 || length > LIMIT_GROUP_NAME_BYTES_MAX || !utf8_is_clean(name))
        return error_set(err, -EINVAL,
                         "the name of a group has 1 to %u bytes, and is text without control "
                         "characters",
                         LIMIT_GROUP_NAME_BYTES_MAX);
    return strcmp(name, LIMIT_GROUP_NONE) != 0
               ? 0
               : error_set(err, -EINVAL, "no group is called %s: that means none",
                           LIMIT_GROUP_NONE);
}

int limit_options_check(const struct limit_group_settings *group, bool given, struct error *err)
{
    struct limit_terms terms;
    int result = check_name(group->name, err);

    if (result == 0)
        result = limit_settings_terms(&terms, &group->limits, err);
    if (result == 0 && !given)
        result = error_set(err, -EINVAL,
                           "it limits nothing: give it a limit, such as limit-iops=5000, or "
                           "limit-iops=off");
    return result;
}

int limit_options_parse(struct limit_group_settings *out, char *text, struct error *err)
{
    char *pairs = params_cut_at_comma(text);
    int result;

    *out = (struct limit_group_settings){ .name = text };
    result = pairs != NULL ? params_parse_pairs(&out->limits, group_params, pairs, ',', err) : 0;
    if (result == 0)
        result = limit_options_check(out, pairs != NULL && *pairs != '\0', err);
    if (result != 0)
        error_prefix(err, "--limits %.*s: ", export_options_shown(strlen(text)), text);
    return result;
}

const struct limit_group_settings *limit_options_named(const struct serve_options *options,
                                                       const char *name)
{
    for (size_t i = 0; i < options->limit_group_count; i++)
        if (strcmp(options->limit_groups[i].name, name) == 0)
            return &options->limit_groups[i];
    return NULL;
}

/* The nearest of them is found as that of a table is. */
static void tell_unknown(const struct serve_options *options, const char *name, struct error *err)
{
    struct param *table = calloc(options->limit_group_count + 1, sizeof *table);
    const char *near;

    for (size_t i = 0; table != NULL && i < options->limit_group_count; i++)
        table[i].name = options->limit_groups[i].name;
    near = table != NULL ? params_nearest(table, name) : NULL;
    int length = export_options_shown(strlen(name));
    error_set(err, -EINVAL,
              "there is no group '%.*s'%s%.*s%s: write [limits %.*s], or give "
              "--limits %.*s,limit-iops=N",
              length, name, near != NULL ? " (" : "",
              near != NULL ? export_options_shown(strlen(near)) : 0, near != NULL ? near : "",
              near != NULL ? "?)" : "", length, name, length, name);
    free(table);
}

int limit_options_find(const struct serve_options *options, const char *name, struct error *err)
{
    if (name == NULL || strcmp(name, LIMIT_GROUP_NONE) == 0 ||
        limit_options_named(options, name) != NULL)
        return 0;
    tell_unknown(options, name, err);
    return -EINVAL;
}

int limit_options_prepare(const struct serve_options *options, struct error *err)
{
    for (size_t i = 0; i < options->limit_group_count; i++)
        if (limit_groups_get(options->limit_groups[i].name) == NULL)
            return error_set(err, -ENOMEM,
                             "[limits %s]: there is no memory for it, or there were %u other "
                             "groups since the start of the server",
                             options->limit_groups[i].name, LIMIT_GROUPS_MAX);
    return 0;
}

void limit_options_use(const struct serve_options *options)
{
    uint64_t now_ns = board_now_ns();
    struct limit_set *group = NULL;

    for (size_t i = 0; i < options->limit_group_count; i++) {
        struct limit_terms terms;

        group = limit_groups_get(options->limit_groups[i].name);
        if (group != NULL &&
            limit_settings_terms(&terms, &options->limit_groups[i].limits, NULL) == 0)
            limit_group_configure(group, &terms, now_ns);
    }
    for (group = limit_groups_next(NULL); group != NULL; group = limit_groups_next(group))
        if (limit_options_named(options, limit_group_name(group)) == NULL)
            limit_group_configure(group, NULL, now_ns);
}
