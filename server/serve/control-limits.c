#include "server/serve/control-limits.h"

#include <errno.h>
#include <string.h>

#include "server/serve/export-options.h"

struct refusal {
    const char *option; /* that is wrong; NULL: they do not fit together */
    struct error reason;
};

static int set_option(struct limit_settings *settings, const char *name, const char *value,
                      struct error *err)
{
    const struct param *param = params_find(limit_params, name);

    if (param == NULL)
        return error_set(err, -EINVAL, "there is no such limit");
    return value == NULL ? error_set(err, -EINVAL, "its value is not a text")
                         : params_set(settings, param, value, err);
}

static int set_options(struct limit_settings *settings, struct json_object *given,
                       struct refusal *refusal)
{
    json_object_object_foreach(given, name, value)
    {
        int result = set_option(settings, name, varlink_string(value), &refusal->reason);

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

/* Of an export that is there, with its lock. */
static int change(struct export *ex, struct json_object *given, struct refusal *refusal)
{
    char texts[LIMIT_KINDS][LIMIT_TEXT_BYTES];
    struct limit_settings settings;
    struct limit_terms terms;

    limit_terms_settings(&settings, texts, &ex->rates.terms);
    int result = set_options(&settings, given, refusal);
    if (result < 0)
        return result;
    refusal->option = NULL; /* what is wrong from here on is of several */
    drop_bursts(&settings, given);
    result = limit_settings_terms(&terms, &settings, &refusal->reason);
    if (result == 0)
        export_limit(ex, &terms);
    return result;
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
    near = params_nearest(limit_params, refusal->option);
    control_add_text(parameters, "option", refusal->option);
    control_add_text(parameters, "reason", refusal->reason.text);
    if (near != NULL && strcmp(near, refusal->option) != 0)
        control_add_text(parameters, "near", near);
    control_fail(client, CONTROL_BAD_OPTION, parameters);
}

void control_limits_set(struct control_client *client)
{
    struct json_object *parameters = client->varlink.call.parameters;
    const char *name = control_text(parameters, "name");
    const struct control_host *host = &client->control->host;
    struct refusal refusal = { .option = NULL };
    struct json_object *limits = NULL;
    struct export *ex = export_set_named(host->lock(host->context), name, strlen(name));
    bool there = ex != NULL && strcmp(ex->name, name) == 0;
    int result = there ? change(ex, control_member(parameters, "limits"), &refusal) : 0;

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
