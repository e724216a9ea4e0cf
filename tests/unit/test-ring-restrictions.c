/* A ring of ours does what a server needs, and nothing else: by the ring itself, as somebody would
 * use it who has got into a thread. */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/loop/loop.h"
#include "server/loop/ring-restrictions.h"
#include "tests/support/check.h"

#define ENTRIES 4u

struct raw_ring {
    int fd;
    struct io_uring_params params;
    uint8_t *queues;
    struct io_uring_sqe *entries;
};

static bool create(struct raw_ring *ring)
{
    *ring = (struct raw_ring){ .params.flags = IORING_SETUP_R_DISABLED };
    ring->fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &ring->params);
    if (ring->fd < 0)
        return false;
    size_t bytes = ring->params.cq_off.cqes +
                   ring->params.cq_entries * sizeof(struct io_uring_cqe) +
                   ring->params.sq_off.array + ring->params.sq_entries * sizeof(uint32_t);
    ring->queues =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
    ring->entries = mmap(NULL, ENTRIES * sizeof *ring->entries, PROT_READ | PROT_WRITE, MAP_SHARED,
                         ring->fd, IORING_OFF_SQES);
    EXPECT(ring->queues != MAP_FAILED && (void *)ring->entries != MAP_FAILED);
    return true;
}

static uint32_t *at(const struct raw_ring *ring, uint32_t offset)
{
    return (uint32_t *)(void *)(ring->queues + offset);
}

/* What the operation gave, or the call that was to begin it. */
static int submit(struct raw_ring *ring, const struct io_uring_sqe *entry)
{
    uint32_t *tail = at(ring, ring->params.sq_off.tail);
    uint32_t *head = at(ring, ring->params.cq_off.head);
    struct io_uring_cqe *completions = (void *)(ring->queues + ring->params.cq_off.cqes);

    ring->entries[*tail % ring->params.sq_entries] = *entry;
    at(ring, ring->params.sq_off.array)[*tail % ring->params.sq_entries] =
        *tail % ring->params.sq_entries;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        return -errno;
    int result = completions[*head % ring->params.cq_entries].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
}

static void what_a_server_does_is_allowed(struct raw_ring *ring)
{
    char byte = 'x';
    int fd = memfd_create("test", MFD_CLOEXEC);

    EXPECT(fd >= 0);
    EXPECT(submit(ring,
                  &(struct io_uring_sqe){
                      .opcode = IORING_OP_WRITE, .fd = fd, .addr = (uintptr_t)&byte, .len = 1 }) ==
           1);
    EXPECT(submit(ring,
                  &(struct io_uring_sqe){
                      .opcode = IORING_OP_READ, .fd = fd, .addr = (uintptr_t)&byte, .len = 1 }) ==
           1);
    EXPECT(submit(ring, &(struct io_uring_sqe){ .opcode = IORING_OP_FSYNC, .fd = fd }) == 0);
    close(fd);
}

static void what_leads_out_is_refused(struct raw_ring *ring)
{
    static const uint8_t refused[] = {
        IORING_OP_OPENAT,   IORING_OP_OPENAT2,   IORING_OP_CONNECT,   IORING_OP_UNLINKAT,
        IORING_OP_RENAMEAT, IORING_OP_STATX,     IORING_OP_EPOLL_CTL, IORING_OP_SPLICE,
        IORING_OP_CLOSE,    IORING_OP_ACCEPT,    IORING_OP_NOP,       IORING_OP_FILES_UPDATE,
        IORING_OP_LINKAT,   IORING_OP_SYMLINKAT,
    };

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        EXPECT(submit(ring, &(struct io_uring_sqe){ .opcode = refused[i],
                                                    .fd = AT_FDCWD,
                                                    .addr = (uintptr_t) "/etc/hostname" }) ==
               -EACCES);
    EXPECT(submit(ring, &(struct io_uring_sqe){ .opcode = IORING_OP_FSYNC,
                                                .flags = IOSQE_IO_LINK }) == -EACCES);
    EXPECT(syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_PERSONALITY, NULL, 0) < 0 &&
           errno == EACCES);
    EXPECT(syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0);
}

/* The number of the only ring that this process has; -1: it has none. */
static int find_ring(void)
{
    char name[32], target[64];

    for (int fd = 0; fd < 64; fd++) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(name, target, sizeof target - 1);
        if (length > 0 && strncmp(target, "anon_inode:[io_uring]", (size_t)length) == 0)
            return fd;
    }
    return -1;
}

static bool ring_can_register(void)
{
    int ring = find_ring();
    union {
        struct io_uring_probe probe;
        char room[sizeof(struct io_uring_probe) + 8 * sizeof(struct io_uring_probe_op)];
    } probe = { 0 };

    EXPECT(ring >= 0);
    return syscall(SYS_io_uring_register, ring, IORING_REGISTER_PROBE, &probe, 8) == 0;
}

static void count_and_stop(struct io_event *ev, int result);
static struct loop *loop;
static struct io_event event = { count_and_stop };
static int events;

static void count_and_stop(struct io_event *ev, int result)
{
    (void)ev;
    EXPECT(result >= 0);
    events++;
    loop_stop(loop);
}

/* Many of them on one thread, which has few places for rings. */
static void loops_are_restricted_when_asked_for(void)
{
    const struct loop_config config = { .entries = 16, .file_slots = 4 };
    struct error err;
    int fd = memfd_create("test", MFD_CLOEXEC);

    EXPECT(loop_create(&loop, &config, &err) == 0);
    EXPECT(ring_can_register());
    EXPECT(!ring_restrictions_hold());
    loop_destroy(loop);
    ring_restrictions_use(true);
    for (int i = 0; i < 40; i++) {
        struct loop_file file;

        EXPECT(loop_create(&loop, &config, &err) == 0);
        EXPECT(!ring_can_register());
        loop_file_init(loop, &file, fd);
        EXPECT(file.slot >= 0);
        loop_fdatasync(loop, &event, &file, 0, 0);
        loop_run(loop);
        loop_file_release(loop, &file);
        loop_destroy(loop);
    }
    EXPECT(events == 40);
    EXPECT(ring_restrictions_hold());
    ring_restrictions_use(false);
    close(fd);
}

int main(void)
{
    struct raw_ring ring;

    if (!create(&ring)) {
        fprintf(stderr, "skipped: no io_uring here, or one without restrictions\n");
        return 77;
    }
    EXPECT(ring_enable(ring.fd, false) == 0);
    what_a_server_does_is_allowed(&ring);
    what_leads_out_is_refused(&ring);
    close(ring.fd);
    loops_are_restricted_when_asked_for();
    return 0;
}
