/* The file backend on two workers: a sync that failed for the one fails for the other, too; a write
 * that failed concerns nobody else. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "plugins/file/file.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

#define WORKERS 2u
#define FILE_BYTES 65536

static struct stage *stage;
static struct loop *loops[WORKERS];
static struct layer *layers[WORKERS];

static void open_file(void)
{
    char path[] = "/tmp/nbdcrypt-test-XXXXXX";
    struct stage_settings settings = { .path = path };
    struct loop_config config = { .entries = 8 };
    struct error err;
    int fd = mkstemp(path);

    EXPECT(fd >= 0 && ftruncate(fd, FILE_BYTES) == 0);
    EXPECT(file_ops.open(&stage, &settings, &err) == 0);
    EXPECT(close(fd) == 0 && unlink(path) == 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        EXPECT(loop_create(&loops[i], &config, &err) == 0);
        EXPECT(stage_attach(&layers[i], stage, loops[i], &err) == 0);
    }
}

static void close_file(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        layer_detach(layers[i]);
        loop_destroy(loops[i]);
    }
    stage_close(stage);
}

/* ---- requests ---- */

struct asked {
    struct request request;
    unsigned answers;
};

static void answered(struct layer *owner, struct request *req)
{
    (void)owner;
    container_of(req, struct asked, request)->answers++;
}

static void submit(struct asked *asked, unsigned worker, enum request_op op, uint32_t flags)
{
    static uint8_t data[4096];

    *asked = (struct asked){ .request = { .flags = flags, .view = { .op = op } } };
    if (op != REQUEST_FLUSH)
        asked->request.view =
            (struct view){ .op = op, .offset_bytes = 512, .length_bytes = 4096, .data = data };
    request_push(&asked->request, NULL, answered);
    layer_submit(layers[worker], &asked->request);
}

static void run_loops(void)
{
    bool more = true;

    while (more) {
        more = fake_loop_step(loops[0]);
        more |= fake_loop_step(loops[1]);
    }
}

/* The error that it ends with. */
static int result_of(unsigned worker, enum request_op op, uint32_t flags)
{
    struct asked asked;

    submit(&asked, worker, op, flags);
    run_loops();
    EXPECT(asked.answers == 1);
    return asked.request.error;
}

static unsigned operations_of(enum request_op op)
{
    fake_loop_fail(loops[0], 0, 0);
    EXPECT(result_of(0, op, REQUEST_FUA) == 0);
    return fake_loop_operations(loops[0]);
}

static const enum request_op durable_ops[] = { REQUEST_FLUSH, REQUEST_WRITE, REQUEST_ZERO,
                                               REQUEST_TRIM };
#define DURABLE_OPS (sizeof durable_ops / sizeof durable_ops[0])

/* ---- claims ---- */

static void failed_sync_is_for_all(void)
{
    static const int errors[] = { EIO, ENOSPC, EINTR, EAGAIN };

    for (unsigned i = 0; i < DURABLE_OPS; i++) {
        for (unsigned k = 0; k < sizeof errors / sizeof errors[0]; k++) {
            open_file();
            fake_loop_fail(loops[0], operations_of(durable_ops[i]), errors[k]);
            EXPECT(result_of(0, durable_ops[i], REQUEST_FUA) == errors[k]);
            fake_loop_fail(loops[0], 0, 0);
            for (unsigned worker = 0; worker < WORKERS; worker++) {
                for (unsigned j = 0; j < DURABLE_OPS; j++)
                    EXPECT(result_of(worker, durable_ops[j], REQUEST_FUA) == EIO);
                EXPECT(result_of(worker, REQUEST_WRITE, 0) == 0);
                EXPECT(result_of(worker, REQUEST_READ, 0) == 0);
            }
            close_file();
        }
    }
}

static void failed_write_is_the_writers(void)
{
    for (unsigned i = 1; i < DURABLE_OPS; i++) {
        open_file();
        fake_loop_fail(loops[0], 1, ENOSPC);
        EXPECT(result_of(0, durable_ops[i], REQUEST_FUA) == ENOSPC);
        fake_loop_fail(loops[0], 0, 0);
        for (unsigned worker = 0; worker < WORKERS; worker++)
            for (unsigned j = 0; j < DURABLE_OPS; j++)
                EXPECT(result_of(worker, durable_ops[j], REQUEST_FUA) == 0);
        close_file();
    }
}

/* The sync of worker 0 gets the error; those of worker 1 came while it was under way. */
static void who_waits_fails_too(void)
{
    struct asked first, second, third;

    open_file();
    fake_loop_fail(loops[0], 1, EIO);
    submit(&first, 0, REQUEST_FLUSH, 0);
    submit(&second, 1, REQUEST_FLUSH, 0);
    submit(&third, 0, REQUEST_FLUSH, 0);
    while (fake_loop_step(loops[1]))
        continue;
    EXPECT(second.answers == 0);
    run_loops();
    EXPECT(first.answers == 1 && second.answers == 1 && third.answers == 1);
    EXPECT(first.request.error == EIO && second.request.error == EIO && third.request.error == EIO);
    close_file();
}

static void who_waits_shares_a_sync(void)
{
    struct asked asked[8];

    open_file();
    fake_loop_fail(loops[0], 0, 0);
    fake_loop_fail(loops[1], 0, 0);
    for (unsigned i = 0; i < 8; i++)
        submit(&asked[i], i % 2, REQUEST_FLUSH, 0);
    run_loops();
    for (unsigned i = 0; i < 8; i++)
        EXPECT(asked[i].answers == 1 && asked[i].request.error == 0);
    EXPECT(fake_loop_operations(loops[0]) + fake_loop_operations(loops[1]) == 2);
    close_file();
}

static const struct check checks[] = {
    { "a sync that failed is for all, and for good", failed_sync_is_for_all },
    { "a write that failed is the writer's", failed_write_is_the_writers },
    { "who waits for a sync that fails fails, too", who_waits_fails_too },
    { "who waits shares a sync", who_waits_shares_a_sync },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
