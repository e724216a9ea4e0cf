/* The file backend of a copy: what the page cache has, or takes, is copied at once, without the
 * loop; what fails there is left to the loop, which tells of it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "plugins/file/file.h"
#include "tests/support/check.h"
#include "tests/support/fake-loop.h"

#define FILE_BYTES 65536u

static struct stage *stage;
static struct loop *loop;
static struct layer *layer;
static int file_fd;
static int way_error; /* of sync_file_range() */

int sync_file_range(int fd, off64_t offset_bytes, off64_t length_bytes, unsigned flags)
{
    (void)fd;
    (void)offset_bytes;
    (void)length_bytes;
    (void)flags;
    errno = way_error;
    return way_error != 0 ? -1 : 0;
}

static void open_file(bool at_once)
{
    char path[] = "/tmp/nbdcrypt-test-XXXXXX";
    const struct stage_settings settings = { .path = path, .options = { .at_once = at_once } };
    struct loop_config config = { .entries = 8 };
    struct error err;

    file_fd = mkstemp(path);
    EXPECT(file_fd >= 0 && ftruncate(file_fd, FILE_BYTES) == 0);
    EXPECT(file_ops.open(&stage, &settings, &err) == 0);
    EXPECT(unlink(path) == 0);
    EXPECT(loop_create(&loop, &config, &err) == 0);
    EXPECT(stage_attach(&layer, stage, loop, &err) == 0);
    fake_loop_fail(loop, 0, 0); /* it counts from here on */
}

static void close_file(void)
{
    layer_detach(layer);
    loop_destroy(loop);
    stage_close(stage);
    EXPECT(close(file_fd) == 0);
}

struct asked {
    struct request request;
    bool answered;
};

static void answered(struct layer *owner, struct request *req)
{
    (void)owner;
    container_of(req, struct asked, request)->answered = true;
}

/* Whether it was answered before the loop had its turn. */
static bool transfer(struct asked *asked, enum request_op op, uint64_t offset_bytes, uint8_t *data,
                     uint64_t length_bytes)
{
    *asked = (struct asked){ .request = { .view = { .op = op,
                                                    .offset_bytes = offset_bytes,
                                                    .length_bytes = length_bytes,
                                                    .data = data } } };
    request_push(&asked->request, NULL, answered);
    layer_submit(layer, &asked->request);
    bool at_once = asked->answered;
    while (!asked->answered)
        (void)fake_loop_step(loop);
    return at_once;
}

/* ---- claims ---- */

/* Reading is the kernel's choice: it may not have a file system's pages at hand. */
static void cached_data_takes_no_operation(void)
{
    uint8_t out[8192], in[8192];
    struct asked asked;

    for (unsigned i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 31);
    open_file(true);
    EXPECT(transfer(&asked, REQUEST_WRITE, 512, out, sizeof out) && asked.request.error == 0);
    EXPECT(fake_loop_operations(loop) == 0);
    EXPECT(pread(file_fd, in, sizeof in, 512) == sizeof in && memcmp(in, out, sizeof in) == 0);
    memset(in, 0, sizeof in);
    bool at_once = transfer(&asked, REQUEST_READ, 512, in, sizeof in);
    EXPECT(asked.request.error == 0 && memcmp(in, out, sizeof in) == 0);
    EXPECT(at_once == (fake_loop_operations(loop) == 0));
    close_file();
}

static void others_use_the_loop(void)
{
    uint8_t data[8192] = { 1 };
    struct asked asked;

    open_file(false);
    EXPECT(!transfer(&asked, REQUEST_WRITE, 0, data, sizeof data) && asked.request.error == 0);
    EXPECT(!transfer(&asked, REQUEST_READ, 0, data, sizeof data) && asked.request.error == 0);
    EXPECT(fake_loop_operations(loop) == 2);
    close_file();
}

static void file_that_became_shorter_is_told(void)
{
    uint8_t data[8192];
    struct asked asked;

    open_file(true);
    EXPECT(ftruncate(file_fd, 4096) == 0);
    (void)transfer(&asked, REQUEST_READ, 0, data, sizeof data);
    EXPECT(asked.request.error == EIO && asked.request.error_at_bytes == 4096);
    (void)transfer(&asked, REQUEST_READ, 16384, data, sizeof data);
    EXPECT(asked.request.error == EIO && asked.request.error_at_bytes == 0);
    close_file();
}

static void write_that_fails_is_told(void)
{
    static const uint64_t offsets[] = { 32768, 32768 - 4096 }; /* all of it, and a part */
    struct rlimit before, limit;
    static uint8_t data[8192];
    struct asked asked;

    EXPECT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = (struct rlimit){ .rlim_cur = 32768, .rlim_max = before.rlim_max };
    open_file(true);
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (unsigned i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        (void)transfer(&asked, REQUEST_WRITE, offsets[i], data, sizeof data);
        EXPECT(asked.request.error == EFBIG);
    }
    EXPECT(setrlimit(RLIMIT_FSIZE, &before) == 0);
    close_file();
}

/* The flush after it would be told nothing. */
static void what_is_dropped_on_its_way_is_told(void)
{
    static const int errors[] = { EIO, ENOSPC, EDQUOT, EBADMSG }, harmless[] = { ENOSYS, ENOMEM };
    static uint8_t data[8192];
    struct asked asked;

    open_file(true);
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        way_error = errors[i];
        (void)transfer(&asked, REQUEST_WRITE, 4096, data, sizeof data);
        EXPECT(asked.request.error == errors[i] && asked.request.error_at_bytes == 0);
    }
    for (unsigned i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        way_error = harmless[i];
        (void)transfer(&asked, REQUEST_WRITE, 4096, data, sizeof data);
        EXPECT(asked.request.error == 0);
    }
    way_error = 0;
    close_file();
}

static const struct check checks[] = {
    { "what is in the page cache takes no operation of the loop", cached_data_takes_no_operation },
    { "who did not ask for that uses the loop", others_use_the_loop },
    { "a file that became shorter is told", file_that_became_shorter_is_told },
    { "a write that fails is told", write_that_fails_is_told },
    { "what is dropped on its way to the storage is told", what_is_dropped_on_its_way_is_told },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
