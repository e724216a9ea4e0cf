#include "server/serve/export-options.h"

#include <errno.h>
#include <string.h>

#include "server/block/lock-params.h"
#include "server/nbd/nbd-wire.h"

const struct param export_params[] = {
    KEY_SOURCE_ROWS("", struct export_settings, key, "the passphrase"),
    KEY_SOURCE_VOLUME_KEY_ROWS(struct export_settings, key),
    { .name = "header",
      .type = PARAM_STRING,
      .value = "FILE",
      .offset = offsetof(struct export_settings, header) },
    { .name = "description",
      .type = PARAM_STRING,
      .value = "TEXT",
      .offset = offsetof(struct export_settings, description) },
    { .name = "allow",
      .type = PARAM_LIST,
      .value = "RULE",
      .offset = offsetof(struct export_settings, allow) },
    { .name = "read-only",
      .type = PARAM_FLAG,
      .offset = offsetof(struct export_settings, options.read_only) },
    { .name = "raw", .type = PARAM_FLAG, .offset = offsetof(struct export_settings, raw) },
    { .name = "discard", .type = PARAM_FLAG, .offset = offsetof(struct export_settings, discard) },
    { .name = "no-discard",
      .type = PARAM_FLAG,
      .offset = offsetof(struct export_settings, no_discard) },
    { .name = "zero-holes",
      .type = PARAM_FLAG,
      .offset = offsetof(struct export_settings, zero_holes) },
    { .name = "direct",
      .type = PARAM_FLAG,
      .offset = offsetof(struct export_settings, options.direct) },
    { .name = "tls-only",
      .type = PARAM_FLAG,
      .offset = offsetof(struct export_settings, tls_only) },
    LOCK_ROWS(struct export_settings, options.terms),
    DEMAND_ROWS(struct export_settings, demand_texts),
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
    if (text && !*text)
        return error_set(err, -EINVAL, "%s is empty: give the name of a file, or leave it out",
                         what);
    return 0;
}

int export_options_check(const struct export_settings *settings, struct error *err)
{
    int ret = check_string("the name", settings->name, err);

    if (ret == 0 && settings->description)
        ret = check_string("the description", settings->description, err);
    if (ret == 0)
        ret = key_source_check(&settings->key, "", err);
    if (ret == 0)
        ret = check_not_empty("header", settings->header, err);
    if (ret == 0)
        ret = demand_arguments_check(&settings->demand_texts, err);
    if (ret != 0)
        return ret;
    if (!*settings->image)
        return error_set(err, -EINVAL, "there is no IMAGE: name the file to serve");
    if (settings->raw && (key_source_given(&settings->key) || settings->header))
        return error_set(
            err, -EINVAL, "raw means without LUKS, so %s can't be used: leave out one of the two",
            key_source_given(&settings->key) ? key_source_given(&settings->key) : "header");
    if (settings->raw && demand_arguments_given(&settings->demand_texts))
        return error_set(err, -EINVAL,
                         "raw means without LUKS, so %s can't be used: leave out one of the two",
                         demand_arguments_given(&settings->demand_texts));
    if (settings->raw && settings->no_discard)
        return error_set(err, -EINVAL,
                         "raw means without LUKS, so no-discard can't be used: leave "
                         "out one of the two");
    if (settings->discard && settings->no_discard)
        return error_set(err, -EINVAL,
                         "discard and no-discard can't both be used: leave out one of "
                         "the two");
    if (settings->raw && settings->zero_holes)
        return error_set(err, -EINVAL,
                         "raw means without LUKS, so zero-holes can't be used: leave "
                         "out one of the two");
    return 0;
}

/* What is given once for all is for those that are not raw and have no key of their own. */
static void own_or_common(struct export_settings *settings, const struct export_settings *defaults)
{
    bool raw = settings->raw && !defaults->raw;

    if (!raw && !key_source_given(&settings->key))
        settings->key = defaults->key;
    if (raw && defaults->zero_holes)
        settings->zero_holes = false;
    if ((raw || settings->discard) && defaults->no_discard)
        settings->no_discard = false;
    if (settings->no_discard && defaults->discard)
        settings->discard = false;
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
int export_options_parse(struct export_settings *settings, char *text, struct error *err)
{
    const struct export_settings defaults = *settings;
    size_t name_bytes;
    char *image = find_image(text, &name_bytes), *pairs;
    int ret;

    if (image == NULL)
        return error_set(err, -EINVAL,
                         "--export %.*s: write NAME=IMAGE, such as disk1=/path/to/disk",
                         export_options_shown(name_bytes), text);
    cut_name(text, name_bytes);
    pairs = params_cut_at_comma(image);
    settings->key = (struct key_source){ 0 };
    settings->name = text;
    settings->image = image;
    ret = pairs ? params_parse_pairs(settings, export_params, pairs, ',', err) : 0;
    if (ret == -EINVAL && settings->allow.count > 0 && strstr(err->text, "unknown option"))
        error_set(err, ret, "%s; a comma that belongs to a rule is doubled (,,)", err->text);
    own_or_common(settings, &defaults);
    if (ret == 0)
        ret = export_options_check(settings, err);
    if (ret != 0)
        error_prefix(err, "export '%.*s': ", export_options_shown(strlen(text)), text);
    return ret;
}

/* Standard input holds one key, and names must differ. */
int export_options_check_together(const struct export_settings *exports, size_t count,
                                  struct error *err)
{
    size_t from_stdin = 0;

    for (size_t i = 0; i < count; i++) {
        const struct export_settings *settings = &exports[i];

        from_stdin += key_source_is_stdin(&settings->key);
        if (from_stdin > 1)
            return error_set(err, -EINVAL,
                             "standard input can hold only one key, and two exports want it: "
                             "give each export a key-file of its own");
        for (size_t k = 0; k < i; k++) {
            if (!strcmp(exports[k].name, settings->name))
                return error_set(err, -EINVAL,
                                 "export '%.*s' is there twice: each needs a name of its own",
                                 export_options_shown(strlen(settings->name)), settings->name);
        }
    }
    return 0;
}
