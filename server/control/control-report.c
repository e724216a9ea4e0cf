#include "server/control/control-report.h"

#include <stdlib.h>
#include <string.h>

#include "server/report/guard.h"

#define REPORT_BYTES_MAX (12u << 20) /* of them a report takes up what it needs */

struct report_call {
    struct guard_request request;
    char reason[PEER_TEXT_BYTES + 64];
    char text[REPORT_BYTES_MAX];
};

static void made(struct control_client *client)
{
    const struct report_call *call = client->data;

    if (client->job.offload.done.result < 0)
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "the report is too long");
    else
        varlink_reply(&client->varlink, control_with("report", json_object_new_string(call->text)),
                      false);
}

static void ask(struct control_client *client, bool json)
{
    struct report_call *call = malloc(sizeof *call);

    if (call == NULL) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "not enough memory for a report");
        return;
    }
    (void)snprintf(call->reason, sizeof call->reason, "asked for on the control socket by %s",
                   client->peer.text);
    call->request = (struct guard_request){ .out = call->text,
                                            .room_bytes = sizeof call->text,
                                            .json = json,
                                            .reason = call->reason,
                                            .loop = client->control->host.loop,
                                            .done = &client->job.offload.done };
    control_wait_for(client, made);
    client->data = call;
    if (guard_ask(&call->request))
        return;
    client->job.running = false;
    client->data = NULL;
    free(call);
    control_error(client, CONTROL_NOT_POSSIBLE, "reason", "this server makes no reports");
}

static void report(struct control_client *client)
{
    const char *format = control_text(client->varlink.call.parameters, "format");

    if (format != NULL && strcmp(format, "text") != 0 && strcmp(format, "json") != 0)
        control_refuse(client, "format");
    else
        ask(client, format != NULL && strcmp(format, "json") == 0);
}

const struct control_method control_report_methods[] = {
    { .name = "org.nbdcrypt.Report",
      .role = CONTROL_OPERATE,
      .params = { { "format", json_type_string, false } },
      .run = report },
    { 0 },
};
