#include "server/cli/ctl-report.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/control/control-json.h"

/* As it is: it has no control characters, and it is JSON already where that was asked for. */
int ctl_report(struct ctl *ctl)
{
    struct json_object *parameters = json_object_new_object(), *reply;

    control_add_text(parameters, "format", ctl->options.json ? "json" : "text");
    int status = ctl_call(ctl, "Report", parameters, &reply);
    const char *text = status == EXIT_SUCCESS ? control_text(reply, "report") : NULL;
    if (text != NULL)
        fputs(text, stdout);
    json_object_put(reply);
    return status;
}
