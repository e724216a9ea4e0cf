#include "server/serve/control-clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/access/access.h"
#include "server/connection/worker-clients.h"

/* There is one server in a process. */
static struct worker_thread *const *server_workers;
static unsigned server_worker_count;

struct call;

struct part {
    struct worker_farewell farewell;
    struct call *call;
};

/* The worker of one client is asked, or all of them. */
struct call {
    struct control_client *client;
    struct loop *loop;
    struct access *rule; /* freed when the last one has answered */
    uint64_t id;         /* of that client; 0: others are meant */
    atomic_uint unanswered;
    unsigned count;
    struct part parts[];
};

void control_clients_use(struct worker_thread *const *workers, unsigned worker_count)
{
    server_workers = workers;
    server_worker_count = worker_count;
}

static void refuse(struct control_client *client, uint64_t id)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)id);
    control_error(client, CONTROL_NO_SUCH_CLIENT, "id", text);
}

static void answer(struct control_client *client)
{
    const struct call *call = client->data;
    struct json_object *reply;
    uint64_t clients = 0;

    for (unsigned i = 0; i < call->count; i++)
        clients += call->parts[i].farewell.count;
    if (clients == 0 && call->id != 0) {
        refuse(client, call->id);
        return;
    }
    reply = json_object_new_object();
    control_add_number(reply, "disconnected", clients);
    control_changed(client, reply);
}

/* On a worker's thread. */
static void told(struct worker_farewell *farewell)
{
    struct call *call = container_of(farewell, struct part, farewell)->call;

    if (atomic_fetch_sub(&call->unanswered, 1) > 1)
        return;
    access_free(call->rule);
    loop_post(call->loop, &call->client->job.offload.done);
}

/* ---- what is asked for ---- */

/* Which clients, and the one worker that has them; `first` is the first of so many. */
struct wish {
    struct worker_farewell farewell;
    struct access *rule;
    unsigned first, count;
};

/* False: it was refused, as in what follows. */
static bool take_id(struct control_client *client, struct wish *wish)
{
    int64_t id = control_number(client->varlink.call.parameters, "id", -1);
    struct board_connection connection;

    if (control_param(client, "id") == NULL)
        return true;
    if (id <= 0 || !board_read_connection(client->control->host.board, (uint64_t)id, &connection) ||
        connection.worker >= server_worker_count) {
        refuse(client, id > 0 ? (uint64_t)id : 0);
        return false;
    }
    wish->farewell.id = (uint64_t)id;
    wish->first = connection.worker;
    wish->count = 1;
    return true;
}

static bool take_export(struct control_client *client, struct wish *wish)
{
    const char *name = control_text(client->varlink.call.parameters, "export");
    const struct control_host *host = &client->control->host;
    const struct export *ex;

    if (name == NULL)
        return true;
    ex = export_set_named(host->lock(host->context), name, strlen(name));
    if (ex != NULL && strcmp(ex->name, name) == 0)
        wish->farewell.export_id = ex->id;
    host->unlock(host->context);
    if (wish->farewell.export_id == 0)
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", name);
    return wish->farewell.export_id != 0;
}

static bool take_rule(struct control_client *client, struct wish *wish)
{
    const char *text = control_text(client->varlink.call.parameters, "rule");
    struct error err = { "" };

    if (text == NULL || access_create(&wish->rule, &text, 1, &err) == 0)
        return true;
    struct json_object *parameters = control_with("option", json_object_new_string("rule"));
    control_add_text(parameters, "reason", err.text);
    control_fail(client, CONTROL_BAD_OPTION, parameters);
    return false;
}

static bool take_wish(struct control_client *client, struct wish *wish)
{
    bool any = control_param(client, "id") != NULL || control_param(client, "export") != NULL ||
               control_param(client, "rule") != NULL;

    if (!any)
        control_refuse(client, "id");
    else if (client->control->ending)
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "the server is ending");
    else
        return take_id(client, wish) && take_export(client, wish) && take_rule(client, wish);
    return false;
}

void control_clients_disconnect(struct control_client *client)
{
    struct wish wish = { .count = server_worker_count };
    struct call *call;

    if (!take_wish(client, &wish))
        return;
    call = calloc(1, sizeof *call + wish.count * sizeof call->parts[0]);
    if (call == NULL) {
        access_free(wish.rule);
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "not enough memory");
        return;
    }
    call->client = client;
    call->loop = client->control->host.loop;
    call->rule = wish.rule;
    call->id = wish.farewell.id;
    call->count = wish.count;
    atomic_init(&call->unanswered, wish.count);
    client->data = call;
    control_wait_for(client, answer);
    for (unsigned i = 0; i < wish.count; i++) {
        struct part *part = &call->parts[i];

        part->call = call;
        part->farewell = wish.farewell;
        part->farewell.rule = wish.rule;
        part->farewell.done = told;
        worker_send_away(&server_workers[wish.first + i]->worker, &part->farewell);
    }
}
