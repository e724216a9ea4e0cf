#include "server/connection/worker-clients.h"

#include "server/access/access.h"
#include "server/base/log.h"
#include "server/board/board-owner.h"
#include "server/connection/connection.h"
#include "server/export/export.h"

static bool is_meant(const struct worker_farewell *farewell, const struct connection *connection)
{
    const struct conversation *talk = &connection->talk;

    if (farewell->id != 0 && talk->row->id != farewell->id)
        return false;
    if (farewell->export_id != 0 &&
        (talk->export == NULL || talk->export->id != farewell->export_id))
        return false;
    return access_allows(farewell->rule, &talk->peer);
}

static void send_away_here(struct io_event *ev, int result)
{
    struct worker_farewell *farewell = container_of(ev, struct worker_farewell, message.event);

    (void)result;
    for (struct connection *one = farewell->worker->connections, *next; one != NULL; one = next) {
        next = one->next;
        if (!is_meant(farewell, one))
            continue;
        farewell->count++;
        conversation_log(&one->talk, LOG_NOTICE,
                         "is told to go, as was asked on the control socket");
        connection_shutdown(one);
    }
    farewell->done(farewell);
}

void worker_send_away(struct worker *worker, struct worker_farewell *farewell)
{
    farewell->worker = worker;
    farewell->count = 0;
    farewell->message.event.fn = send_away_here;
    loop_post(worker->loop, &farewell->message);
}
