#include "server/serve/check-running.h"

#include <errno.h>
#include <string.h>

#include "server/control/control-client.h"
#include "server/control/control-json.h"

#define TIMEOUT_MS 60000 /* it may have thousands of files to read */

static int refused(const char *error, struct json_object *parameters, struct error *err)
{
    const char *reason = control_text(parameters, "reason");

    if (strcmp(error, "org.nbdcrypt.Denied") == 0)
        return error_set(err, -EACCES,
                         "this user may not ask it for that: it takes the role admin");
    return error_set(err, -EIO, "%s", reason != NULL ? reason : error);
}

static int ask(struct json_object **out, struct control_link *link, struct error *err)
{
    struct json_object *parameters = json_object_new_object(), *reply = NULL;

    control_add_flag(parameters, "dry_run", true);
    int result = control_link_send(link, "Reload", parameters, false, -1, err);
    if (result == 0)
        result = control_link_receive(link, &reply, err);
    const char *error = control_text(reply, "error");
    if (result == 0 && error != NULL)
        result = refused(error, control_member(reply, "parameters"), err);
    else if (result == 0)
        *out = json_object_get(control_member(reply, "parameters"));
    json_object_put(reply);
    return result;
}

int check_running(struct json_object **out, const char *socket, struct error *err)
{
    struct control_link link;
    int result = control_link_open(&link, socket, TIMEOUT_MS, err);

    *out = NULL;
    if (result < 0)
        return result;
    result = ask(out, &link, err);
    control_link_close(&link);
    return result;
}
