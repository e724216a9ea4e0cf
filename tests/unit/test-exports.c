/* Exports come, change and go while workers serve clients of others: on real workers. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/access/access.h"
#include "server/access/places.h"
#include "plugins/plugin-table.h"
#include "server/block/image.h"
#include "server/board/board-owner.h"
#include "server/nbd/nbd-wire.h"
#include "server/serve/exports.h"
#include "server/tls/tls.h"
#include "tests/support/check.h"

#define WORKERS 3u
#define FIRST 2u /* exports at the start: "a" and "b" */
#define CHANGES 300u
#define REMOTE_CHANGES 50u

static struct fixture {
    struct export_settings settings[FIRST];
    struct export exports[FIRST];
    struct export *pointers[FIRST];
    char *reasons[FIRST];
    struct export_opening opening;
    struct board *board;
    struct loop *loop;
    struct offload *offload;
    struct tls tls;
    struct places places;
    struct worker_thread *workers[WORKERS];
    struct exports *live;
} fixture;

/* ---- the server ---- */

static void worker_has_ended(struct io_event *ev, int result)
{
    static unsigned ended;

    (void)ev;
    (void)result;
    if (++ended == WORKERS)
        loop_stop(fixture.loop);
}

static void start(void)
{
    struct loop_config config = { .entries = 8 };
    struct export_set *set;
    struct error err;

    EXPECT(board_create(&fixture.board, WORKERS, &err) == 0);
    EXPECT(loop_create(&fixture.loop, &config, &err) == 0);
    EXPECT(offload_create(&fixture.offload, 2, 0, &err) == 0);
    places_init(&fixture.places, 100, 100);
    for (size_t i = 0; i < FIRST; i++) {
        fixture.settings[i] = (struct export_settings){ .name = i == 0 ? "a" : "b",
                                                        .image = "memory:1M",
                                                        .raw = true };
        fixture.pointers[i] = &fixture.exports[i];
        export_declare(&fixture.exports[i], i + 1, &fixture.settings[i]);
    }
    fixture.opening = (struct export_opening){ .exports = fixture.pointers,
                                               .settings = fixture.settings,
                                               .count = FIRST,
                                               .offload = fixture.offload,
                                               .workers = WORKERS,
                                               .cpus = 2,
                                               .reasons = fixture.reasons,
                                               .strict = true };
    EXPECT(export_set_create(&set, fixture.pointers, FIRST, &err) == 0);
    EXPECT(export_opening_run(&fixture.opening, &err) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker_thread_settings settings = {
            .worker = { .board = fixture.board,
                        .exports = set,
                        .tls = &fixture.tls,
                        .places = &fixture.places,
                        .index = i,
                        .worker_count = WORKERS,
                        .buffers_max_bytes = 1u << 26,
                        .handshake_timeout_ms = 60000,
                        .drain_max_ms = 60000 },
            .main_loop = fixture.loop,
            .ended = { .fn = worker_has_ended },
        };

        EXPECT(worker_thread_create(&fixture.workers[i], &settings, &err) == 0);
    }
    EXPECT(exports_create(&fixture.live,
                          &(struct exports_settings){ .opening = &fixture.opening,
                                                      .set = set,
                                                      .board = fixture.board,
                                                      .workers = fixture.workers },
                          &err) == 0);
}

static void end(void)
{
    exports_stop(fixture.live);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_thread_shutdown(fixture.workers[i]);
    loop_run(fixture.loop);
    for (unsigned i = 0; i < WORKERS; i++)
        EXPECT(worker_thread_join(fixture.workers[i]));
    EXPECT(exports_join(fixture.live));
    EXPECT(exports_flush(fixture.live, fixture.loop) == 0);
    offload_destroy(fixture.offload);
    exports_close(fixture.live);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_thread_destroy(fixture.workers[i]);
    exports_free(fixture.live);
    loop_destroy(fixture.loop);
    board_destroy(fixture.board);
}

/* ---- changes ---- */

static sem_t changed;

static void has_changed(struct exports_change *change)
{
    (void)change;
    sem_post(&changed);
}

static int wait_for(struct exports_change *change)
{
    while (sem_wait(&changed) != 0)
        continue;
    return change->code;
}

static int make(struct exports_change *change)
{
    change->done = has_changed;
    exports_submit(fixture.live, change);
    return wait_for(change);
}

static unsigned freed;

static void free_settings(struct export_settings *settings)
{
    __atomic_add_fetch(&freed, 1, __ATOMIC_RELAXED);
    access_free(settings->access);
    free(settings);
}

static struct exports_addition addition(const char *name, const char *image)
{
    struct export_settings *settings = calloc(1, sizeof *settings);

    assert(settings != NULL);
    *settings = (struct export_settings){ .name = name, .image = image, .raw = true };
    return (struct exports_addition){ settings, free_settings };
}

static struct exports_addition altered(const char *name, struct access *access)
{
    struct exports_addition one = addition(name, "memory:1M");

    one.settings->access = access;
    return one;
}

static int add(const char *name, const char *image)
{
    struct exports_addition one = addition(name, image);
    struct exports_change change = { .added = &one, .added_count = 1 };

    return make(&change);
}

static int take_away(const char *name, enum exports_farewell farewell, unsigned seconds)
{
    struct exports_change change = {
        .removed = &name, .removed_count = 1, .farewell = farewell, .drain_seconds = seconds
    };

    return make(&change);
}

/* ---- a client that blocks ---- */

/* Any thread. */
static void hand_over(int fd, unsigned worker)
{
    struct peer peer = { .text = "test client" };
    struct place place;

    EXPECT(places_enter(&fixture.places, &place, &peer) == PLACE_GRANTED);
    worker_thread_connect(fixture.workers[worker], fd, &peer, &place);
}

static int connect_to(unsigned worker)
{
    int ends[2];

    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    hand_over(ends[0], worker);
    return ends[1];
}

static void put(int fd, const void *data, size_t length_bytes)
{
    EXPECT(send(fd, data, length_bytes, MSG_NOSIGNAL) == (ssize_t)length_bytes);
}

static bool get(int fd, void *data, size_t length_bytes)
{
    return recv(fd, data, length_bytes, MSG_WAITALL) == (ssize_t)length_bytes;
}

/* Up to the answer of EXPORT_NAME: false: the server closed the connection instead. */
static bool attach(int fd, const char *name)
{
    uint8_t bytes[NBD_GREETING_BYTES];

    EXPECT(get(fd, bytes, sizeof bytes));
    nbd_put_u32(bytes, 3);
    put(fd, bytes, 4);
    nbd_encode_option_header(
        bytes, &(struct nbd_option_header){ NBD_OPT_EXPORT_NAME, (uint32_t)strlen(name) });
    put(fd, bytes, NBD_OPTION_HEADER_BYTES);
    put(fd, name, strlen(name));
    return get(fd, bytes, 10);
}

/* The error of a READ of 512 bytes; -1: the connection has ended. */
static int read_from(int fd, uint64_t cookie)
{
    uint8_t bytes[NBD_REQUEST_BYTES], reply[16], data[512];

    nbd_encode_request(bytes, &(struct nbd_request){ .command = NBD_CMD_READ,
                                                     .cookie = cookie,
                                                     .length_bytes = sizeof data });
    if (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) != sizeof bytes || !get(fd, reply, 16))
        return -1;
    EXPECT(nbd_get_u64(reply + 8) == cookie);
    int error = (int)nbd_get_u32(reply + 4);
    EXPECT(error != 0 || get(fd, data, sizeof data));
    return error;
}

static int client_of(unsigned worker, const char *name)
{
    int fd = connect_to(worker);

    EXPECT(attach(fd, name));
    return fd;
}

static bool has_ended(int fd)
{
    struct pollfd poll_fd = { fd, POLLIN, 0 };
    uint8_t byte;

    EXPECT(poll(&poll_fd, 1, 60000) == 1);
    return recv(fd, &byte, 1, 0) <= 0;
}

/* ---- a server that others can dial: this one ---- */

static struct dialled {
    char folder[32], path[64], image[128];
    pthread_t thread;
    int fd;
} dialled = { .folder = "/tmp/test-exports-XXXXXX" };

static void *take_callers(void *context)
{
    unsigned worker = 0;
    int fd;

    (void)context;
    while ((fd = accept4(dialled.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        hand_over(fd, worker++ % WORKERS);
    return NULL;
}

static void listen_for_callers(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    EXPECT(mkdtemp(dialled.folder) != NULL);
    snprintf(dialled.path, sizeof dialled.path, "%s/socket", dialled.folder);
    snprintf(dialled.image, sizeof dialled.image, "nbd+unix:///a?socket=%s", dialled.path);
    memcpy(address.sun_path, dialled.path, strlen(dialled.path) + 1);
    dialled.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(dialled.fd >= 0);
    EXPECT(bind(dialled.fd, (struct sockaddr *)&address, sizeof address) == 0);
    EXPECT(listen(dialled.fd, 64) == 0);
    EXPECT(pthread_create(&dialled.thread, NULL, take_callers, NULL) == 0);
}

static void listen_no_more(void)
{
    shutdown(dialled.fd, SHUT_RDWR);
    pthread_join(dialled.thread, NULL);
    close(dialled.fd);
    unlink(dialled.path);
    rmdir(dialled.folder);
}

/* ---- what is claimed ---- */

static void one_more_is_served_and_goes(void)
{
    EXPECT(add("c", "memory:2M") == 0);
    EXPECT(add("c", "memory:2M") == -EEXIST);
    EXPECT(add("d", "/nonexistent/image") < 0);
    EXPECT(freed == 2);

    int fds[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        fds[i] = client_of(i, "c");
        EXPECT(read_from(fds[i], i) == 0);
    }
    EXPECT(take_away("c", EXPORTS_SAFE, 0) == -EBUSY);
    EXPECT(read_from(fds[0], 9) == 0);
    EXPECT(take_away("c", EXPORTS_NOW, 0) == 0);
    EXPECT(freed == 3);
    for (unsigned i = 0; i < WORKERS; i++) {
        EXPECT(has_ended(fds[i]));
        close(fds[i]);
    }
    EXPECT(take_away("c", EXPORTS_NOW, 0) == -ENOENT);

    int fd = connect_to(1);
    EXPECT(!attach(fd, "c"));
    close(fd);
}

static void drain_lets_clients_stay_for_a_time(void)
{
    const char *name = "c";
    struct exports_change change = { .removed = &name,
                                     .removed_count = 1,
                                     .farewell = EXPORTS_DRAIN,
                                     .drain_seconds = 3600,
                                     .done = has_changed };

    EXPECT(add("c", "memory:2M") == 0);
    int fd = client_of(2, "c");
    exports_submit(fixture.live, &change);
    EXPECT(add("e", "memory:1M") == 0); /* another change does not wait for it */
    EXPECT(read_from(fd, 1) == 0);
    int other = connect_to(0);
    EXPECT(!attach(other, "c"));
    close(other);
    EXPECT(add("c", "memory:4M") == 0); /* the name is free */
    close(fd);
    EXPECT(wait_for(&change) == 0);

    int last = client_of(1, "c");
    EXPECT(take_away("c", EXPORTS_DRAIN, 0) == 0); /* no time at all */
    EXPECT(has_ended(last));
    close(last);
    EXPECT(take_away("e", EXPORTS_SAFE, 0) == 0);
}

static void who_is_no_longer_allowed_goes(void)
{
    const char *rule = "uid:4294967294";
    struct access *access;
    struct error err;

    EXPECT(access_create(&access, &rule, 1, &err) == 0);
    struct exports_addition one = altered("b", access);
    struct exports_change change = { .altered = &one, .altered_count = 1 };
    int of_a = client_of(0, "a"), of_b = client_of(0, "b");
    EXPECT(read_from(of_b, 1) == 0);
    EXPECT(make(&change) == 0);
    EXPECT(has_ended(of_b));
    EXPECT(read_from(of_a, 1) == 0);
    int again = connect_to(0);
    EXPECT(!attach(again, "b"));
    close(again);

    one = altered("b", NULL);
    change = (struct exports_change){ .altered = &one, .altered_count = 1 };
    EXPECT(make(&change) == 0);
    again = client_of(0, "b");
    EXPECT(read_from(again, 1) == 0);
    close(again);
    close(of_a);
    close(of_b);
}

static void a_failed_change_changes_nothing(void)
{
    const char *name = "b";
    struct exports_addition two[] = { addition("x", "memory:1M"),
                                      addition("y", "/nonexistent/image") };
    struct exports_change change = { .added = two,
                                     .added_count = 2,
                                     .removed = &name,
                                     .removed_count = 1,
                                     .farewell = EXPORTS_NOW };
    int fd = client_of(1, "b");

    EXPECT(make(&change) < 0);
    EXPECT(change.error.text[0] != '\0');
    EXPECT(read_from(fd, 1) == 0);
    close(fd);
    const struct export_set *set = exports_lock(fixture.live);
    EXPECT(set->count == FIRST);
    exports_unlock(fixture.live);
}

/* Clients of one export see nothing of hundreds of others that come and go. */
static void changes_beside_a_client(void)
{
    int fds[WORKERS];
    uint64_t cookie = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        fds[i] = client_of(i, "a");
    for (unsigned i = 0; i < CHANGES; i++) {
        EXPECT(add("c", "memory:1M") == 0);
        int fd = client_of(i % WORKERS, "c");
        for (unsigned k = 0; k < WORKERS; k++)
            EXPECT(read_from(fds[k], ++cookie) == 0);
        if (i % 16 != 0) /* one that stays is waited for a little */
            close(fd);
        EXPECT(take_away("c", i % 2 ? EXPORTS_NOW : EXPORTS_DRAIN, i % 16 ? 3600 : 0) == 0);
        if (i % 16 == 0)
            close(fd);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        close(fds[i]);
}

/* A worker says goodbye to the server of a disk that goes while it serves clients of others. */
static void remote_disks_beside_a_client(void)
{
    int fds[WORKERS];
    uint64_t cookie = 0;

    listen_for_callers();
    for (unsigned i = 0; i < WORKERS; i++)
        fds[i] = client_of(i, "b");
    for (unsigned i = 0; i < REMOTE_CHANGES; i++) {
        int of_remote[WORKERS];

        EXPECT(add("r", dialled.image) == 0);
        for (unsigned k = 0; k < WORKERS; k++) {
            of_remote[k] = client_of(k, "r");
            EXPECT(read_from(of_remote[k], ++cookie) == 0);
        }
        EXPECT(take_away("r", EXPORTS_NOW, 0) == 0);
        for (unsigned k = 0; k < WORKERS; k++) {
            EXPECT(has_ended(of_remote[k]));
            close(of_remote[k]);
            EXPECT(read_from(fds[k], ++cookie) == 0);
        }
    }
    for (unsigned i = 0; i < WORKERS; i++)
        close(fds[i]);
    listen_no_more();
}

static void has_not_changed(struct exports_change *change)
{
    EXPECT(change->code == -ESHUTDOWN);
}

/* The end does not wait for clients that have time, nor for changes. */
static void the_end_beside_changes(void)
{
    const char *name = "a";
    struct exports_change drain = { .removed = &name,
                                    .removed_count = 1,
                                    .farewell = EXPORTS_DRAIN,
                                    .drain_seconds = 3600,
                                    .done = has_changed };
    struct exports_addition late = addition("d", "memory:1M");
    struct exports_change too_late = { .added = &late, .added_count = 1 };
    int fd = client_of(0, "a");

    exports_submit(fixture.live, &drain);
    EXPECT(add("c", "memory:1M") == 0);
    exports_stop(fixture.live);
    unsigned freed_before = __atomic_load_n(&freed, __ATOMIC_RELAXED);
    too_late.done = has_not_changed;
    exports_submit(fixture.live, &too_late);
    EXPECT(too_late.code == -ESHUTDOWN);
    EXPECT(__atomic_load_n(&freed, __ATOMIC_RELAXED) == freed_before + 1);
    end();
    EXPECT(wait_for(&drain) == -ESHUTDOWN);
    close(fd);
}

static const struct check checks[] = {
    { "one more is served, and goes", one_more_is_served_and_goes },
    { "drain lets clients stay for a time", drain_lets_clients_stay_for_a_time },
    { "who is no longer allowed goes", who_is_no_longer_allowed_goes },
    { "a failed change changes nothing", a_failed_change_changes_nothing },
    { "clients see nothing of changes beside them", changes_beside_a_client },
    { "clients see nothing of remote disks beside them", remote_disks_beside_a_client },
    { "the end waits for no change", the_end_beside_changes },
};

int main(int argc, char **argv)
{
    sem_init(&changed, 0, 0);
    image_set_backends(plugin_table);
    start();
    return CHECKS_RUN(checks, argc, argv);
}
