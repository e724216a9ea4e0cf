#include "server/serve/control-limits.h"

#include <errno.h>
#include <string.h>

#include "server/board/board.h"
#include "server/control/control-groups.h"
#include "server/serve/export-options.h"
#include "server/serve/limit-options.h"
#include "server/serve/reload-config.h"

static struct reload_config *server_config; /* there is one in a process */

void control_limits_use(struct reload_config *config)
{
    server_config = config;
}

struct refusal {
    const struct param *params; /* those that there are */
    const char *option;         /* that is wrong; NULL: they do not fit together */
    struct error reason;
};

static int set_option(void *settings, const struct param *params, const char *name,
                      const char *value, struct error *err)
{
    const struct param *param = params_find(params, name);

    if (param == NULL)
        return error_set(err, -EINVAL, "there is no such limit");
    return value == NULL ? error_set(err, -EINVAL, "its value is not a text")
                         : params_set(settings, param, value, err);
}

static int set_options(void *settings, const struct param *params, struct json_object *given,
                       struct refusal *refusal)
{
    json_object_object_foreach(given, name, value)
    {
        int result = set_option(settings, params, name, varlink_string(value), &refusal->reason);

        refusal->option = name;
        if (result < 0)
            return result;
    }
    return 0;
}

/* A burst goes with its limit. */
static void drop_bursts(struct limit_settings *settings, struct json_object *given)
{
    for (unsigned i = 0; i < LIMIT_KINDS; i++) {
        bool off = i < LIMIT_IOPS_KINDS ? settings->iops[i] == 0
                                        : settings->bandwidth[i - LIMIT_IOPS_KINDS] == 0;

        if (off && control_member(given, limit_kind_burst_name(i)) == NULL)
            settings->burst[i] = NULL;
    }
}

/* What is wrong from here on is of several. */
static int terms_of(struct limit_terms *out, struct limit_settings *settings,
                    struct json_object *given, struct refusal *refusal)
{
    refusal->option = NULL;
    drop_bursts(settings, given);
    return limit_settings_terms(out, settings, &refusal->reason);
}

/* ---- of an export ---- */

/* Not with the lock of the exports. */
static int check_group(struct json_object *given, struct refusal *refusal)
{
    const char *name = varlink_string(control_member(given, "limit-group"));
    int result = limit_options_find(reload_config_lock(server_config), name, &refusal->reason);

    reload_config_unlock(server_config);
    if (result < 0)
        refusal->option = "limit-group";
    return result;
}

/* Of an export that is there, with its lock. */
static int change(struct export *ex, struct json_object *given, struct refusal *refusal)
{
    char texts[LIMIT_KINDS][LIMIT_TEXT_BYTES];
    const struct limit_set *group = atomic_load(&ex->group);
    struct export_rates rates = { .limit_group = group != NULL ? limit_group_name(group) : NULL,
                                  .weight = atomic_load(&ex->weight) };
    struct limit_terms terms;

    limit_terms_settings(&rates.limits, texts, &ex->rates.terms);
    int result = set_options(&rates, rate_params, given, refusal);
    if (result == 0)
        result = terms_of(&terms, &rates.limits, given, refusal);
    if (result < 0)
        return result;
    export_limit(ex, &terms);
    export_share(ex, rates.limit_group, rates.weight);
    return 0;
}

static void refuse(struct control_client *client, const struct refusal *refusal)
{
    struct json_object *parameters;
    const char *near;

    if (refusal->option == NULL) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", refusal->reason.text);
        return;
    }
    parameters = json_object_new_object();
    near = params_nearest(refusal->params, refusal->option);
    control_add_text(parameters, "option", refusal->option);
    control_add_text(parameters, "reason", refusal->reason.text);
    if (near != NULL && strcmp(near, refusal->option) != 0)
        control_add_text(parameters, "near", near);
    control_fail(client, CONTROL_BAD_OPTION, parameters);
}

void control_limits_set(struct control_client *client)
{
    struct json_object *parameters = client->varlink.call.parameters;
    struct json_object *given = control_member(parameters, "limits"), *limits = NULL;
    const char *name = control_text(parameters, "name");
    const struct control_host *host = &client->control->host;
    struct refusal refusal = { .params = rate_params };
    int result = check_group(given, &refusal);
    struct export *ex = export_set_named(host->lock(host->context), name, strlen(name));
    bool there = ex != NULL && strcmp(ex->name, name) == 0;

    if (there && result == 0)
        result = change(ex, given, &refusal);
    if (there && result == 0)
        limits = control_view_limits(ex);
    host->unlock(host->context);
    if (!there)
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", name);
    else if (result < 0)
        refuse(client, &refusal);
    else
        control_changed(client, control_with("limits", limits));
}

/* ---- of a group ---- */

static int change_group(struct limit_set *group, struct json_object *given, struct refusal *refusal)
{
    char texts[LIMIT_KINDS][LIMIT_TEXT_BYTES];
    struct limit_settings settings;
    struct limit_terms terms;

    limit_terms_settings(&settings, texts, &group->terms);
    int result = set_options(&settings, group_params, given, refusal);
    if (result == 0)
        result = terms_of(&terms, &settings, given, refusal);
    if (result == 0)
        limit_group_use(group, &terms, board_now_ns());
    return result;
}

static struct limit_set *find_group(const char *name)
{
    struct limit_set *group = limit_groups_next(NULL);

    while (group != NULL && strcmp(limit_group_name(group), name) != 0)
        group = limit_groups_next(group);
    return group != NULL && limit_group_is_configured(group) ? group : NULL;
}

/* A reload changes them with the same lock. */
void control_limits_set_group(struct control_client *client)
{
    struct json_object *parameters = client->varlink.call.parameters;
    const char *name = control_text(parameters, "name");
    struct refusal refusal = { .params = group_params };
    struct json_object *limits = NULL;

    (void)reload_config_lock(server_config);
    struct limit_set *group = find_group(name);
    int result =
        group != NULL ? change_group(group, control_member(parameters, "limits"), &refusal) : 0;
    if (group != NULL && result == 0)
        limits = control_view_terms(&group->terms);
    reload_config_unlock(server_config);
    if (group == NULL)
        control_error(client, CONTROL_NO_SUCH_GROUP, "name", name);
    else if (result < 0)
        refuse(client, &refusal);
    else
        control_changed(client, control_with("limits", limits));
}
