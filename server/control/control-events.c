#include <string.h>

#include "server/control/control-internal.h"
#include "server/control/event-feed.h"

static struct json_object *event_reply(struct json_object *event, uint64_t lost)
{
    struct json_object *reply = control_with("event", event);

    if (lost > 0)
        control_add_number(reply, "lost", lost);
    return reply;
}

/* "client" is all of "client.attached", "client.denied" ... */
static bool is_wanted(const struct control_client *client, struct json_object *event)
{
    const char *type = control_text(event, "type");
    size_t bytes = strlen(client->type);

    return bytes == 0 || (type != NULL && strncmp(type, client->type, bytes) == 0 &&
                          (type[bytes] == '\0' || type[bytes] == '.'));
}

/* With what was lost before. */
static void give(struct control_client *client, struct json_object *event)
{
    uint64_t lost = client->lost;

    client->lost = 0;
    varlink_reply(&client->varlink, event_reply(event, lost), true);
}

static void give_or_count(struct control_client *client, struct json_object *event, uint64_t lost)
{
    client->lost += lost;
    if (event != NULL && !is_wanted(client, event))
        return;
    if (event != NULL && varlink_unsent_bytes(&client->varlink) >= CONTROL_UNSENT_BYTES_MAX)
        client->lost++;
    else if (event != NULL)
        give(client, json_object_get(event));
}

void control_give_event(void *context, struct json_object *event, uint64_t lost)
{
    struct control *control = context;

    for (struct control_client *client = control->clients; client != NULL; client = client->next)
        if (client->follows)
            give_or_count(client, event, lost);
    json_object_put(event);
}

static struct json_object *own_event(const char *type)
{
    struct json_object *event = json_object_new_object();
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    control_add_number(event, "seq", event_feed_seq());
    control_add_time(event, "time", &now);
    control_add_text(event, "type", type);
    return event;
}

/* It learns at once what it missed, not with the next event that happens. */
void control_follow_on(struct control_client *client)
{
    if (client->lost > 0)
        give(client, own_event("events.lost"));
}

/* The first one says that from now on nothing is missed. */
void control_follow(struct control_client *client)
{
    const char *type = control_text(client->varlink.call.parameters, "type");

    if (!client->varlink.call.more) {
        varlink_error(&client->varlink, VARLINK_EXPECTED_MORE, NULL);
        return;
    }
    if (client->varlink.call.oneway || client->varlink.input_ended) {
        varlink_reply(&client->varlink, NULL, false);
        return;
    }
    if (type != NULL && strlen(type) >= sizeof client->type) {
        control_refuse(client, "type");
        return;
    }
    if (type != NULL)
        memcpy(client->type, type, strlen(type) + 1);
    client->lost = 0;
    client->follows = true;
    give(client, own_event("events.begin"));
}
