#include "server/base/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/spawn.h"
#include "server/base/spawner-wire.h"

#define END_MS 1000
/* Plugins want the low descriptors: dash redirects to those up to 9 only (see descriptors.h). */
#define SOCKET_FROM 32

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int control = -1; /* our end of its socket; -1: it does not run */
static bool ended;
static struct rlimit first_files;
static spawner_rehearsal_fn *rehearsal;

void spawner_rehearse(spawner_rehearsal_fn *fn)
{
    rehearsal = fn;
}

void spawner_note_limits(void)
{
    (void)getrlimit(RLIMIT_NOFILE, &first_files);
}

/* ---- the process ---- */

static int lift(int fd)
{
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, SOCKET_FROM);

    if (lifted < 0)
        return fd;
    close(fd);
    return lifted;
}

static int start_process(struct error *err)
{
    char parent[16], files[24];
    char *argv[] = { (char *)(uintptr_t)SPAWNER_NAME, parent, files, NULL };
    int ends[2], nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    pid_t pid;

    if (nothing < 0)
        return error_set(err, -errno, "/dev/null can't be opened: %s", strerror(errno));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        close(nothing);
        return error_set(err, -errno, "no socket for %s: %s", SPAWNER_NAME, strerror(errno));
    }
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    snprintf(files, sizeof files, "%llu", (unsigned long long)first_files.rlim_cur);
    struct spawn_files standard = { { ends[1], nothing, nothing } };
    int result = spawn_with(&pid, "/proc/self/exe", argv, environ, &standard, true, err);
    close(nothing);
    close(ends[1]);
    if (result < 0)
        close(ends[0]);
    else
        control = lift(ends[0]);
    return result;
}

static int is_running(struct error *err)
{
    if (ended)
        return error_set(err, -ESHUTDOWN, "this process is ending");
    return control >= 0 ? 0 : start_process(err);
}

/* It was killed: the next order starts another one. */
static int is_gone(struct error *err)
{
    close(control);
    control = -1;
    return error_set(err, -EIO, "%s has ended, which starts programs", SPAWNER_NAME);
}

/* ---- messages ---- */

struct message {
    char bytes[SPAWNER_MESSAGE_BYTES_MAX];
    size_t used_bytes;
    bool full;
};

static void add_bytes(struct message *message, const void *data, size_t bytes)
{
    if (bytes > sizeof message->bytes - message->used_bytes) {
        message->full = true;
        return;
    }
    memcpy(message->bytes + message->used_bytes, data, bytes);
    message->used_bytes += bytes;
}

static void add_strings(struct message *message, char *const *strings)
{
    for (; *strings != NULL; strings++)
        add_bytes(message, *strings, strlen(*strings) + 1);
}

static uint32_t count_of(char *const *strings)
{
    uint32_t count = 0;

    while (strings[count] != NULL)
        count++;
    return count;
}

static int send_message(const struct message *message, const int *files, size_t file_count)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE((SPAWNER_FILES + 1) * sizeof(int))];
    } extra = { 0 };
    struct iovec data = { (void *)(uintptr_t)message->bytes, message->used_bytes };
    struct msghdr what = { .msg_iov = &data, .msg_iovlen = 1 };
    ssize_t sent;

    if (file_count > 0) {
        what.msg_control = extra.bytes;
        what.msg_controllen = CMSG_SPACE(file_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&what);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(file_count * sizeof(int));
        memcpy(CMSG_DATA(header), files, file_count * sizeof(int));
    }
    do
        sent = sendmsg(control, &what, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static bool receive_answer(struct spawner_answer *answer)
{
    ssize_t got;

    do
        got = recv(control, answer, sizeof *answer, 0);
    while (got < 0 && errno == EINTR);
    return got == sizeof *answer;
}

/* ---- orders ---- */

static void write_order(struct message *message, const struct spawn_order *order)
{
    struct spawner_request request = {
        .kind = SPAWNER_START,
        .argument_count = count_of(order->argv),
        .environment_count = count_of(order->environment),
        .umask = order->umask,
    };
    const char *folder = order->folder != NULL ? order->folder : "";

    add_bytes(message, &request, sizeof request);
    add_bytes(message, folder, strlen(folder) + 1);
    add_strings(message, order->argv);
    add_strings(message, order->environment);
    message->full |= request.argument_count + request.environment_count > SPAWNER_WORDS_MAX;
}

static int give_order(const struct spawn_order *order, const struct message *message, int leash,
                      struct error *err)
{
    int files[] = { order->files[0], order->files[1], order->files[2], leash };
    struct spawner_answer answer;
    int result = is_running(err);

    if (result < 0)
        return result;
    result = send_message(message, files, sizeof files / sizeof files[0]);
    if (result < 0 && result != -EPIPE && result != -ECONNRESET)
        return error_set(err, result, "'%s' can't be started: %s", order->argv[0],
                         strerror(-result));
    if (result < 0 || !receive_answer(&answer))
        return is_gone(err);
    if (answer.error != 0 && answer.in_folder)
        return error_set(err, -answer.error, "'%s' can't be started in '%s': %s", order->argv[0],
                         order->folder, strerror(answer.error));
    if (answer.error != 0)
        return error_set(err, -answer.error, "'%s' can't be started: %s", order->argv[0],
                         strerror(answer.error));
    return 0;
}

int spawner_start(int *leash, const struct spawn_order *order, struct error *err)
{
    static struct message message; /* under the mutex */
    int ends[2];

    if (rehearsal != NULL)
        return rehearsal(order, leash, err);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, -errno, "no socket to watch '%s': %s", order->argv[0],
                         strerror(errno));
    pthread_mutex_lock(&mutex);
    message.used_bytes = 0;
    message.full = false;
    write_order(&message, order);
    int result = message.full ? error_set(err, -E2BIG, "'%s' can't be started: %s", order->argv[0],
                                          strerror(E2BIG))
                              : give_order(order, &message, ends[1], err);
    pthread_mutex_unlock(&mutex);
    close(ends[1]);
    if (result < 0)
        close(ends[0]);
    else
        *leash = ends[0];
    return result;
}

static bool read_status(int leash, int *status)
{
    ssize_t got;

    do
        got = recv(leash, status, sizeof *status, 0);
    while (got < 0 && errno == EINTR);
    return got == sizeof *status;
}

int spawner_status(int leash, int *status, struct error *err)
{
    if (read_status(leash, status))
        return 0;
    return error_set(err, -EIO, "how it ended is not known: %s has ended before", SPAWNER_NAME);
}

void spawner_stop(int leash)
{
    int status;

    (void)shutdown(leash, SHUT_WR);
    (void)read_status(leash, &status);
    close(leash);
}

int spawner_watch(const char *mark, struct error *err)
{
    struct spawner_request request = { .kind = SPAWNER_WATCH };
    static struct message message; /* under the mutex */

    pthread_mutex_lock(&mutex);
    message.used_bytes = 0;
    add_bytes(&message, &request, sizeof request);
    add_bytes(&message, mark, strlen(mark) + 1);
    int result = is_running(err);
    if (result == 0 && send_message(&message, NULL, 0) < 0)
        result = is_gone(err);
    pthread_mutex_unlock(&mutex);
    return result;
}

/* ---- the end ---- */

/* It closes its end when all that it has started is gone. */
void spawner_end(void)
{
    char nothing;

    pthread_mutex_lock(&mutex);
    ended = true;
    if (control >= 0 && shutdown(control, SHUT_WR) == 0) {
        struct pollfd gone = { .fd = control, .events = POLLIN };

        while (poll(&gone, 1, END_MS) == 1 && recv(control, &nothing, 1, 0) > 0)
            continue;
    }
    pthread_mutex_unlock(&mutex);
}
