/* What operations on sockets do: see op.h. */
#include <errno.h>
#include <sys/uio.h>

#include "tests/sim/network.h"
#include "tests/sim/op.h"
#include "tests/sim/trace.h"

static int64_t receive_into(struct op *op)
{
    int64_t total = 0;

    for (size_t i = 0; i < (size_t)op->message->msg_iovlen; i++) {
        const struct iovec *iov = &op->message->msg_iov[i];

        if (iov->iov_len == 0)
            continue;
        int64_t count = endpoint_receive(op->endpoint, iov->iov_base, iov->iov_len);
        if (count <= 0)
            return total > 0 ? total : count;
        total += count;
        if ((size_t)count < iov->iov_len)
            break;
    }
    return total;
}

static int64_t send_from(struct op *op)
{
    int64_t total = 0;

    for (size_t i = 0; i < (size_t)op->message->msg_iovlen; i++) {
        const struct iovec *iov = &op->message->msg_iov[i];

        if (iov->iov_len == 0)
            continue;
        int64_t count = endpoint_send(op->endpoint, iov->iov_base, iov->iov_len);
        if (count < 0)
            return total > 0 ? total : count;
        total += count;
        if ((size_t)count < iov->iov_len)
            break;
    }
    return total;
}

void socket_op_try(struct op *op)
{
    int64_t result = op->kind == OP_SEND ? send_from(op) : receive_into(op);

    op->waits_for_socket = result == -EAGAIN;
    if (result != -EAGAIN)
        op_ends(op, (int)result);
}

void socket_op_happens(void *context)
{
    struct op *op = context;

    if (op->dead)
        return;
    if (!op->has_result) /* else it was cancelled first */
        socket_op_try(op);
}
