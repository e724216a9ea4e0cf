#include "server/cli/ctl-reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log-text.h"
#include "server/base/log.h"
#include "server/control/control-json.h"

/* Names of exports may have anything in them, which a terminal would obey. */
static void print_line(const char *text)
{
    char *shown = malloc(LOG_TEXT_GROWTH * strlen(text) + 1);

    if (shown == NULL)
        return;
    shown[log_text_escape(shown, text)] = '\0';
    puts(shown);
    free(shown);
}

static void print_plan(struct json_object *plan)
{
    for (size_t i = 0; plan != NULL && i < json_object_array_length(plan); i++) {
        const char *text = control_text(json_object_array_get_idx(plan, i), "text");

        print_line(text != NULL ? text : "?");
    }
}

/* Exports are opened, which may take long.  The plan is printed also when it is carried out. */
int ctl_reload(struct ctl *ctl)
{
    struct json_object *parameters = json_object_new_object(), *names = json_object_new_array();
    struct json_object *reply;

    for (size_t i = 0; i < ctl->options.replace.count; i++)
        control_append(names, json_object_new_string(ctl->options.replace.items[i]));
    control_add(parameters, "replace", names);
    control_add_flag(parameters, "dry_run", ctl->options.dry_run);
    ctl_wait_for_change(ctl);
    int status = ctl_call(ctl, "Reload", parameters, &reply);
    const char *refused = control_text(reply, "refused");
    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(reply));
    else if (status == EXIT_SUCCESS)
        print_plan(control_member(reply, "plan"));
    if (refused != NULL) {
        log_error("the reload would be refused: %s", refused);
        status = EXIT_FAILURE;
    }
    json_object_put(reply);
    return status;
}
