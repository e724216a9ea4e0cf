#include "server/serve/control-added.h"

#include <errno.h>
#include <string.h>

#include "server/serve/export-options.h"

void control_refuse_option(struct control_client *client, const char *option, const char *reason)
{
    struct json_object *parameters = json_object_new_object();
    const char *near = params_nearest(export_params, option);

    control_add_text(parameters, "option", option);
    control_add_text(parameters, "reason", reason);
    if (near != NULL && strcmp(near, option) != 0)
        control_add_text(parameters, "near", near);
    control_fail(client, CONTROL_BAD_OPTION, parameters);
}

/* False: it was refused. */
static bool set_option(struct control_client *client, struct added *added, const char *name,
                       const char *value)
{
    const struct param *param = params_find(export_params, name);
    const char *text = added_keep(added, value);
    struct error err = { "" };

    if (param == NULL)
        error_set(&err, -EINVAL, "there is no such option");
    else if (strcmp(name, "key-fd") == 0)
        error_set(&err, -EINVAL, "a descriptor comes with the call: key_fd");
    else if (text == NULL)
        (void)error_no_memory(&err, "for an option");
    else if (params_set(&added->settings, param, text, &err) == 0)
        return true;
    control_refuse_option(client, name, err.text);
    return false;
}

bool control_set_options(struct control_client *client, struct added *added,
                         struct json_object *options, struct json_object *allow)
{
    if (options != NULL) {
        json_object_object_foreach(options, name, value)
        {
            const char *text = varlink_string(value);

            if (text == NULL) {
                control_refuse_option(client, name, "its value is not a text");
                return false;
            }
            if (!set_option(client, added, name, text))
                return false;
        }
    }
    for (size_t i = 0; allow != NULL && i < json_object_array_length(allow); i++) {
        const char *text = varlink_string(json_object_array_get_idx(allow, i));

        if (text == NULL || !set_option(client, added, "allow", text)) {
            if (text == NULL)
                control_refuse(client, "allow");
            return false;
        }
    }
    return true;
}

int control_take_fd(struct control_client *client, const char *name)
{
    int64_t index = control_number(client->varlink.call.parameters, name, -1);

    if (index < 0 || index >= VARLINK_FDS_MAX || client->varlink.fds[index] < 0)
        return control_param(client, name) == NULL ? -1 : -2;
    int fd = client->varlink.fds[index];
    client->varlink.fds[index] = -1;
    return fd;
}
