#include "server/serve/control-clients.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/connection/worker-clients.h"

/* There is one server in a process. */
static struct worker_thread *const *server_workers;
static unsigned server_worker_count;

struct call {
    struct worker_farewell farewell;
    struct control_client *client;
    struct loop *loop;
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

    if (call->farewell.found)
        control_changed(client, NULL);
    else
        refuse(client, call->farewell.id);
}

/* On the worker's thread. */
static void told(struct worker_farewell *farewell)
{
    struct call *call = container_of(farewell, struct call, farewell);

    loop_post(call->loop, &call->client->job.offload.done);
}

void control_clients_disconnect(struct control_client *client)
{
    int64_t id = control_number(client->varlink.call.parameters, "id", 0);
    const struct control_host *host = &client->control->host;
    struct board_connection connection;
    struct call *call = calloc(1, sizeof *call);

    if (call == NULL) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "not enough memory");
        return;
    }
    if (id <= 0 || client->control->ending ||
        !board_read_connection(host->board, (uint64_t)id, &connection) ||
        connection.worker >= server_worker_count) {
        refuse(client, id > 0 ? (uint64_t)id : 0);
        free(call);
        return;
    }
    *call = (struct call){ .farewell = { .id = (uint64_t)id, .done = told },
                           .client = client,
                           .loop = host->loop };
    client->data = call;
    control_wait_for(client, answer);
    worker_send_away(&server_workers[connection.worker]->worker, &call->farewell);
}
