#include "server/cli/ctl-suspend.h"

#include <stdlib.h>

#include "server/control/control-json.h"

/* What is in flight, or a key, may take its time.  `fd` -1: none goes with it. */
static int change_key(struct ctl *ctl, const char *method, int fd)
{
    struct json_object *parameters = ctl_operand(ctl, "name"), *reply;

    if (fd >= 0)
        control_add_number(parameters, "key_fd", 0);
    ctl_wait_for_change(ctl);
    int status = ctl_call_with_fd(ctl, method, parameters, fd, &reply);
    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(reply));
    json_object_put(reply);
    return status;
}

int ctl_suspend(struct ctl *ctl)
{
    return change_key(ctl, "Suspend", -1);
}

int ctl_resume(struct ctl *ctl)
{
    return change_key(ctl, "Resume", ctl->options.key_fd > 0 ? (int)ctl->options.key_fd : -1);
}
