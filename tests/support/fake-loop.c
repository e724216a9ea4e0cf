#include "tests/support/fake-loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/fake-pipe.h"

#define FAKES_MAX 64u
#define UNUSED __attribute__((unused))
struct fake {
    enum { FAKE_SOCKET, FAKE_FILE } kind;
    bool closed;
    struct pipe_bytes to_server, to_client;
    size_t recv_bytes_max, send_bytes_max, window_bytes;
    bool client_ended, client_reset, shut_recv, shut_send;
    uint8_t *data, *durable;
    size_t size_bytes, chunk_bytes;
};

enum operation_kind {
    OPERATION_READ,
    OPERATION_WRITE,
    OPERATION_FDATASYNC,
    OPERATION_FALLOCATE,
    OPERATION_READAHEAD,
    OPERATION_RECV,
    OPERATION_SEND,
    OPERATION_ACCEPT,
    OPERATION_POLL,
    OPERATION_TIMER
};

struct operation {
    enum operation_kind kind;
    struct io_event *ev;
    int fd;
    uint8_t *data;
    uint64_t offset_bytes, length_bytes;
    int mode; /* of fallocate; the events of poll; the milliseconds of a timer */
    struct msghdr *message;
    int result; /* not 0: it ends with this in the next batch, whatever it is about */
    struct operation *next;
};
_Thread_local uint64_t loop_batch_ns = 1000000000;

struct loop {
    struct operation *operations, **operations_end;
    struct loop_task *tasks, **tasks_end;
    bool stopping;
    unsigned submitted, fail_at;
    int fail_error;
    struct fake fakes[FAKES_MAX];
    int fake_count;
    pthread_mutex_t mutex; /* for the messages of other threads */
    pthread_cond_t posted;
    struct loop_message *messages, **messages_end;
};

/* ---- fakes ---- */

static struct fake *find_fake(const struct loop *loop, int fd)
{
    if (fd < FAKE_FD_FIRST)
        return NULL;
    assert(fd - FAKE_FD_FIRST < loop->fake_count);
    return (struct fake *)&loop->fakes[fd - FAKE_FD_FIRST];
}

static struct fake *open_fake(const struct loop *loop, int fd)
{
    struct fake *fake = find_fake(loop, fd);

    assert(fake == NULL || !fake->closed);
    return fake;
}

static int create_fake(struct loop *loop, struct fake fake)
{
    assert(loop->fake_count < (int)FAKES_MAX);
    loop->fakes[loop->fake_count] = fake;
    return FAKE_FD_FIRST + loop->fake_count++;
}

int fake_socket_create(struct loop *loop)
{
    return create_fake(loop, (struct fake){ .kind = FAKE_SOCKET });
}

void fake_socket_feed(struct loop *loop, int fd, const void *data, size_t length_bytes)
{
    pipe_put(&find_fake(loop, fd)->to_server, data, length_bytes);
}

size_t fake_socket_ready(const struct loop *loop, int fd)
{
    return pipe_count(&find_fake(loop, fd)->to_client);
}

size_t fake_socket_take(struct loop *loop, int fd, void *data, size_t length_bytes)
{
    return pipe_take(&find_fake(loop, fd)->to_client, data, length_bytes);
}

void fake_socket_chunk(struct loop *loop, int fd, size_t recv_bytes, size_t send_bytes)
{
    find_fake(loop, fd)->recv_bytes_max = recv_bytes;
    find_fake(loop, fd)->send_bytes_max = send_bytes;
}

void fake_socket_window(struct loop *loop, int fd, size_t window_bytes)
{
    find_fake(loop, fd)->window_bytes = window_bytes;
}

void fake_socket_end(struct loop *loop, int fd)
{
    find_fake(loop, fd)->client_ended = true;
}

void fake_socket_reset(struct loop *loop, int fd)
{
    struct fake *fake = find_fake(loop, fd);

    fake->client_reset = true;
    fake->to_server.start = fake->to_server.end;
}

bool fake_socket_finished(const struct loop *loop, int fd)
{
    return find_fake(loop, fd)->shut_send || find_fake(loop, fd)->closed;
}

bool fake_socket_closed(const struct loop *loop, int fd)
{
    return find_fake(loop, fd)->closed;
}

int fake_file_create(struct loop *loop, size_t size_bytes)
{
    struct fake fake = { .kind = FAKE_FILE, .size_bytes = size_bytes };

    fake.data = calloc(1, size_bytes + 1);
    fake.durable = calloc(1, size_bytes + 1);
    assert(fake.data != NULL && fake.durable);
    return create_fake(loop, fake);
}

uint8_t *fake_file_data(struct loop *loop, int fd)
{
    return find_fake(loop, fd)->data;
}

const uint8_t *fake_file_durable(struct loop *loop, int fd)
{
    return find_fake(loop, fd)->durable;
}

void fake_file_chunk(struct loop *loop, int fd, size_t bytes)
{
    find_fake(loop, fd)->chunk_bytes = bytes;
}

/* ---- what operations do; each gives the result, or WAITS ---- */

#define WAITS (-(1 << 20))

static size_t bounded(size_t length_bytes, size_t max_bytes)
{
    return max_bytes > 0 && length_bytes > max_bytes ? max_bytes : length_bytes;
}

static int socket_recv(struct fake *socket, const struct msghdr *message)
{
    size_t left = bounded(SIZE_MAX, socket->recv_bytes_max), total = 0;

    if (socket->client_reset || socket->shut_recv)
        return socket->client_reset ? -ECONNRESET : 0;
    for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
        size_t room = message->msg_iov[i].iov_len < left ? message->msg_iov[i].iov_len : left;
        size_t count = pipe_take(&socket->to_server, message->msg_iov[i].iov_base, room);

        total += count;
        left -= count;
    }
    return total > 0 || socket->client_ended ? (int)total : WAITS;
}

static int socket_send(struct fake *socket, const struct msghdr *message)
{
    size_t left = bounded(SIZE_MAX, socket->send_bytes_max), total = 0;

    if (socket->client_reset)
        return -ECONNRESET;
    if (socket->shut_send)
        return -EPIPE;
    if (socket->window_bytes > 0) {
        if (pipe_count(&socket->to_client) >= socket->window_bytes)
            return WAITS;
        left = bounded(left, socket->window_bytes - pipe_count(&socket->to_client));
    }
    for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
        size_t count = message->msg_iov[i].iov_len < left ? message->msg_iov[i].iov_len : left;

        pipe_put(&socket->to_client, message->msg_iov[i].iov_base, count);
        total += count;
        left -= count;
    }
    return (int)total;
}

/* How much of an operation lies inside the file. */
static size_t file_part(const struct fake *file, const struct operation *op)
{
    if (op->offset_bytes >= file->size_bytes)
        return 0;
    return bounded(op->length_bytes, file->size_bytes - op->offset_bytes);
}

static int file_read(const struct fake *file, const struct operation *op)
{
    size_t count = bounded(file_part(file, op), file->chunk_bytes);

    if (count > 0)
        memcpy(op->data, file->data + op->offset_bytes, count);
    return (int)count;
}

static int file_write(struct fake *file, const struct operation *op)
{
    size_t count = bounded(file_part(file, op), file->chunk_bytes);

    if (count == 0 && op->length_bytes > 0)
        return -ENOSPC;
    memcpy(file->data + op->offset_bytes, op->data, count);
    return (int)count;
}

static int file_operation(struct fake *file, const struct operation *op)
{
    switch (op->kind) {
    case OPERATION_READ:
        return file_read(file, op);
    case OPERATION_WRITE:
        return file_write(file, op);
    case OPERATION_FDATASYNC:
        memcpy(file->durable + op->offset_bytes, file->data + op->offset_bytes,
               file_part(file, op));
        return 0;
    case OPERATION_FALLOCATE:
        if (op->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
            memset(file->data + op->offset_bytes, 0, file_part(file, op));
        return 0;
    case OPERATION_READAHEAD:
        return 0;
    default: /* a socket's operation */
        return WAITS;
    }
}

static int real_result(ssize_t result)
{
    return result < 0 ? -errno : (int)result;
}

static int real_poll(const struct operation *op)
{
    struct pollfd pollfd = { .fd = op->fd, .events = (short)op->mode };

    return poll(&pollfd, 1, 0) == 0 ? WAITS : pollfd.revents;
}

/* A descriptor that is none of ours. */
static int real_operation(const struct operation *op)
{
    off_t offset = (off_t)op->offset_bytes;

    switch (op->kind) {
    case OPERATION_READ:
        return real_result(pread(op->fd, op->data, op->length_bytes, offset));
    case OPERATION_WRITE:
        return real_result(pwrite(op->fd, op->data, op->length_bytes, offset));
    case OPERATION_FDATASYNC:
        return real_result(fdatasync(op->fd));
    case OPERATION_FALLOCATE:
        return real_result(fallocate(op->fd, op->mode, offset, (off_t)op->length_bytes));
    case OPERATION_READAHEAD:
        return 0;
    case OPERATION_POLL:
        return real_poll(op);
    default:
        return WAITS;
    }
}

static int attempt(struct loop *loop, const struct operation *op)
{
    struct fake *fake;

    if (op->result != 0)
        return op->result;
    if (op->kind == OPERATION_TIMER)
        return WAITS;
    fake = open_fake(loop, op->fd);
    if (fake == NULL)
        return real_operation(op);
    if (op->kind == OPERATION_RECV)
        return socket_recv(fake, op->message);
    if (op->kind == OPERATION_SEND)
        return socket_send(fake, op->message);
    return file_operation(fake, op);
}

/* ---- batches ---- */

/* Takes what can finish now out of the list, with its result. */
static struct operation *collect(struct loop *loop)
{
    struct operation *finished = NULL, **finished_end = &finished;
    struct operation **at = &loop->operations;

    while (*at) {
        struct operation *op = *at;
        int result = attempt(loop, op);

        if (result == WAITS) {
            at = &op->next;
            continue;
        }
        op->result = result;
        *at = op->next;
        op->next = NULL;
        *finished_end = op;
        finished_end = &op->next;
    }
    loop->operations_end = at;
    return finished;
}

static bool deliver(struct operation *finished)
{
    bool any = finished != NULL;

    for (struct operation *op = finished, *next; op; op = next) {
        const struct operation done = *op;

        next = op->next;
        free(op);
        done.ev->fn(done.ev, done.result);
    }
    return any;
}

static bool deliver_messages(struct loop *loop)
{
    struct loop_message *message;

    pthread_mutex_lock(&loop->mutex);
    message = loop->messages;
    loop->messages = NULL;
    loop->messages_end = &loop->messages;
    pthread_mutex_unlock(&loop->mutex);
    if (message == NULL)
        return false;
    for (struct loop_message *next; message; message = next) {
        next = message->next;
        message->event.fn(&message->event, message->result);
    }
    return true;
}

static bool run_tasks(struct loop *loop)
{
    bool any = loop->tasks != NULL;

    while (loop->tasks) {
        struct loop_task *task = loop->tasks;

        loop->tasks = task->next;
        if (loop->tasks == NULL)
            loop->tasks_end = &loop->tasks;
        task->queued = false;
        task->fn(task);
    }
    return any;
}

bool fake_loop_step(struct loop *loop)
{
    bool any = deliver(collect(loop));

    any |= deliver_messages(loop);
    any |= run_tasks(loop);
    return any;
}

void fake_loop_run(struct loop *loop)
{
    while (!loop->stopping && fake_loop_step(loop))
        ;
    loop->stopping = false;
}

unsigned fake_loop_pending(const struct loop *loop)
{
    unsigned count = 0;

    for (const struct operation *op = loop->operations; op; op = op->next)
        count++;
    return count;
}

void fake_loop_fail(struct loop *loop, unsigned nth, int error)
{
    loop->submitted = 0;
    loop->fail_at = nth;
    loop->fail_error = error;
}

unsigned fake_loop_operations(const struct loop *loop)
{
    return loop->submitted;
}

/* ---- timers ---- */

static struct operation *find_operation(const struct loop *loop, const struct io_event *ev)
{
    for (struct operation *op = loop->operations; op; op = op->next) {
        if (op->ev == ev)
            return op;
    }
    return NULL;
}

long fake_timer_ms(const struct loop *loop, const struct loop_timer *timer)
{
    const struct operation *op = find_operation(loop, &timer->event);

    return op != NULL ? op->mode : -1;
}

void fake_timer_fire(struct loop *loop, const struct loop_timer *timer)
{
    struct operation *op = find_operation(loop, &timer->event);

    assert(op);
    op->result = -ETIME;
}

/* ---- server/loop/loop.h ---- */

int loop_create(struct loop **out, const struct loop_config *config UNUSED, struct error *err)
{
    struct loop *loop = calloc(1, sizeof *loop);

    if (loop == NULL)
        return error_no_memory(err, NULL);
    loop->operations_end = &loop->operations;
    loop->tasks_end = &loop->tasks;
    loop->messages_end = &loop->messages;
    pthread_mutex_init(&loop->mutex, NULL);
    pthread_cond_init(&loop->posted, NULL);
    *out = loop;
    return 0;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL)
        return;
    assert(loop->operations == NULL && loop->tasks == NULL && loop->messages == NULL);
    for (int i = 0; i < loop->fake_count; i++) {
        free(loop->fakes[i].to_server.data);
        free(loop->fakes[i].to_client.data);
        free(loop->fakes[i].data);
        free(loop->fakes[i].durable);
    }
    pthread_cond_destroy(&loop->posted);
    pthread_mutex_destroy(&loop->mutex);
    free(loop);
}

/* Like the real one, it waits when there is nothing to do: for a message of another thread. */
void loop_run(struct loop *loop)
{
    while (!loop->stopping) {
        if (fake_loop_step(loop))
            continue;
        pthread_mutex_lock(&loop->mutex);
        while (loop->messages == NULL)
            pthread_cond_wait(&loop->posted, &loop->mutex);
        pthread_mutex_unlock(&loop->mutex);
    }
    loop->stopping = false;
}

void loop_stop(struct loop *loop)
{
    loop->stopping = true;
}

void loop_defer(struct loop *loop, struct loop_task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *loop->tasks_end = task;
    loop->tasks_end = &task->next;
}

void loop_post(struct loop *target, struct loop_message *message)
{
    pthread_mutex_lock(&target->mutex);
    message->next = NULL;
    *target->messages_end = message;
    target->messages_end = &message->next;
    pthread_cond_signal(&target->posted);
    pthread_mutex_unlock(&target->mutex);
}

void loop_file_init(struct loop *loop UNUSED, struct loop_file *file, int fd)
{
    *file = (struct loop_file){ .fd = fd, .slot = -1 };
}

void loop_file_release(struct loop *loop UNUSED, struct loop_file *file)
{
    file->fd = -1;
}

void loop_file_close(struct loop *loop, struct loop_file *file)
{
    struct fake *fake = open_fake(loop, file->fd);

    for (struct operation *op = loop->operations; op; op = op->next)
        assert(op->kind == OPERATION_TIMER || op->fd != file->fd);
    if (fake)
        fake->closed = true;
    else if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

void loop_file_shutdown(struct loop *loop, const struct loop_file *file, int how)
{
    struct fake *fake = open_fake(loop, file->fd);

    if (fake == NULL) {
        shutdown(file->fd, how);
        return;
    }
    fake->shut_recv |= how != SHUT_WR;
    fake->shut_send |= how != SHUT_RD;
}

size_t loop_file_send_now(struct loop *loop, const struct loop_file *file, const void *data,
                          size_t length_bytes)
{
    struct fake *fake = open_fake(loop, file->fd);
    struct iovec iov = { (void *)(uintptr_t)data, length_bytes };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
    int sent = fake != NULL ? socket_send(fake, &message) : -1;

    return sent > 0 && sent != WAITS ? (size_t)sent : 0;
}

uint32_t loop_file_unsent_bytes(struct loop *loop, const struct loop_file *file)
{
    (void)loop;
    (void)file;
    return 0;
}

bool loop_file_has_unread(struct loop *loop, const struct loop_file *file)
{
    struct fake *fake = open_fake(loop, file->fd);

    return fake != NULL && pipe_count(&fake->to_server) > 0;
}

int loop_register_memory(struct loop *loop UNUSED, void *base UNUSED, size_t length_bytes UNUSED)
{
    return -1;
}

void loop_unregister_memory(struct loop *loop UNUSED, int index UNUSED)
{
}

static void submit(struct loop *loop, struct operation operation)
{
    struct operation *op = malloc(sizeof *op);

    assert(op);
    assert(find_operation(loop, operation.ev) == NULL); /* one operation at a time for each event */
    *op = operation;
    if (op->kind != OPERATION_TIMER && ++loop->submitted == loop->fail_at)
        op->result = -loop->fail_error;
    op->next = NULL;
    *loop->operations_end = op;
    loop->operations_end = &op->next;
}

/* What reads or writes: a range of a file. */
static void submit_range(struct loop *loop, struct operation range, struct io_event *ev,
                         const struct loop_file *file, uint64_t offset_bytes, uint64_t length_bytes)
{
    range.ev = ev;
    range.fd = file->fd;
    range.offset_bytes = offset_bytes;
    range.length_bytes = length_bytes;
    submit(loop, range);
}

void loop_read(struct loop *loop, struct io_event *ev, const struct loop_file *file,
               const struct buffer *buffer UNUSED, uint8_t *data, uint32_t length_bytes,
               uint64_t offset_bytes)
{
    submit_range(loop, (struct operation){ .kind = OPERATION_READ, .data = data }, ev, file,
                 offset_bytes, length_bytes);
}

void loop_write(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                const struct buffer *buffer UNUSED, const uint8_t *data, uint32_t length_bytes,
                uint64_t offset_bytes)
{
    submit_range(loop, (struct operation){ .kind = OPERATION_WRITE, .data = (uint8_t *)data }, ev,
                 file, offset_bytes, length_bytes);
}

void loop_fdatasync(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                    uint64_t offset_bytes, uint32_t length_bytes)
{
    submit_range(loop, (struct operation){ .kind = OPERATION_FDATASYNC }, ev, file, offset_bytes,
                 (offset_bytes | length_bytes) == 0 ? UINT64_MAX : length_bytes);
}

void loop_fallocate(struct loop *loop, struct io_event *ev, const struct loop_file *file, int mode,
                    uint64_t offset_bytes, uint64_t length_bytes)
{
    submit_range(loop, (struct operation){ .kind = OPERATION_FALLOCATE, .mode = mode }, ev, file,
                 offset_bytes, length_bytes);
}

void loop_readahead(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                    uint64_t offset_bytes, uint32_t length_bytes)
{
    submit_range(loop, (struct operation){ .kind = OPERATION_READAHEAD }, ev, file, offset_bytes,
                 length_bytes);
}

void loop_recvmsg(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                  struct msghdr *message)
{
    submit(loop, (struct operation){
                     .kind = OPERATION_RECV, .ev = ev, .fd = file->fd, .message = message });
}

void loop_sendmsg(struct loop *loop, struct io_event *ev, const struct loop_file *file,
                  struct msghdr *message)
{
    submit(loop, (struct operation){
                     .kind = OPERATION_SEND, .ev = ev, .fd = file->fd, .message = message });
}

void loop_accept(struct loop *loop, struct io_event *ev, int fd)
{
    submit(loop, (struct operation){ .kind = OPERATION_ACCEPT, .ev = ev, .fd = fd });
}

void loop_poll(struct loop *loop, struct io_event *ev, int fd, unsigned events)
{
    submit(loop,
           (struct operation){ .kind = OPERATION_POLL, .ev = ev, .fd = fd, .mode = (int)events });
}

void loop_timer_start(struct loop *loop, struct loop_timer *timer, unsigned timeout_ms)
{
    submit(loop,
           (struct operation){
               .kind = OPERATION_TIMER, .ev = &timer->event, .fd = -1, .mode = (int)timeout_ms });
}

void loop_cancel(struct loop *loop, struct io_event *ev)
{
    struct operation *op = find_operation(loop, ev);
    int result = op != NULL ? attempt(loop, op) : 0;

    if (op != NULL) /* too late for what can be done at once */
        op->result = result == WAITS ? -ECANCELED : result;
}
