#include "server/control/control-metrics.h"

#include <stdlib.h>
#include <string.h>

#define PART_BYTES 32768u

/* ---- the text ---- */

static void write_text(struct offload_job *job)
{
    struct control_client *client = container_of(job, struct control_client, job.offload);
    const struct control_host *host = &client->control->host;
    struct json_object *openmetrics = control_param(client, "openmetrics");

    client->text =
        host->metrics(host->context, openmetrics != NULL && json_object_get_boolean(openmetrics),
                      &client->text_bytes);
    job->done.result = 0;
}

static void written(struct control_client *client)
{
    client->text_at = 0;
    if (client->text == NULL)
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "there is not enough memory");
    else
        control_stream(client);
}

static void metrics(struct control_client *client)
{
    const struct control_host *host = &client->control->host;

    if (!client->varlink.call.more) {
        varlink_error(&client->varlink, VARLINK_EXPECTED_MORE, NULL);
        return;
    }
    free(client->text);
    client->text = NULL;
    control_wait_for(client, written);
    client->job.offload.work = write_text;
    client->job.offload.loop = host->loop;
    offload_run(host->looks, &client->job.offload);
}

/* ---- its parts ---- */

/* Whole lines, if they are not too long. */
static size_t part_bytes(const struct control_client *client)
{
    const char *at = client->text + client->text_at;
    size_t left_bytes = client->text_bytes - client->text_at;
    const char *end = left_bytes > PART_BYTES ? memrchr(at, '\n', PART_BYTES) : NULL;

    if (end != NULL)
        return (size_t)(end - at) + 1;
    return left_bytes > PART_BYTES ? PART_BYTES : left_bytes;
}

static bool next_part(struct control_client *client, struct json_object **out)
{
    size_t bytes = client->text != NULL ? part_bytes(client) : 0;

    if (bytes == 0) {
        free(client->text);
        client->text = NULL;
        return false;
    }
    *out = control_with("text",
                        json_object_new_string_len(client->text + client->text_at, (int)bytes));
    client->text_at += bytes;
    return true;
}

const struct control_method control_metrics_methods[] = {
    { .name = "org.nbdcrypt.Metrics",
      .role = CONTROL_VIEW,
      .streams = true,
      .params = { { "openmetrics", json_type_boolean, false } },
      .run = metrics,
      .next = next_part },
    { 0 },
};
