#include "server/control/control-client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/control/control-json.h"
#include "server/control/control-path.h"
#include "server/control/varlink-message.h"

#define READ_BYTES 65536u
#define REPLY_BYTES_MAX (64u << 20) /* nothing that a server says is nearly so long */

/* ---- connecting ---- */

static int connect_to(const char *path, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, -EINVAL, "the control socket '%s': its path is too long", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, -errno, "a socket can't be made: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int result = -errno;
    close(fd);
    if (result == -EACCES || result == -EPERM)
        return error_set(err, result, "the control socket '%s': this user may not connect to it",
                         path);
    return error_set(err, result, "no server answers at the control socket '%s': %s", path,
                     strerror(-result));
}

/* The best of those that answer; otherwise what was wrong with the first one that is there. */
static int connect_to_any(struct error *err)
{
    int result =
        error_set(err, -ENOENT,
                  "there is no control socket in /run/nbdcrypt or $XDG_RUNTIME_DIR/nbdcrypt: "
                  "no server runs, or --socket PATH has to tell where it is");
    bool told = false;

    for (unsigned i = 0; i < CONTROL_FOLDERS; i++) {
        char path[CONTROL_PATH_BYTES];
        struct error why = { "" };

        if (!control_path(path, i))
            continue;
        int fd = connect_to(path, &why);
        if (fd >= 0)
            return fd;
        if (told || fd == -ENOENT)
            continue;
        told = true;
        result = fd;
        *err = why;
    }
    return result;
}

int control_link_open(struct control_link *out, const char *path, int timeout_ms, struct error *err)
{
    *out = (struct control_link){ .timeout_ms = timeout_ms, .received_fd = -1 };
    out->fd = path != NULL ? connect_to(path, err) : connect_to_any(err);
    return out->fd < 0 ? out->fd : 0;
}

void control_link_close(struct control_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    if (link->received_fd >= 0)
        close(link->received_fd);
    free(link->input);
    *link = (struct control_link){ .fd = -1, .received_fd = -1 };
}

/* ---- calls ---- */

static int wait_for(const struct control_link *link, short events, struct error *err)
{
    struct pollfd poller = { .fd = link->fd, .events = events };
    int ready;

    while ((ready = poll(&poller, 1, link->timeout_ms)) < 0 && errno == EINTR)
        continue;
    if (ready == 0)
        return error_set(
            err, -ETIMEDOUT,
            "the server has not answered within %d s (--timeout), and may go on with what "
            "it was asked",
            link->timeout_ms / 1000);
    return ready < 0 ? error_set(err, -errno, "poll: %s", strerror(errno)) : 0;
}

static int closed(int error, struct error *err)
{
    return error_set(err, -EPIPE, "the server has closed the connection%s%s",
                     error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
}

/* What goes with the first byte. */
struct passed {
    const int *fds;
    unsigned count; /* at most CONTROL_FDS_MAX */
};

static ssize_t send_some(const struct control_link *link, const char *text, size_t length_bytes,
                         const struct passed *passed)
{
    size_t fds_bytes = passed->count * sizeof(int);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec part = { .iov_base = (char *)text, .iov_len = length_bytes };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (fds_bytes > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fds_bytes);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(fds_bytes);
        memcpy(CMSG_DATA(&control.header), passed->fds, fds_bytes);
    }
    return sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int send_all(struct control_link *link, const char *text, size_t length_bytes,
                    struct passed passed, struct error *err)
{
    while (length_bytes > 0) {
        int result = wait_for(link, POLLOUT, err);
        if (result < 0)
            return result;
        ssize_t sent = send_some(link, text, length_bytes, &passed);
        if (sent < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (sent < 0 && errno == EBADF)
            return error_set(err, -EBADF, "the descriptor %d is not open", passed.fds[0]);
        if (sent < 0)
            return closed(errno, err);
        passed.count = 0;
        text += sent;
        length_bytes -= (size_t)sent;
    }
    return 0;
}

int control_link_send_fds(struct control_link *link, const char *method,
                          struct json_object *parameters, bool more, const int *fds, unsigned count,
                          struct error *err)
{
    const struct passed passed = { fds, count };
    struct json_object *call = json_object_new_object();
    char name[128];

    snprintf(name, sizeof name, "org.nbdcrypt.%s", method);
    control_add_text(call, "method", name);
    if (parameters != NULL)
        control_add(call, "parameters", parameters);
    if (more)
        control_add_flag(call, "more", true);
    const char *text =
        call != NULL ? json_object_to_json_string_ext(call, JSON_C_TO_STRING_PLAIN) : NULL;
    int result = text == NULL ? error_no_memory(err, "for a call")
                              : send_all(link, text, strlen(text) + 1, passed, err);
    json_object_put(call);
    /* Who was turned away, has an answer all the same. */
    return result == -EPIPE ? 0 : result;
}

int control_link_send(struct control_link *link, const char *method, struct json_object *parameters,
                      bool more, int fd, struct error *err)
{
    return control_link_send_fds(link, method, parameters, more, &fd, fd >= 0, err);
}

/* ---- replies ---- */

/* Keeps a descriptor that comes along. */
static ssize_t receive_some(struct control_link *link)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = { .iov_base = link->input + link->input_bytes, .iov_len = READ_BYTES };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control.bytes };
    ssize_t got = recvmsg(link->fd, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int))) {
        if (link->received_fd >= 0)
            close(link->received_fd);
        memcpy(&link->received_fd, CMSG_DATA(header), sizeof(int));
    }
    return got;
}

int control_link_take_fd(struct control_link *link)
{
    int fd = link->received_fd;

    link->received_fd = -1;
    return fd;
}

static int read_more(struct control_link *link, struct error *err)
{
    if (link->input_room_bytes - link->input_bytes < READ_BYTES) {
        size_t room_bytes = link->input_room_bytes * 2 + READ_BYTES;
        char *larger = room_bytes <= REPLY_BYTES_MAX ? realloc(link->input, room_bytes) : NULL;

        if (larger == NULL)
            return error_no_memory(err, "for a reply");
        link->input = larger;
        link->input_room_bytes = room_bytes;
    }
    int result = wait_for(link, POLLIN, err);
    if (result < 0)
        return result;
    ssize_t got = receive_some(link);
    if (got <= 0)
        return got < 0 && errno == EINTR ? 0 : closed(got < 0 ? errno : 0, err);
    link->input_bytes += (size_t)got;
    return 0;
}

int control_link_receive(struct control_link *link, struct json_object **out, struct error *err)
{
    char *end;

    while (link->input == NULL || (end = memchr(link->input, '\0', link->input_bytes)) == NULL) {
        int result = read_more(link, err);

        if (result < 0)
            return result;
    }
    *out = json_tokener_parse(link->input);
    link->input_bytes -= (size_t)(end - link->input) + 1;
    memmove(link->input, end + 1, link->input_bytes);
    if (json_object_is_type(*out, json_type_object))
        return 0;
    json_object_put(*out);
    return error_set(err, -EPROTO, "what answers there is no control socket");
}
