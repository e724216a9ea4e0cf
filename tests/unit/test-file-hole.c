/* The file backend tells of a hole without another look, where it has seen that the hole goes on,
 * and only until something is written. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <semaphore.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "plugins/file/file-stage.h"
#include "plugins/file/file.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

#define WORKERS 2u
#define FILE_BYTES (16u << 20)
#define PART_BYTES (1u << 20) /* what is asked for at a time */
#define SPARSE (EXTENT_HOLE | EXTENT_ZERO)

static struct offload *offload;
static struct stage *stage;
static struct loop *loops[WORKERS];
static struct layer *layers[WORKERS];

static long kind_of_file_system; /* 0: as it is */

/* In the place of that of the library. */
int fstatfs(int fd, struct statfs *out)
{
    int result = (int)syscall(SYS_fstatfs, fd, out);

    if (result == 0 && kind_of_file_system != 0)
        out->f_type = kind_of_file_system;
    return result;
}

/* A hole of FILE_BYTES, on a file system that tells of holes. */
static void open_file(struct image_options options)
{
    char path[] = "/tmp/nbdcrypt-test-XXXXXX";
    struct stage_settings settings = { .path = path, .options = options };
    struct loop_config config = { .entries = 8 };
    struct error err;
    int fd = mkstemp(path);

    EXPECT(fd >= 0 && ftruncate(fd, FILE_BYTES) == 0);
    EXPECT(offload_create(&offload, 1, 0, &err) == 0);
    settings.options.offload = offload;
    EXPECT(file_ops.open(&stage, &settings, &err) == 0);
    EXPECT(close(fd) == 0 && unlink(path) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        EXPECT(loop_create(&loops[i], &config, &err) == 0);
        EXPECT(stage_attach(&layers[i], stage, loops[i], &err) == 0);
    }
    if (!container_of(stage, struct file_stage, stage)->holes_are_true &&
        kind_of_file_system == 0) {
        fprintf(stderr, "the file system of /tmp is not believed to tell of holes truly\n");
        exit(77);
    }
}

static void close_file(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        layer_detach(layers[i]);
        loop_destroy(loops[i]);
    }
    stage_close(stage);
    offload_destroy(offload);
}

/* ---- requests ---- */

struct asked {
    struct request request;
    bool answered;
    union {
        struct extent_list list;
        uint8_t room[sizeof(struct extent_list) + 8 * sizeof(struct extent)];
    };
};

static void answered(struct layer *owner, struct request *req)
{
    (void)owner;
    container_of(req, struct asked, request)->answered = true;
}

static void submit(struct asked *asked, unsigned worker, struct view view)
{
    *asked = (struct asked){ .request = { .view = view } };
    asked->list.capacity = 8;
    request_push(&asked->request, NULL, answered);
    layer_submit(layers[worker], &asked->request);
}

static void await(const struct asked *asked, unsigned worker)
{
    while (!asked->answered)
        if (!fake_loop_step(loops[worker]))
            usleep(100); /* until the thread of the pool is through */
    EXPECT(asked->request.error == 0);
}

static void ask(struct asked *asked, unsigned worker, unsigned part)
{
    submit(asked, worker,
           (struct view){ .op = REQUEST_EXTENTS,
                          .offset_bytes = (uint64_t)part * PART_BYTES,
                          .length_bytes = PART_BYTES,
                          .data = (uint8_t *)&asked->list });
}

enum answer { HOLE_AT_ONCE, HOLE, DATA };

static enum answer answer_of(const struct asked *asked, bool at_once)
{
    uint64_t told_bytes = 0;
    bool hole = true;

    for (uint32_t i = 0; i < asked->list.count; i++) {
        told_bytes += asked->list.extents[i].length_bytes;
        hole = hole && asked->list.extents[i].flags == SPARSE;
    }
    EXPECT(told_bytes == PART_BYTES);
    EXPECT(hole || !at_once);
    return !hole ? DATA : at_once ? HOLE_AT_ONCE : HOLE;
}

/* What is told of a part of the file; AT_ONCE: without a look, which takes another thread. */
static enum answer told(unsigned worker, unsigned part)
{
    struct asked asked;

    ask(&asked, worker, part);
    bool at_once = asked.answered;
    await(&asked, worker);
    return answer_of(&asked, at_once);
}

static void write_part(unsigned worker, unsigned part)
{
    static uint8_t data[4096] = { 1 };
    struct asked asked;

    submit(&asked, worker,
           (struct view){ .op = REQUEST_WRITE,
                          .offset_bytes = (uint64_t)part * PART_BYTES + 8192,
                          .length_bytes = sizeof data,
                          .data = data });
    await(&asked, worker);
}

/* ---- claims ---- */

static const struct image_options locked = { .lock = true };

static void hole_is_looked_at_once(void)
{
    open_file(locked);
    EXPECT(told(0, 0) == HOLE);
    for (unsigned part = 1; part < FILE_BYTES / PART_BYTES; part++)
        EXPECT(told(part % WORKERS, part) == HOLE_AT_ONCE);
    EXPECT(told(0, 0) == HOLE_AT_ONCE);
    close_file();
}

static void write_ends_that(void)
{
    open_file(locked);
    for (unsigned part = 8; part > 1; part--) {
        EXPECT(told(0, 0) == HOLE);
        EXPECT(told(1, part) == HOLE_AT_ONCE);
        write_part(part % WORKERS, part);
        EXPECT(told(0, part) == DATA);
    }
    EXPECT(told(0, 0) == HOLE && told(0, 1) == HOLE_AT_ONCE && told(0, 2) == DATA);
    close_file();
}

static void failed_write_ends_that(void)
{
    static uint8_t data[512];
    struct asked asked;

    open_file(locked);
    EXPECT(told(0, 0) == HOLE);
    fake_loop_fail(loops[1], 1, EIO);
    submit(&asked, 1, (struct view){ .op = REQUEST_WRITE, .length_bytes = 512, .data = data });
    while (!asked.answered)
        (void)fake_loop_step(loops[1]);
    EXPECT(asked.request.error == EIO);
    fake_loop_fail(loops[1], 0, 0);
    EXPECT(told(0, 0) == HOLE);
    close_file();
}

struct marker {
    struct offload_job job;
    sem_t reached;
};

static void mark(struct offload_job *job)
{
    sem_post(&container_of(job, struct marker, job)->reached);
}

static void ignore(struct io_event *ev, int result)
{
    (void)ev;
    (void)result;
}

/* The pool, of one thread, has done all that it was given. */
static void await_pool(void)
{
    static struct marker marker; /* its message is delivered later */

    marker.job = (struct offload_job){ .work = mark, .loop = loops[0] };
    marker.job.done.event.fn = ignore;
    sem_init(&marker.reached, 0, 0);
    offload_run(offload, &marker.job);
    while (sem_wait(&marker.reached) != 0)
        continue;
}

/* The look has seen a hole; that is told after a write was done there. */
static void look_is_overtaken_by_a_write(void)
{
    struct asked asked;

    open_file(locked);
    ask(&asked, 0, 3);
    await_pool();
    write_part(1, 5);
    EXPECT(!asked.answered);
    await(&asked, 0);
    EXPECT(answer_of(&asked, false) == HOLE);
    EXPECT(told(0, 5) == DATA && told(1, 5) == DATA);
    close_file();
}

/* Who has made the file larger, and written there, has done so before it is looked for. */
static void growing_ends_that(void)
{
    static const uint8_t data[4096] = { 1 };

    open_file(locked);
    int fd = container_of(stage, struct file_stage, stage)->fd;
    EXPECT(ftruncate(fd, FILE_BYTES + 2 * PART_BYTES) == 0);
    EXPECT(told(0, 0) == HOLE && told(0, FILE_BYTES / PART_BYTES - 1) == HOLE_AT_ONCE);
    EXPECT(pwrite(fd, data, sizeof data, FILE_BYTES) == sizeof data);
    stage_grow(stage);
    EXPECT(told(1, FILE_BYTES / PART_BYTES) == DATA);
    close_file();
}

static void what_is_old_is_not_believed(void)
{
    open_file(locked);
    EXPECT(told(0, 0) == HOLE);
    loop_batch_ns += HOLE_BELIEVED_NS - 1;
    EXPECT(told(0, 1) == HOLE_AT_ONCE);
    loop_batch_ns += 1;
    EXPECT(told(0, 2) == HOLE);
    close_file();
}

static void nothing_is_believed_where_others_may_write(void)
{
    const struct image_options options[] = {
        { .lock = false },
        { .lock = true, .read_only = true },
        { .lock = true, .terms = { .force_in_use = true } },
        { .lock = true, .terms = { .no_lock = true } },
    };

    for (unsigned i = 0; i < sizeof options / sizeof options[0]; i++) {
        open_file(options[i]);
        for (unsigned part = 0; part < 4; part++)
            EXPECT(told(0, part) == HOLE);
        close_file();
    }
}

/* Its process may tell of holes what it likes, and whoever else writes there heeds no lock of ours.
 * What it is asked for is one look for each question: no more, and none is left out. */
static void nothing_is_believed_on_fuse(void)
{
    static const uint8_t data[4096] = { 1 };

    kind_of_file_system = FUSE_SUPER_MAGIC;
    open_file(locked);
    EXPECT(!stage->limits.tells_zeros);
    struct file_stage *file = container_of(stage, struct file_stage, stage);
    for (unsigned part = 0; part < 4; part++) {
        unsigned looks = atomic_load(&file->hole.looks);

        EXPECT(told(part % WORKERS, part) != HOLE_AT_ONCE);
        EXPECT(atomic_load(&file->hole.looks) == looks + 1);
    }
    EXPECT(pwrite(file->fd, data, sizeof data, PART_BYTES) == sizeof data);
    EXPECT(told(0, 1) == DATA);
    close_file();
    kind_of_file_system = 0;
}

/* A look goes through all pages up to the next hole there. */
static void reads_do_not_look_on_tmpfs(void)
{
    kind_of_file_system = TMPFS_MAGIC;
    open_file(locked);
    EXPECT(!stage->limits.tells_zeros);
    EXPECT(told(0, 0) == HOLE && told(1, 1) == HOLE_AT_ONCE);
    close_file();
    kind_of_file_system = EXT4_SUPER_MAGIC;
    open_file(locked);
    EXPECT(stage->limits.tells_zeros);
    close_file();
    kind_of_file_system = 0;
}

static const struct check checks[] = {
    { "a hole is looked at once", hole_is_looked_at_once },
    { "a write ends that", write_ends_that },
    { "so does one that failed", failed_write_ends_that },
    { "so does one that overtakes the look", look_is_overtaken_by_a_write },
    { "so does growing", growing_ends_that },
    { "what is old is not believed", what_is_old_is_not_believed },
    { "nothing is believed where others may write", nothing_is_believed_where_others_may_write },
    { "nor on FUSE", nothing_is_believed_on_fuse },
    { "on a tmpfs holes are told, and reads do not look for them", reads_do_not_look_on_tmpfs },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
