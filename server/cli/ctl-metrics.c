#include "server/cli/ctl-metrics.h"

#include <stdio.h>

#include "server/control/control-json.h"

int ctl_metrics(struct ctl *ctl)
{
    struct json_object *parameters = json_object_new_object();
    bool last = false;

    if (ctl->options.openmetrics)
        control_add_flag(parameters, "openmetrics", true);
    int status = ctl_begin(ctl, "Metrics", parameters);
    while (status == EXIT_SUCCESS && !last && !ferror(stdout)) {
        struct json_object *reply;

        status = ctl_next(ctl, &reply, &last);
        const char *text = control_text(reply, "text");
        if (text != NULL)
            fputs(text, stdout);
        json_object_put(reply);
    }
    return status;
}
