#include "server/serve/export-options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/export/slow-limit.h"
#include "server/nbd/nbd-wire.h"

const struct param export_params[] = {
    EXPORT_ROWS_WHAT(struct export_settings, ),
    EXPORT_ROWS_KEYS(struct export_settings, ),
    EXPORT_ROWS_WHO(struct export_settings, ),
    EXPORT_ROWS_LIMITS(struct export_settings, limits.),
    EXPORT_ROWS_SHARE(struct export_settings, ),
    EXPORT_ROWS_SLOW(struct export_settings, ),
    { 0 },
};

const struct param rate_params[] = {
    EXPORT_ROWS_LIMITS(struct export_rates, limits.),
    EXPORT_ROWS_SHARE(struct export_rates, ),
    { 0 },
};

int export_options_shown(size_t length)
{
    return length < 100 ? (int)length : 100;
}

/* A string that the protocol can carry. */
static int check_string(const char *what, const char *text, struct error *err)
{
    size_t length = strlen(text);

    if (length > NBD_STRING_BYTES_MAX)
        return error_set(err, -EINVAL, "%s has %zu bytes: NBD allows %u", what, length,
                         NBD_STRING_BYTES_MAX);
    if (!nbd_string_is_valid((const uint8_t *)text, length))
        return error_set(err, -EINVAL, "%s is not valid UTF-8, as NBD demands", what);
    return 0;
}

static int check_not_empty(const char *what, const char *text, struct error *err)
{
    if (text != NULL && !*text)
        return error_set(err, -EINVAL, "%s is empty: give the name of a file, or leave it out",
                         what);
    return 0;
}

/* The first option that makes no sense without LUKS; NULL: none was given. */
static const char *needs_luks(const struct export_settings *settings)
{
    const char *given = key_source_given(&settings->key);

    if (given == NULL && settings->header != NULL)
        given = "header";
    if (given == NULL)
        given = header_demands_given(&settings->header_demands);
    if (given == NULL && settings->no_discard)
        given = "no-discard";
    return given == NULL && settings->zero_holes ? "zero-holes" : given;
}

int export_options_check_flags(const struct export_settings *settings, const char *dashes,
                               struct error *err)
{
    if (settings->raw && needs_luks(settings) != NULL)
        return error_set(err, -EINVAL,
                         "%sraw serves without LUKS, so %s%s can't be used: leave out one of the "
                         "two",
                         dashes, dashes, needs_luks(settings));
    if (settings->discard && settings->no_discard)
        return error_set(err, -EINVAL,
                         "%sdiscard and %sno-discard can't both be used: leave out one of the two",
                         dashes, dashes);
    return 0;
}

int export_options_check(const struct export_settings *settings, const char *dashes,
                         struct error *err)
{
    struct limit_terms terms;
    struct block_sizes sizes;
    uint64_t slow_ns;
    int result = check_string("the name", settings->name, err);

    if (result == 0 && settings->description != NULL)
        result = check_string("the description", settings->description, err);
    if (result == 0)
        result = key_source_check(&settings->key, dashes, err);
    if (result == 0)
        result = check_not_empty("header", settings->header, err);
    if (result == 0)
        result = header_demands_check(&settings->header_demands, err);
    if (result == 0)
        result = limit_settings_terms(&terms, &settings->limits, err);
    if (result == 0)
        result = block_sizes_parse(&sizes, settings->block_size, err);
    if (result == 0)
        result = slow_limit_parse(&slow_ns, settings->slow_request, err);
    if (result == 0 && !*settings->image)
        result = error_set(err, -EINVAL, "there is no IMAGE: name the file to serve");
    return result == 0 ? export_options_check_flags(settings, dashes, err) : result;
}

struct export_settings export_options_inherit(const struct export_settings *common)
{
    struct export_settings settings = *common;

    settings.key = (struct key_source){ 0 };
    settings.allow = (struct param_list){ 0 };
    settings.header_demands = (struct header_demands){ 0 };
    return settings;
}

/* A burst comes with its limit, or not. */
static void drop_bursts_of_others(struct limit_settings *own, const struct limit_settings *common)
{
    for (unsigned i = 0; i < LIMIT_KINDS; i++) {
        bool same = i < LIMIT_IOPS_KINDS ? own->iops[i] == common->iops[i]
                                         : own->bandwidth[i - LIMIT_IOPS_KINDS] ==
                                               common->bandwidth[i - LIMIT_IOPS_KINDS];

        if (!same && own->burst[i] == common->burst[i])
            own->burst[i] = NULL;
    }
}

/* What is given once for all is for those that are not raw and have no key of their own. */
static void own_or_common(struct export_settings *settings, const struct export_settings *common)
{
    bool raw = settings->raw && !common->raw;

    if (!raw && key_source_given(&settings->key) == NULL) {
        settings->key = common->key;
        settings->key_is_common = true;
    }
    if (raw && common->zero_holes)
        settings->zero_holes = false;
    if ((raw || settings->discard) && common->no_discard)
        settings->no_discard = false;
    if (settings->no_discard && common->discard)
        settings->discard = false;
    drop_bursts_of_others(&settings->limits, &common->limits);
    settings->demands = header_demands_merged(&settings->header_demands, &common->header_demands);
}

int export_options_finish(struct export_settings *settings, const struct export_settings *common,
                          struct error *err)
{
    own_or_common(settings, common);
    return export_options_check(settings, "", err);
}

/* A doubled = or comma is one of the name.  What stands behind the name and its =, or NULL;
 * *name_bytes: how long the name is as it is written. */
static char *find_image(char *text, size_t *name_bytes)
{
    size_t at = 0;

    while (text[at] != '\0' && (strchr("=,", text[at]) == NULL || text[at] == text[at + 1]))
        at += strchr("=,", text[at]) == NULL ? 1 : 2;
    *name_bytes = at;
    return text[at] == '=' ? text + at + 1 : NULL;
}

static void cut_name(char *name, size_t name_bytes)
{
    char *out = name;

    for (size_t at = 0; at < name_bytes; at++) {
        *out++ = name[at];
        if (strchr("=,", name[at]) != NULL)
            at++;
    }
    *out = '\0';
}

/* One --export: NAME=IMAGE[,key=value...].  `text` is ours to cut. */
int export_options_parse(struct export_settings *out, char *text,
                         const struct export_settings *common, struct error *err)
{
    size_t name_bytes;
    char *image = find_image(text, &name_bytes), *pairs;
    int result;

    *out = export_options_inherit(common);
    if (image == NULL)
        return error_set(err, -EINVAL,
                         "--export %.*s: write NAME=IMAGE, such as disk1=/path/to/disk",
                         export_options_shown(name_bytes), text);
    cut_name(text, name_bytes);
    pairs = params_cut_at_comma(image);
    out->name = text;
    out->image = image;
    result = pairs != NULL ? params_parse_pairs(out, export_params, pairs, ',', err) : 0;
    if (result == -EINVAL && out->allow.count > 0 && strstr(err->text, "unknown option"))
        error_set(err, result, "%s; a comma that belongs to a rule is doubled (,,)", err->text);
    if (result == 0)
        result = export_options_finish(out, common, err);
    if (result != 0)
        error_prefix(err, "export '%.*s': ", export_options_shown(strlen(text)), text);
    return result;
}

static int by_name(const void *a, const void *b)
{
    const struct export_settings *one = *(const struct export_settings *const *)a;
    const struct export_settings *other = *(const struct export_settings *const *)b;
    int order = strcmp(one->name, other->name);

    return order != 0 ? order : one < other ? -1 : one > other;
}

/* The first one whose name is there before; `count`: none is.  -ENOMEM. */
static int find_taken_name(const struct export_settings *exports, size_t count, size_t *taken,
                           size_t *by, struct error *err)
{
    const struct export_settings **sorted = calloc(count + 1, sizeof *sorted);

    if (sorted == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &exports[i];
    if (count > 0)
        qsort(sorted, count, sizeof *sorted, by_name);
    *taken = count;
    for (size_t i = 1; i < count; i++) {
        size_t index = (size_t)(sorted[i] - exports);

        if (strcmp(sorted[i - 1]->name, sorted[i]->name) != 0 || index >= *taken)
            continue;
        *taken = index;
        *by = (size_t)(sorted[i - 1] - exports);
    }
    free(sorted);
    return 0;
}

/* Standard input holds one key, and names must differ. */
int export_options_check_together(const struct export_settings *exports, size_t count,
                                  size_t *culprit, size_t *other, struct error *err)
{
    size_t from_stdin = 0;

    for (size_t i = 0; i < count; i++) {
        bool reads = key_source_is_stdin(&exports[i].key);

        from_stdin += reads;
        *culprit = i;
        if (reads && from_stdin == 1)
            *other = i;
        if (from_stdin > 1)
            return error_set(err, -EINVAL,
                             "standard input can hold only one key, and two exports want it: "
                             "give each export a key-file of its own");
    }
    int result = find_taken_name(exports, count, culprit, other, err);
    if (result < 0 || *culprit == count)
        return result;
    const char *name = exports[*culprit].name;
    return error_set(err, -EINVAL, "export '%.*s' is there twice: each needs a name of its own",
                     export_options_shown(strlen(name)), name);
}
