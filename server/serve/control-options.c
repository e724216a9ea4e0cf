#include "server/serve/control-options.h"

#include <errno.h>
#include <string.h>

#define SOCKET_MODE 0660

int control_options_rules(struct control_rules *out, const struct control_options *options,
                          struct error *err)
{
    const struct param_list *lists[CONTROL_ROLES] = { &options->view, &options->operate,
                                                      &options->admin };
    int result = 0;

    *out = (struct control_rules){ 0 };
    for (int role = 0; role < CONTROL_ROLES && result == 0; role++) {
        result = control_rules_add(out, (enum control_role)role, lists[role]->items,
                                   lists[role]->count, err);
        if (result < 0)
            error_prefix(err, "--control-%s ", control_role_name(role));
    }
    if (result < 0)
        control_rules_free(out);
    return result;
}

int control_options_permissions(struct unix_permissions *out, const struct control_options *options,
                                struct error *err)
{
    int result = 0;

    *out = (struct unix_permissions){ .has_mode = true, .mode = SOCKET_MODE };
    if (options->mode != NULL)
        result = unix_permissions_parse_mode(out, "control-mode", options->mode, err);
    if (result == 0 && options->group != NULL)
        result = unix_permissions_parse_group(out, "control-group", options->group, err);
    return result;
}

/* An option that is about a socket; NULL: there is none. */
static const char *about_socket(const struct control_options *options)
{
    return options->mode != NULL        ? "mode"
           : options->group != NULL     ? "group"
           : options->view.count > 0    ? "view"
           : options->operate.count > 0 ? "operate"
           : options->admin.count > 0   ? "admin"
                                        : NULL;
}

int control_options_check(const struct control_options *options, struct error *err)
{
    struct unix_permissions permissions;
    struct control_rules rules;

    if (options->socket != NULL && options->socket[0] == '\0')
        return error_set(err, -EINVAL, "--control: the path is empty");
    if (options->socket != NULL && strcmp(options->socket, "none") == 0 &&
        about_socket(options) != NULL)
        return error_set(err, -EINVAL,
                         "--control none and --control-%s contradict each other: leave out one "
                         "of the two",
                         about_socket(options));
    int result = control_options_permissions(&permissions, options, err);
    if (result == 0)
        result = control_options_rules(&rules, options, err);
    if (result == 0)
        control_rules_free(&rules);
    return result;
}
