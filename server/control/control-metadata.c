#include "server/control/control-metadata.h"

#include <errno.h>
#include <string.h>

/* ---- under the lock of the exports ---- */

/* What was given when the export was made; read and changed by this thread alone. */
static struct export_metadata *find_metadata(const struct export_set *set, const char *name)
{
    const struct export *ex = export_set_named(set, name, strlen(name));

    if (ex == NULL || strcmp(ex->name, name) != 0)
        return NULL;
    return &((struct export_settings *)ex->settings)->metadata;
}

/* Byte for byte. */
static struct json_object *value_json(const struct metadata_item *item)
{
    return json_object_new_string_len(item->value, (int)item->value_bytes);
}

/* All of them, or that of one namespace. */
static struct json_object *values_json(const struct export_metadata *metadata, const char *only)
{
    struct json_object *values = json_object_new_object();

    for (size_t i = 0; i < metadata->count; i++)
        if (only == NULL || strcmp(metadata->items[i].name_space, only) == 0)
            control_add(values, metadata->items[i].name_space, value_json(&metadata->items[i]));
    return values;
}

/* `value` NULL: it goes. */
static int change(struct export_metadata *metadata, const char *name_space, const char *value,
                  struct error *err)
{
    if (value != NULL)
        return export_metadata_set(metadata, name_space, value, strlen(value), err);
    if (export_metadata_remove(metadata, name_space))
        return 0;
    return error_set(err, -ENOENT, "there is no metadata '%.300s'", name_space);
}

/* ---- the methods ---- */

static void get_metadata(struct control_client *client)
{
    struct json_object *parameters = client->varlink.call.parameters;
    const char *name = control_text(parameters, "name");
    const struct control_host *host = &client->control->host;
    const struct export_metadata *metadata = find_metadata(host->lock(host->context), name);
    struct json_object *values =
        metadata != NULL ? values_json(metadata, control_text(parameters, "namespace")) : NULL;

    host->unlock(host->context);
    if (values == NULL)
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", name);
    else
        varlink_reply(&client->varlink, control_with("metadata", values), false);
}

static void set_metadata(struct control_client *client)
{
    struct json_object *parameters = client->varlink.call.parameters;
    const char *name = control_text(parameters, "name");
    const struct control_host *host = &client->control->host;
    struct export_metadata *metadata = find_metadata(host->lock(host->context), name);
    struct error err = { "" };
    int result = metadata == NULL ? -ENXIO
                                  : change(metadata, control_text(parameters, "namespace"),
                                           control_text(parameters, "value"), &err);

    host->unlock(host->context);
    if (result == -ENXIO)
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", name);
    else if (result < 0)
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", err.text);
    else
        control_changed(client, NULL);
}

const struct control_method control_metadata_methods[] = {
    { .name = "org.nbdcrypt.GetMetadata",
      .role = CONTROL_VIEW,
      .params = { { "name", json_type_string, true }, { "namespace", json_type_string, false } },
      .run = get_metadata },
    { .name = "org.nbdcrypt.SetMetadata",
      .role = CONTROL_ADMIN,
      .changes = true,
      .params = { { "name", json_type_string, true },
                  { "namespace", json_type_string, true },
                  { "value", json_type_string, false } },
      .run = set_metadata },
    { 0 },
};
