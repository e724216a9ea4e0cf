#include "server/connection/worker-clients.h"

#include "server/base/log.h"
#include "server/board/board-owner.h"
#include "server/connection/connection.h"

static void send_away_here(struct io_event *ev, int result)
{
    struct worker_farewell *farewell = container_of(ev, struct worker_farewell, message.event);

    (void)result;
    for (struct connection *one = farewell->worker->connections, *next; one != NULL; one = next) {
        next = one->next;
        if (one->talk.row->id != farewell->id)
            continue;
        farewell->found = true;
        log_write_of(LOG_NOTICE, one->talk.peer.text,
                     "is told to go, as was asked on the control socket");
        connection_shutdown(one);
        break;
    }
    farewell->done(farewell);
}

void worker_send_away(struct worker *worker, struct worker_farewell *farewell)
{
    farewell->worker = worker;
    farewell->found = false;
    farewell->message.event.fn = send_away_here;
    loop_post(worker->loop, &farewell->message);
}
