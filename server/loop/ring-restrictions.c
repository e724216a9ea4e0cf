/* The two registrations that liburing 2.3 does not export, and so by their numbers. */
#include "server/loop/ring-restrictions.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static const unsigned char operations[] = {
    IORING_OP_READ,    IORING_OP_WRITE,    IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
    IORING_OP_FSYNC,   IORING_OP_FADVISE,  IORING_OP_FALLOCATE,  IORING_OP_RECVMSG,
    IORING_OP_SENDMSG, IORING_OP_POLL_ADD, IORING_OP_TIMEOUT,    IORING_OP_ASYNC_CANCEL,
    IORING_OP_ACCEPT, /* the last: not for all */
};
#define OPERATION_COUNT (sizeof operations / sizeof operations[0])

/* A ring that goes gives its place in the table of its thread back. */
static const unsigned char registrations[] = {
    IORING_REGISTER_FILES_UPDATE,
    IORING_REGISTER_FILES_UPDATE2,
    IORING_REGISTER_BUFFERS_UPDATE,
    IORING_UNREGISTER_RING_FDS,
};
#define REGISTRATION_COUNT (sizeof registrations / sizeof registrations[0])

static bool used;
static atomic_uint restricted_count, open_count;

void ring_restrictions_use(bool use)
{
    used = use;
}

bool ring_restrictions_are_used(void)
{
    return used;
}

static int do_register(int ring_fd, unsigned opcode, void *argument, unsigned count)
{
    return (int)syscall(SYS_io_uring_register, ring_fd, opcode, argument, count);
}

static bool restrict_ring(int ring_fd, bool accepts)
{
    struct io_uring_restriction rules[OPERATION_COUNT + REGISTRATION_COUNT + 1] = { 0 };
    unsigned count = 0;

    for (size_t i = 0; i < OPERATION_COUNT - !accepts; i++)
        rules[count++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_OP,
                                                        .sqe_op = operations[i] };
    for (size_t i = 0; i < REGISTRATION_COUNT; i++)
        rules[count++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_REGISTER_OP,
                                                        .register_op = registrations[i] };
    rules[count++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
                                                    .sqe_flags = IOSQE_FIXED_FILE };
    return do_register(ring_fd, IORING_REGISTER_RESTRICTIONS, rules, count) == 0;
}

int ring_enable(int ring_fd, bool accepts)
{
    atomic_fetch_add(restrict_ring(ring_fd, accepts) ? &restricted_count : &open_count, 1);
    return do_register(ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) == 0 ? 0 : -errno;
}

bool ring_restrictions_hold(void)
{
    return used && atomic_load(&restricted_count) > 0 && atomic_load(&open_count) == 0;
}
