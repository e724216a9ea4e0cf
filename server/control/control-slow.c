#include "server/control/control-slow.h"

#include "server/report/slow-requests.h"

static struct json_object *view(const struct board *board, const struct slow_request *request)
{
    struct json_object *json = json_object_new_object();
    uint64_t real_ns = board_realtime_ns(board, request->start_ns);
    struct timespec time = { .tv_sec = (time_t)(real_ns / 1000000000),
                             .tv_nsec = (long)(real_ns % 1000000000) };

    control_add_number(json, "number", request->number);
    control_add_number(json, "client", request->client);
    control_add_text(json, "peer", request->peer);
    control_add_text(json, "export", request->export);
    control_add_text(json, "operation", board_op_name(request->op));
    control_add_number(json, "offset_bytes", request->offset_bytes);
    control_add_number(json, "length_bytes", request->length_bytes);
    control_add_time(json, "since", &time);
    control_add_flag(json, "ended", request->ended);
    control_add_number(json, "age_us", request->age_ns / 1000);
    control_add_number(json, "throttled_us", request->throttled_ns / 1000);
    control_add_number(json, "backend_us", request->backend_ns / 1000);
    control_add_number(json, "crypto_us", request->crypto_ns / 1000);
    control_add_number(json, "client_us", request->client_ns / 1000);
    return json;
}

/* The oldest first. */
void control_list_slow(struct control_client *client)
{
    static struct slow_request kept[SLOW_REQUESTS_KEPT]; /* of this thread alone */
    unsigned count = slow_requests_read(kept);
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < count; i++)
        control_append(list, view(client->control->host.board, &kept[i]));
    varlink_reply(&client->varlink, control_with("requests", list), false);
}
