/* Which FLUSHes have to fail after a remote server was lost. */
#include "plugins/remote/remote-ledger.h"

#include <errno.h>

#include "tests/support/check.h"

/* A ledger, and two clients' connections. */
struct scene {
    struct remote_ledger ledger;
    struct flusher a, b;
};

static struct scene *scene_new(void)
{
    static struct scene scene;

    scene = (struct scene){ 0 };
    remote_ledger_flusher_begin(&scene.ledger, &scene.a);
    remote_ledger_flusher_begin(&scene.ledger, &scene.b);
    return &scene;
}

/* From the server's answer to that of the client without anything in between. */
static void write_one(struct remote_ledger *ledger)
{
    remote_ledger_answered(ledger, 1, remote_ledger_epoch(ledger));
}

static int end_flush(struct scene *scene, struct flusher *flusher, uint64_t mark)
{
    uint64_t told = atomic_load(&flusher->told);
    int error = remote_ledger_flush_refused(&scene->ledger, told)
                    ? EIO
                    : remote_ledger_flush_done(&scene->ledger, mark, told);

    if (error != 0)
        remote_ledger_flush_failed(flusher, mark);
    return error;
}

static int flush(struct scene *scene, struct flusher *flusher)
{
    return end_flush(scene, flusher, remote_ledger_flush_mark(&scene->ledger, flusher));
}

static void restart(struct scene *scene)
{
    remote_ledger_primary_lost(&scene->ledger);
    remote_ledger_primary_connected(&scene->ledger);
}

static void connect_again(struct scene *scene, struct flusher *flusher)
{
    *flusher = (struct flusher){ 0 };
    remote_ledger_flusher_begin(&scene->ledger, flusher);
}

/* ---- what is lost ---- */

static void nothing_written(void)
{
    struct scene *scene = scene_new();

    restart(scene);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void the_first_is_asked_for(void)
{
    struct scene *scene = scene_new();
    uint64_t mark = remote_ledger_flush_mark(&scene->ledger, &scene->a);

    EXPECT(!remote_ledger_flush_is_void(&scene->ledger, mark, false));
    EXPECT(remote_ledger_flush_is_void(&scene->ledger, mark, true)); /* the program's own */
    EXPECT(end_flush(scene, &scene->a, mark) == 0);
    EXPECT(remote_ledger_flush_is_void(&scene->ledger, mark, false));
    write_one(&scene->ledger);
    mark = remote_ledger_flush_mark(&scene->ledger, &scene->a);
    EXPECT(!remote_ledger_flush_is_void(&scene->ledger, mark, false));
}

static void written_and_lost(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    restart(scene);
    EXPECT(flush(scene, &scene->a) == EIO);
    EXPECT(flush(scene, &scene->a) == 0);
    restart(scene);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void flushed_before_the_loss(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    EXPECT(flush(scene, &scene->a) == 0);
    restart(scene);
    EXPECT(flush(scene, &scene->a) == 0);
    EXPECT(flush(scene, &scene->b) == 0);
}

static void written_while_the_flush_was_under_way(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    uint64_t mark = remote_ledger_flush_mark(&scene->ledger, &scene->a);
    write_one(&scene->ledger);
    EXPECT(end_flush(scene, &scene->a, mark) == 0);
    restart(scene);
    EXPECT(flush(scene, &scene->a) == EIO);
}

static void a_part_is_of_the_server_before(void)
{
    struct scene *scene = scene_new();
    uint32_t first_part = remote_ledger_epoch(&scene->ledger);
    uint64_t mark = remote_ledger_flush_mark(&scene->ledger, &scene->a);

    remote_ledger_primary_lost(&scene->ledger);
    (void)end_flush(scene, &scene->a, mark); /* tells of nothing */
    remote_ledger_primary_connected(&scene->ledger);
    remote_ledger_answered(&scene->ledger, 1, first_part);
    EXPECT(flush(scene, &scene->a) == EIO);
    EXPECT(flush(scene, &scene->b) == EIO);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void a_sync_that_failed(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    uint64_t mark = remote_ledger_flush_mark(&scene->ledger, &scene->a);
    remote_ledger_sync_failed(&scene->ledger);
    remote_ledger_flush_failed(&scene->a, mark);
    EXPECT(flush(scene, &scene->a) == 0);
    EXPECT(flush(scene, &scene->b) == EIO);
    EXPECT(flush(scene, &scene->b) == 0);
}

/* ---- who is told ---- */

static void all_waiting_flushes_fail(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    uint64_t mark = remote_ledger_flush_mark(&scene->ledger, &scene->a);
    remote_ledger_primary_lost(&scene->ledger);
    EXPECT(remote_ledger_flush_refused(&scene->ledger, 0));
    EXPECT(end_flush(scene, &scene->a, mark) == EIO);
    EXPECT(end_flush(scene, &scene->b, mark) == EIO);
    remote_ledger_primary_connected(&scene->ledger);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void a_flush_that_was_older_tells_nothing(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    uint64_t mark = remote_ledger_flush_mark(&scene->ledger, &scene->a);
    write_one(&scene->ledger); /* answered after that FLUSH was received */
    remote_ledger_primary_lost(&scene->ledger);
    EXPECT(end_flush(scene, &scene->a, mark) == EIO);
    remote_ledger_primary_connected(&scene->ledger);
    EXPECT(flush(scene, &scene->a) == EIO);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void each_is_told(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    restart(scene);
    EXPECT(flush(scene, &scene->a) == EIO);
    write_one(&scene->ledger);
    EXPECT(flush(scene, &scene->a) == 0);
    EXPECT(flush(scene, &scene->b) == EIO); /* though all that there is was flushed */
    EXPECT(flush(scene, &scene->b) == 0);
}

static void the_client_vanishes(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    restart(scene);
    EXPECT(flush(scene, &scene->a) == EIO); /* perhaps it never got that */
    remote_ledger_flusher_end(&scene->ledger, &scene->a, false);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == EIO);
    EXPECT(flush(scene, &scene->a) == 0);
    remote_ledger_flusher_end(&scene->ledger, &scene->a, false);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void the_client_vanishes_before_the_loss(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    remote_ledger_flusher_end(&scene->ledger, &scene->a, false);
    restart(scene);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == EIO);
}

static void another_was_told_when_the_client_vanishes(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    restart(scene);
    EXPECT(flush(scene, &scene->b) == EIO);
    EXPECT(flush(scene, &scene->b) == 0);
    remote_ledger_flusher_end(&scene->ledger, &scene->a, false);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == EIO);
    EXPECT(flush(scene, &scene->b) == 0);
}

static void another_is_told_after_the_client_vanished(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    restart(scene);
    remote_ledger_flusher_end(&scene->ledger, &scene->a, false);
    EXPECT(flush(scene, &scene->b) == EIO);
    EXPECT(flush(scene, &scene->b) == 0);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == EIO);
    EXPECT(flush(scene, &scene->a) == 0);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void a_second_loss_before_the_client_comes_back(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    restart(scene);
    remote_ledger_flusher_end(&scene->ledger, &scene->a, false);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT(flush(scene, &scene->b) == EIO);
        EXPECT(flush(scene, &scene->b) == 0);
        write_one(&scene->ledger);
        restart(scene);
    }
    EXPECT(flush(scene, &scene->b) == EIO);
    EXPECT(flush(scene, &scene->b) == 0);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == EIO);
}

static void one_vanished_long_before_the_loss(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    remote_ledger_flusher_end(&scene->ledger, &scene->a, false);
    EXPECT(flush(scene, &scene->b) == 0);
    write_one(&scene->ledger);
    restart(scene);
    EXPECT(flush(scene, &scene->b) == EIO);
    EXPECT(flush(scene, &scene->b) == 0);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void who_comes_after_it_was_told(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    restart(scene);
    EXPECT(flush(scene, &scene->a) == EIO);
    remote_ledger_flusher_end(&scene->ledger, &scene->a, true);
    connect_again(scene, &scene->a);
    EXPECT(flush(scene, &scene->a) == 0);
}

/* ---- connections ---- */

static void another_connection_is_lost(void)
{
    struct scene *scene = scene_new();

    write_one(&scene->ledger);
    uint64_t mark = remote_ledger_flush_mark(&scene->ledger, &scene->a);
    remote_ledger_connection_lost(&scene->ledger, 0); /* with the FLUSH under way */
    EXPECT(remote_ledger_flush_done(&scene->ledger, mark, 0) == EIO);
    remote_ledger_flush_failed(&scene->a, mark);
    EXPECT(flush(scene, &scene->a) == 0);
}

static void replies_of_the_old_server(void)
{
    struct scene *scene = scene_new();
    struct remote_ledger *ledger = &scene->ledger;
    unsigned generation = remote_ledger_generation(ledger);

    remote_ledger_connection_lost(ledger, generation);
    EXPECT(remote_ledger_is_current(ledger, generation));
    remote_ledger_primary_lost(ledger);
    EXPECT(!remote_ledger_is_current(ledger, generation));
    EXPECT(!remote_ledger_has_primary(ledger));
    EXPECT(!remote_ledger_is_current(ledger, remote_ledger_generation(ledger)));
    remote_ledger_primary_connected(ledger);
    EXPECT(!remote_ledger_is_current(ledger, generation));
    EXPECT(remote_ledger_is_current(ledger, remote_ledger_generation(ledger)));
}

static void a_late_notice_costs_nothing(void)
{
    struct scene *scene = scene_new();
    unsigned generation = remote_ledger_generation(&scene->ledger);

    restart(scene);
    write_one(&scene->ledger);
    remote_ledger_connection_lost(&scene->ledger, generation);
    EXPECT(flush(scene, &scene->a) == 0);
}

static const struct check checks[] = {
    { "without writes a lost connection costs no FLUSH", nothing_written },
    { "the first FLUSH is sent, whatever was written: by whom, before the start, nobody knows",
      the_first_is_asked_for },
    { "a FLUSH after lost writes fails once", written_and_lost },
    { "what was flushed can't be lost", flushed_before_the_loss },
    { "a FLUSH covers only what was answered before it", written_while_the_flush_was_under_way },
    { "a write of which a part was answered by the server before is lost when it is answered",
      a_part_is_of_the_server_before },
    { "a FLUSH that fails at the server is told to the others, too", a_sync_that_failed },
    { "all FLUSHes that wait for the server fail", all_waiting_flushes_fail },
    { "a FLUSH older than the lost write does not tell of it",
      a_flush_that_was_older_tells_nothing },
    { "each connection is told of a loss", each_is_told },
    { "a client that vanished is told when it comes back", the_client_vanishes },
    { "even if it vanished before the loss", the_client_vanishes_before_the_loss },
    { "even if another was told", another_was_told_when_the_client_vanishes },
    { "even if another is told then", another_is_told_after_the_client_vanished },
    { "even after a second loss", a_second_loss_before_the_client_comes_back },
    { "but not of what was lost after all of its writes were flushed",
      one_vanished_long_before_the_loss },
    { "who comes after it was told need not be told", who_comes_after_it_was_told },
    { "the loss of any connection counts", another_connection_is_lost },
    { "replies of a server that was replaced are not believed", replies_of_the_old_server },
    { "a connection that is noticed late to be of the old server costs no FLUSH",
      a_late_notice_costs_nothing },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
