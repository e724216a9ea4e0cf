#include "server/serve/added-export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/access/access.h"
#include "server/control/control-json.h"
#include "server/serve/export-options.h"
#include "server/serve/kept-settings.h"

void added_close_files(struct added *added)
{
    if (added->key_fd >= 0)
        close(added->key_fd);
    if (added->image_fd >= 0)
        close(added->image_fd);
    added->key_fd = added->image_fd = -1;
    added->settings.options.fd = 0;
}

void added_free(struct export_settings *settings)
{
    struct added *added = container_of(settings, struct added, settings);

    added_close_files(added);
    for (size_t i = 0; i < added->count; i++)
        free(added->texts[i]);
    access_free(added->settings.access);
    export_metadata_free(&added->settings.metadata);
    params_free(&added->settings, export_params);
    while (added->inherited.count > 0)
        free((char *)added->inherited.items[--added->inherited.count]);
    free(added->inherited.items);
    if (added->common != NULL)
        kept_settings_free(added->common);
    free(added->call);
    free(added);
}

const char *added_keep(struct added *added, const char *text)
{
    char *copy = strdup(text);

    if (copy != NULL)
        added->texts[added->count++] = copy;
    return copy;
}

/* All but the key and the revision; the order of members counts. */
static char *text_of(struct json_object *parameters)
{
    static const char *const names[] = { "name", "image", "options", "allow", "persist" };
    struct json_object *copy = json_object_new_object();

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        control_add(copy, names[i], json_object_get(control_member(parameters, names[i])));
    char *text = strdup(json_object_to_json_string_ext(copy, JSON_C_TO_STRING_PLAIN));
    json_object_put(copy);
    return text;
}

struct added *added_create(struct json_object *parameters, const struct export_settings *common)
{
    struct json_object *options = control_member(parameters, "options");
    struct json_object *allow = control_member(parameters, "allow");
    size_t texts = 2 + (options != NULL ? (size_t)json_object_object_length(options) : 0) +
                   (allow != NULL ? json_object_array_length(allow) : 0);
    struct added *added = calloc(1, sizeof *added + texts * sizeof added->texts[0]);

    if (added == NULL)
        return NULL;
    added->common = kept_settings_common(common);
    if (added->common == NULL) {
        free(added);
        return NULL;
    }
    added->settings = export_options_inherit(added->common);
    added->settings.added = true;
    added->key_fd = added->image_fd = -1;
    added->settings.persisted = control_flag(parameters, "persist");
    added->settings.name = added_keep(added, control_text(parameters, "name"));
    added->settings.image = added_keep(added, control_text(parameters, "image"));
    added->settings.description = NULL;
    added->settings.metadata = (struct export_metadata){ 0 };
    added->call = text_of(parameters);
    if (added->settings.name != NULL && added->settings.image != NULL && added->call != NULL)
        return added;
    added_free(&added->settings);
    return NULL;
}

int added_inherit(struct added *added, const struct export *ex)
{
    const struct access *access = ex->access;
    size_t count = access_rule_count(access);

    added->replaces = true;
    added->inherited.items = calloc(count + 1, sizeof *added->inherited.items);
    if (added->inherited.items == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const char *text = strdup(access_rule_text(access, i));

        if (text == NULL)
            return -ENOMEM;
        added->inherited.items[added->inherited.count++] = text;
    }
    return 0;
}

bool added_inherits_still(const struct added *added, const struct export *ex)
{
    const struct access *access = ex->access;
    size_t count = access_rule_count(access);

    if (added->inherits_tls_only && added->settings.tls_only != ex->tls_only)
        return false;
    if (added->settings.allow.count > 0)
        return true;
    if (count != added->inherited.count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(access_rule_text(access, i), added->inherited.items[i]) != 0)
            return false;
    return true;
}

static const struct param_list *rules_of(const struct added *added)
{
    if (added->settings.allow.count > 0)
        return &added->settings.allow;
    return added->replaces ? &added->inherited : &added->common->allow;
}

struct export_settings added_as_configured(const struct export_settings *settings)
{
    const struct added *added = container_of(settings, struct added, settings);
    struct export_settings result = *settings;

    result.access = NULL;
    result.allow = *rules_of(added);
    if (result.key.fd_is_lent)
        result.key = (struct key_source){ 0 };
    if (added->image_was_lent)
        result.image = "";
    return result;
}

int added_set_access(struct added *added, struct error *err)
{
    const struct param_list *rules = rules_of(added);

    return access_create(&added->settings.access, rules->items, rules->count, err);
}
