/* A worker that hangs is seen to hang, and stops nobody who looks. */
#include <sched.h>
#include <semaphore.h>

#include "server/board/board.h"
#include "server/serve/worker-thread.h"
#include "server/tls/tls.h"
#include "tests/support/check.h"

#define WORKERS 2u

static struct board *board;
static struct loop *loop;
static struct tls tls;
static struct places places;
static struct export_set *set;
static struct worker_thread *threads[WORKERS];
static unsigned ended;
static sem_t hangs, goes_on;

static void worker_has_ended(struct io_event *ev, int result)
{
    (void)ev;
    (void)result;
    if (++ended == WORKERS)
        loop_stop(loop);
}

static void start(void)
{
    struct error err;

    EXPECT(board_create(&board, WORKERS, &err) == 0);
    EXPECT(loop_create(&loop, &(struct loop_config){ .entries = 8 }, &err) == 0);
    places_init(&places, 10, 10);
    EXPECT(export_set_create(&set, NULL, 0, &err) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker_thread_settings settings = {
            .worker = { .board = board,
                        .exports = set,
                        .tls = &tls,
                        .places = &places,
                        .index = i,
                        .worker_count = WORKERS,
                        .buffers_max_bytes = 1u << 26,
                        .handshake_timeout_ms = 60000 },
            .main_loop = loop,
            .ended = { .fn = worker_has_ended },
        };

        EXPECT(worker_thread_create(&threads[i], &settings, &err) == 0);
    }
}

static void end(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        worker_thread_shutdown(threads[i]);
    loop_run(loop);
    for (unsigned i = 0; i < WORKERS; i++) {
        EXPECT(worker_thread_join(threads[i]));
        worker_thread_destroy(threads[i]);
    }
    export_set_free(set);
    loop_destroy(loop);
}

static struct board_worker look_at(unsigned index)
{
    struct board_worker worker;

    board_read_worker(board, index, &worker);
    return worker;
}

static void hang(struct io_event *ev, int result)
{
    (void)ev;
    (void)result;
    sem_post(&hangs);
    while (sem_wait(&goes_on) != 0)
        continue;
}

int main(void)
{
    struct loop_message message = { .event.fn = hang };
    struct board_worker worker;

    sem_init(&hangs, 0, 0);
    sem_init(&goes_on, 0, 0);
    start();
    for (unsigned i = 0; i < WORKERS; i++)
        while (!(worker = look_at(i)).asleep)
            sched_yield();
    EXPECT(look_at(0).tid != 0 && look_at(0).tid != look_at(1).tid);

    loop_post(threads[1]->worker.loop, &message);
    while (sem_wait(&hangs) != 0)
        continue;
    worker = look_at(1);
    EXPECT(!worker.asleep && worker.turns > 0);
    while (board_worker_stall_ns(&worker, board_now_ns()) < 50000000)
        worker = look_at(1); /* the same turn all the time */
    EXPECT(look_at(0).asleep);
    worker = look_at(0);
    EXPECT(board_worker_stall_ns(&worker, board_now_ns()) == 0);
    sem_post(&goes_on);
    while (!look_at(1).asleep)
        sched_yield();

    end();
    EXPECT(look_at(0).tid == 0); /* it hangs no more when it is not there */
    board_destroy(board);
    return EXIT_SUCCESS;
}
