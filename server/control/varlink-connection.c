#include "server/control/varlink-connection.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_LEAST_BYTES 4096u
#define INPUT_KEPT_BYTES 65536u /* between two messages */

static void receive_next(struct varlink_connection *connection);
static void send_next(struct varlink_connection *connection);

/* ---- the end ---- */

static void close_fds(int *fds)
{
    for (size_t i = 0; i < VARLINK_FDS_MAX; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

void varlink_close(struct varlink_connection *connection)
{
    if (!connection->closing)
        loop_file_shutdown(connection->loop, &connection->file, SHUT_RDWR);
    connection->closing = true;
    loop_defer(connection->loop, &connection->step);
}

void varlink_release(struct varlink_connection *connection)
{
    close_fds(connection->fds);
    while (connection->waiting_count > 0)
        close(connection->waiting_fds[--connection->waiting_count].fd);
    if (connection->reply_fd >= 0)
        close(connection->reply_fd);
    varlink_call_free(&connection->call);
    free(connection->input);
    free(connection->sending);
    free(connection->queued);
}

/* ---- calls ---- */

static void refuse(struct varlink_connection *connection, const char *parameter)
{
    struct json_object *parameters = json_object_new_object();

    if (parameters != NULL)
        json_object_object_add(parameters, "parameter", varlink_text(parameter));
    varlink_error(connection, VARLINK_INVALID_PARAMETER, parameters);
}

static void take_fds(struct varlink_connection *connection, size_t end_bytes)
{
    size_t taken = 0;

    while (taken < connection->waiting_count &&
           connection->waiting_fds[taken].end_bytes <= end_bytes) {
        connection->fds[taken] = connection->waiting_fds[taken].fd;
        taken++;
    }
    connection->waiting_count -= taken;
    for (size_t i = 0; i < connection->waiting_count; i++) {
        connection->waiting_fds[i] = connection->waiting_fds[i + taken];
        connection->waiting_fds[i].end_bytes -= end_bytes;
    }
}

/* `length_bytes` with the NUL. */
static void forget_input(struct varlink_connection *connection, size_t length_bytes)
{
    connection->input_bytes -= length_bytes;
    memmove(connection->input, connection->input + length_bytes, connection->input_bytes);
    connection->scanned_bytes = 0;
    if (connection->input_bytes > 0 || connection->input_room_bytes <= INPUT_KEPT_BYTES)
        return;
    free(connection->input);
    connection->input = NULL;
    connection->input_room_bytes = 0;
}

static void begin_call(struct varlink_connection *connection, size_t length_bytes)
{
    struct error err = { "" };

    connection->busy = true;
    take_fds(connection, length_bytes + 1);
    int result = varlink_call_parse(&connection->call, connection->input, length_bytes, &err);
    forget_input(connection, length_bytes + 1);
    loop_defer(connection->loop, &connection->step);
    if (result == 0) {
        connection->ops->called(connection);
        return;
    }
    if (result != -EINVAL)
        connection->finishing = true;
    refuse(connection, err.text);
}

/* The end of the first message; NULL: it has not come yet. */
static const char *find_end(struct varlink_connection *connection)
{
    const char *end = connection->input == NULL
                          ? NULL
                          : memchr(connection->input + connection->scanned_bytes, '\0',
                                   connection->input_bytes - connection->scanned_bytes);

    if (end == NULL)
        connection->scanned_bytes = connection->input_bytes;
    return end;
}

static void refuse_length(struct varlink_connection *connection)
{
    connection->busy = true;
    connection->finishing = true;
    connection->input_bytes = connection->scanned_bytes = 0;
    refuse(connection, "the message is longer than 1 MiB");
}

static void look_for_call(struct varlink_connection *connection)
{
    const char *end = find_end(connection);

    if (end != NULL)
        begin_call(connection, (size_t)(end - connection->input));
    else if (connection->input_bytes > VARLINK_MESSAGE_BYTES_MAX)
        refuse_length(connection);
    else if (connection->input_ended)
        varlink_close(connection);
    else
        receive_next(connection);
}

/* What is to be done next; at the end of a batch, so that nobody's callback is within another. */
static void step(struct loop_task *task)
{
    struct varlink_connection *connection = container_of(task, struct varlink_connection, step);

    if (!connection->closing && !connection->in_flight && connection->queued_bytes > 0)
        send_next(connection);
    bool all_sent = !connection->in_flight && connection->queued_bytes == 0;

    if (!connection->closing && connection->finishing && all_sent)
        varlink_close(connection);
    else if (!connection->closing && !connection->finishing && !connection->busy && all_sent)
        look_for_call(connection);
    else if (!connection->closing && !connection->finishing && find_end(connection) == NULL &&
             connection->input_bytes <= VARLINK_MESSAGE_BYTES_MAX)
        receive_next(connection); /* to see when it goes */
    if (!connection->closing || connection->receiving || connection->in_flight ||
        connection->step.queued || connection->closed)
        return;
    connection->closed = true;
    loop_file_close(connection->loop, &connection->file);
    connection->ops->closed(connection);
}

/* ---- input ---- */

static bool make_room(struct varlink_connection *connection)
{
    size_t room_bytes = connection->input_room_bytes;

    if (connection->input_bytes < room_bytes)
        return true;
    room_bytes = room_bytes == 0 ? INPUT_LEAST_BYTES : room_bytes * 2;
    if (room_bytes > VARLINK_MESSAGE_BYTES_MAX + 1)
        room_bytes = VARLINK_MESSAGE_BYTES_MAX + 1;
    char *larger = realloc(connection->input, room_bytes);
    if (larger == NULL)
        return false;
    connection->input = larger;
    connection->input_room_bytes = room_bytes;
    return true;
}

static void receive_next(struct varlink_connection *connection)
{
    if (connection->receiving || connection->input_ended)
        return;
    if (!make_room(connection)) {
        varlink_close(connection);
        return;
    }
    connection->receive_part = (struct iovec){
        .iov_base = connection->input + connection->input_bytes,
        .iov_len = connection->input_room_bytes - connection->input_bytes,
    };
    connection->receive_message = (struct msghdr){
        .msg_iov = &connection->receive_part,
        .msg_iovlen = 1,
        .msg_control = connection->receive_control,
        .msg_controllen = sizeof connection->receive_control,
    };
    connection->receiving = true;
    loop_recvmsg(connection->loop, &connection->received, &connection->file,
                 &connection->receive_message);
}

static void keep_fd(struct varlink_connection *connection, int fd)
{
    if (connection->waiting_count == VARLINK_FDS_MAX) {
        close(fd);
        return;
    }
    connection->waiting_fds[connection->waiting_count++] =
        (struct varlink_fd){ .fd = fd, .end_bytes = connection->input_bytes };
}

/* A read ends with the bytes that descriptors came with: they are of the message to which its last
 * byte belongs.  What did not fit the kernel has closed.  Source: unix(7), cmsg(3). */
static void take_control(struct varlink_connection *connection)
{
    struct msghdr *message = &connection->receive_message;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            keep_fd(connection, fd);
        }
    }
}

static void received(struct io_event *ev, int result)
{
    struct varlink_connection *connection = container_of(ev, struct varlink_connection, received);

    connection->receiving = false;
    if (result > 0) {
        connection->input_bytes += (size_t)result;
        connection->progress += (size_t)result;
        take_control(connection);
    } else if (result != -EINTR && result != -EAGAIN) {
        connection->input_ended = true;
        if (result < 0)
            varlink_close(connection);
        else if (connection->busy && !connection->closing)
            connection->ops->input_ended(connection);
    }
    loop_defer(connection->loop, &connection->step);
}

/* ---- output ---- */

static void attach_fd(struct varlink_connection *connection)
{
    struct cmsghdr *header = (void *)connection->send_control;

    if (connection->reply_fd < 0)
        return;
    connection->send_message.msg_control = connection->send_control;
    connection->send_message.msg_controllen = CMSG_SPACE(sizeof connection->reply_fd);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof connection->reply_fd);
    memcpy(CMSG_DATA(header), &connection->reply_fd, sizeof connection->reply_fd);
}

static void send_part(struct varlink_connection *connection)
{
    connection->send_part = (struct iovec){
        .iov_base = connection->sending + connection->sent_bytes,
        .iov_len = connection->sending_bytes - connection->sent_bytes,
    };
    connection->send_message =
        (struct msghdr){ .msg_iov = &connection->send_part, .msg_iovlen = 1 };
    attach_fd(connection);
    connection->in_flight = true;
    loop_sendmsg(connection->loop, &connection->sent, &connection->file, &connection->send_message);
}

static void send_next(struct varlink_connection *connection)
{
    connection->sending = connection->queued;
    connection->sending_bytes = connection->queued_bytes;
    connection->sent_bytes = 0;
    connection->queued = NULL;
    connection->queued_bytes = connection->queued_room_bytes = 0;
    send_part(connection);
}

static void sent(struct io_event *ev, int result)
{
    struct varlink_connection *connection = container_of(ev, struct varlink_connection, sent);

    connection->in_flight = false;
    if (result > 0) {
        connection->sent_bytes += (size_t)result;
        connection->progress += (size_t)result;
        if (connection->reply_fd >= 0)
            close(connection->reply_fd);
        connection->reply_fd = -1;
    } else if (result != -EINTR && result != -EAGAIN) {
        varlink_close(connection);
        return;
    }
    if (connection->closing) {
        loop_defer(connection->loop, &connection->step);
        return;
    }
    if (connection->sent_bytes < connection->sending_bytes) {
        send_part(connection);
        return;
    }
    free(connection->sending);
    connection->sending = NULL;
    connection->sending_bytes = connection->sent_bytes = 0;
    if (connection->busy && connection->queued_bytes == 0)
        connection->ops->writable(connection);
    loop_defer(connection->loop, &connection->step);
}

static bool append(struct varlink_connection *connection, const char *text, size_t length_bytes)
{
    size_t need_bytes = connection->queued_bytes + length_bytes;

    if (need_bytes > connection->queued_room_bytes) {
        size_t room_bytes = need_bytes + need_bytes / 2;
        char *larger = realloc(connection->queued, room_bytes);

        if (larger == NULL)
            return false;
        connection->queued = larger;
        connection->queued_room_bytes = room_bytes;
    }
    memcpy(connection->queued + connection->queued_bytes, text, length_bytes);
    connection->queued_bytes = need_bytes;
    return true;
}

/* Takes `text`.  NULL: there was no memory for it. */
static void put_out(struct varlink_connection *connection, char *text, size_t length_bytes,
                    bool last)
{
    assert(connection->busy);
    bool wanted = !connection->call.oneway;
    if (wanted && (text == NULL || !append(connection, text, length_bytes)))
        varlink_close(connection);
    free(text);
    if (last) {
        connection->busy = false;
        close_fds(connection->fds);
        varlink_call_free(&connection->call);
    }
    loop_defer(connection->loop, &connection->step);
}

void varlink_reply(struct varlink_connection *connection, struct json_object *parameters,
                   bool continues)
{
    size_t length_bytes = 0;
    char *text = varlink_reply_text(parameters, continues, &length_bytes);

    put_out(connection, text, length_bytes, !continues);
}

void varlink_reply_with_fd(struct varlink_connection *connection, struct json_object *parameters,
                           int fd)
{
    if (connection->call.oneway || varlink_unsent_bytes(connection) > 0)
        close(fd); /* there is nothing that it could go with */
    else
        connection->reply_fd = fd;
    varlink_reply(connection, parameters, false);
}

void varlink_error(struct varlink_connection *connection, const char *name,
                   struct json_object *parameters)
{
    size_t length_bytes = 0;
    char *text = varlink_error_text(name, parameters, &length_bytes);

    put_out(connection, text, length_bytes, true);
}

size_t varlink_unsent_bytes(const struct varlink_connection *connection)
{
    return connection->sending_bytes - connection->sent_bytes + connection->queued_bytes;
}

bool varlink_is_in_a_message(const struct varlink_connection *connection)
{
    return !connection->busy && connection->input_bytes > 0;
}

void varlink_open(struct varlink_connection *connection, const struct varlink_ops *ops,
                  struct loop *loop, int fd)
{
    *connection = (struct varlink_connection){
        .ops = ops,
        .loop = loop,
        .fds = { -1, -1, -1, -1 },
        .received.fn = received,
        .sent.fn = sent,
        .step.fn = step,
        .reply_fd = -1,
    };
    loop_file_init(loop, &connection->file, fd);
    loop_defer(loop, &connection->step);
}
