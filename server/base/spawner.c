#include "server/base/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/base/spawn.h"
#include "server/base/spawner-seal.h"
#include "server/base/spawner-wire.h"

#define END_MS 1000
#define KILL_MS 1000
#define MARK_BYTES_MAX 256u
/* Plugins want the low descriptors: dash redirects to those up to 9 only (see descriptors.h). */
#define SOCKET_FROM 32

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* One of them: our end of its socket (-1: it does not run), and its number (0: there is none, or it
 * has been waited for). */
struct beside {
    int control;
    pid_t process;
};
static struct beside active = { .control = -1 };
static struct beside standby = { .control = -1 }; /* takes the other's place when that is gone */
static unsigned answer_ms = SPAWNER_ANSWER_SECONDS * 1000;
static bool ended;
static char watched[MARK_BYTES_MAX]; /* the mark of spawner_watch(), for the next one, too */
static char remembered[SPAWNER_TEXT_BYTES_MAX]; /* of spawner_remember(), the same */
static int remembered_fd = -1;
static spawner_started_fn *tell_started;
static void *tell_context;
static atomic_bool none_left;
static bool only_twins; /* this process starts no other one: those that there are do */
static bool no_new_privileges;
static struct rlimit first_files;
static spawner_rehearsal_fn *rehearsal;

void spawner_rehearse(spawner_rehearsal_fn *fn)
{
    rehearsal = fn;
}

void spawner_expect_answers_within(unsigned ms)
{
    answer_ms = ms;
}

void spawner_tell_started(spawner_started_fn *fn, void *context)
{
    pthread_mutex_lock(&mutex);
    tell_started = fn;
    tell_context = context;
    if (fn != NULL && active.process > 0)
        fn(context, active.process);
    if (fn != NULL && standby.process > 0)
        fn(context, standby.process);
    pthread_mutex_unlock(&mutex);
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

/* One that hangs does not hold us up. */
static void limit_sending(int control)
{
    const struct timeval limit = { .tv_sec = answer_ms / 1000, .tv_usec = answer_ms % 1000 * 1000 };

    (void)setsockopt(control, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd file = { .fd = fd, .events = POLLIN };
    int count;

    do
        count = poll(&file, 1, timeout_ms);
    while (count < 0 && errno == EINTR);
    return count == 1;
}

/* `control` is ours from now on. */
static void adopt(struct beside *one, int control, pid_t process)
{
    *one = (struct beside){ .control = lift(control), .process = process };
    limit_sending(one->control);
    if (tell_started != NULL)
        tell_started(tell_context, process);
}

static int open_socket(int ends[2], struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0)
        return 0;
    return error_set(err, -errno, "no socket for %s: %s", SPAWNER_NAME, strerror(errno));
}

static int start_process(struct beside *one, struct error *err)
{
    char parent[16], files[24];
    char *argv[] = { (char *)(uintptr_t)SPAWNER_NAME, parent, files,
                     no_new_privileges ? (char *)(uintptr_t)SPAWNER_NO_NEW_PRIVILEGES : NULL,
                     NULL };
    int ends[2], nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    pid_t pid;

    if (nothing < 0)
        return error_set(err, -errno, "/dev/null can't be opened: %s", strerror(errno));
    int result = open_socket(ends, err);
    if (result < 0) {
        close(nothing);
        return result;
    }
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    snprintf(files, sizeof files, "%llu", (unsigned long long)first_files.rlim_cur);
    struct spawn_files standard = { { ends[1], nothing, nothing } };
    result = spawn_with(&pid, "/proc/self/exe", argv, environ, &standard, true, err);
    close(nothing);
    close(ends[1]);
    if (result == 0)
        adopt(one, ends[0], pid);
    else
        close(ends[0]);
    return result;
}

/* False: it lives. */
static bool reap(struct beside *one)
{
    if (one->process > 0 && waitpid(one->process, NULL, WNOHANG) == 0)
        return false;
    one->process = 0;
    return true;
}

/* What it has started would be left to nobody.  It hangs, so that they keep their numbers. */
static void kill_programs(pid_t process)
{
    char path[64], text[4096];

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)process, (int)process);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    for (char *at = text, *end; *at != '\0'; at = end + (*end == ' ')) {
        long pid = strtol(at, &end, 10);

        if (end == at)
            return;
        if (pid > 1)
            (void)kill((pid_t)-pid, SIGKILL);
    }
}

/* It does not answer, or has ended: the next order goes to another one. */
static void discard(struct beside *one)
{
    const struct timespec pause = { .tv_nsec = 1000000 };

    if (one->control >= 0)
        close(one->control);
    one->control = -1;
    if (!reap(one)) {
        kill_programs(one->process);
        (void)kill(one->process, SIGKILL);
    }
    for (unsigned i = 0; i < KILL_MS && !reap(one); i++)
        nanosleep(&pause, NULL);
}

static int is_running(struct error *err)
{
    if (ended)
        return error_set(err, -ESHUTDOWN, "this process is ending");
    if (active.control < 0 && standby.control >= 0) {
        active = standby;
        standby = (struct beside){ .control = -1 };
    }
    atomic_store(&none_left, active.control < 0 && only_twins);
    if (atomic_load(&none_left))
        return error_set(
            err, -EIO,
            "%s has ended, which starts programs, and the sandbox lets no other one be "
            "started: restart the server",
            SPAWNER_NAME);
    return active.control >= 0 ? 0 : start_process(&active, err);
}

int spawner_start_now(bool sandboxed, struct error *err)
{
    pthread_mutex_lock(&mutex);
    no_new_privileges = sandboxed;
    int result = is_running(err);
    if (result == 0 && sandboxed && standby.control < 0)
        result = start_process(&standby, err);
    only_twins = sandboxed && result == 0;
    pthread_mutex_unlock(&mutex);
    return result;
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

static int send_message(const struct beside *to, const struct message *message, const int *files,
                        size_t file_count)
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
        sent = sendmsg(to->control, &what, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* 0; -ETIMEDOUT; -EIO: it has ended; -ECONNRESET: before it took the order. */
static int receive_answer(const struct beside *from, struct spawner_answer *answer)
{
    ssize_t got;

    if (!is_readable(from->control, (int)answer_ms))
        return -ETIMEDOUT;
    do
        got = recv(from->control, answer, sizeof *answer, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == ECONNRESET)
        return -ECONNRESET;
    return got == sizeof *answer ? 0 : -EIO;
}

static int send_text(const struct beside *to, enum spawner_request_kind kind, const char *text,
                     const int *files, size_t file_count)
{
    static struct message message; /* under the mutex */
    struct spawner_request request = { .kind = kind };

    message.used_bytes = 0;
    add_bytes(&message, &request, sizeof request);
    add_bytes(&message, text, strlen(text) + 1);
    return send_message(to, &message, files, file_count);
}

static int send_what_lasts_to(const struct beside *to)
{
    int result = watched[0] != '\0' ? send_text(to, SPAWNER_WATCH, watched, NULL, 0) : 0;

    if (result == 0 && remembered_fd >= 0)
        result = send_text(to, SPAWNER_REMEMBER, remembered, &remembered_fd, 1);
    return result;
}

/* It may be a new one, which knows nothing yet. */
static int send_what_lasts(void)
{
    return send_what_lasts_to(&active);
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

/* One that has ended since the last time has not seen it: another one gets it.  There are two at
 * most; after both, is_running() tells whether there can be another one. */
static int send_to_one_that_lives(const struct message *message, const int *files,
                                  size_t file_count, struct error *err)
{
    int result = -EPIPE;

    for (unsigned tries = 0; tries < 3 && (result == -EPIPE || result == -ECONNRESET); tries++) {
        bool is_new = active.control < 0;

        result = is_running(err);
        if (result < 0)
            return result;
        result = is_new ? send_what_lasts() : 0;
        if (result == 0)
            result = send_message(&active, message, files, file_count);
        if (result < 0)
            discard(&active);
    }
    return result == 0
               ? 0
               : error_set(err, result, "%s, which starts programs, does not take an order: %s",
                           SPAWNER_NAME, strerror(-result));
}

/* Whether the program runs is not known, but nothing of it is ours any more. */
static int tell_gone(int code, const char *program, struct error *err)
{
    if (code == -ETIMEDOUT)
        return error_set(err, code,
                         "'%s' can't be started: %s, which starts programs, did not answer within "
                         "%d seconds, and was ended; the next program gets another one",
                         program, SPAWNER_NAME, SPAWNER_ANSWER_SECONDS);
    return error_set(err, code,
                     "'%s' can't be started: %s, which starts programs, has ended; the next "
                     "program gets another one",
                     program, SPAWNER_NAME);
}

static int give_order(const struct spawn_order *order, const struct message *message, int leash,
                      struct error *err)
{
    int files[] = { order->files[0], order->files[1], order->files[2], leash };
    struct spawner_answer answer;
    int result = -ECONNRESET;

    for (unsigned tries = 0; tries < 2 && result == -ECONNRESET; tries++) {
        result = send_to_one_that_lives(message, files, sizeof files / sizeof files[0], err);
        if (result < 0) {
            error_prefix(err, "'%s' can't be started: ", order->argv[0]);
            return result;
        }
        result = receive_answer(&active, &answer);
        if (result < 0)
            discard(&active);
    }
    if (result < 0)
        return tell_gone(result, order->argv[0], err);
    if (answer.error != 0 && answer.in_folder)
        return error_set(err, -answer.error, "'%s' can't be started in '%s': %s", order->argv[0],
                         order->folder, strerror(answer.error));
    if (answer.error != 0 && answer.sealed)
        return error_set(err, -answer.error,
                         "'%s' can't be started: the sandbox lets only those programs be started "
                         "that the options named when the server began; restart the server, or "
                         "name it by --sandbox-programs, too",
                         order->argv[0]);
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

/* One that hangs is ended with all that it has started: this is the only way to end that. */
void spawner_stop(int leash)
{
    int status;

    (void)shutdown(leash, SHUT_WR);
    if (is_readable(leash, (int)answer_ms)) {
        (void)read_status(leash, &status);
    } else {
        pthread_mutex_lock(&mutex);
        if (active.control >= 0)
            discard(&active);
        pthread_mutex_unlock(&mutex);
    }
    close(leash);
}

static int give_what_lasts(struct error *err)
{
    int result = is_running(err);

    if (result == 0 && send_what_lasts() < 0) {
        discard(&active);
        result = is_running(err);
        if (result == 0 && send_what_lasts() < 0)
            result = error_set(err, -EIO, "%s does not take an order", SPAWNER_NAME);
    }
    return result;
}

int spawner_watch(const char *mark, struct error *err)
{
    int result = strlen(mark) < sizeof watched ? 0 : error_set(err, -E2BIG, "a mark is too long");

    pthread_mutex_lock(&mutex);
    if (result == 0) {
        memcpy(watched, mark, strlen(mark) + 1);
        result = give_what_lasts(err);
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

int spawner_remember(int fd, const char *text, struct error *err)
{
    int result =
        strlen(text) < sizeof remembered ? 0 : error_set(err, -E2BIG, "last words are too long");

    pthread_mutex_lock(&mutex);
    if (result == 0) {
        memcpy(remembered, text, strlen(text) + 1);
        remembered_fd = fd;
        result = give_what_lasts(err);
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

/* It knows what lasts before: after this it believes nobody who tells it. */
static int seal(struct beside *one, int text, struct error *err)
{
    struct spawner_answer answer;

    int result = send_what_lasts_to(one);
    if (result == 0)
        result = send_text(one, SPAWNER_SEAL, "", &text, 1);
    if (result == 0)
        result = receive_answer(one, &answer);
    if (result == 0)
        result = -answer.error;
    return result == 0 ? 0
                       : error_set(err, result, "%s can't be bound to what it may start: %s",
                                   SPAWNER_NAME, strerror(-result));
}

int spawner_seal(const struct spawner_rule *rules, size_t count, char *const *environment,
                 struct error *err)
{
    int text, result = spawner_seal_make(&text, rules, count, environment, err);

    if (result < 0)
        return result;
    pthread_mutex_lock(&mutex);
    result = seal(&active, text, err);
    if (result == 0)
        result = seal(&standby, text, err);
    pthread_mutex_unlock(&mutex);
    if (result == 0) {
        result = -spawner_seal_take(text);
        if (result < 0)
            (void)error_no_memory(err, "for the programs that may be started");
    }
    close(text);
    return result;
}

bool spawner_may_start(char *const *argv)
{
    return !spawner_seal_is_on() || spawner_seal_allows(argv);
}

/* One that does not run will be who we are then. */
static int tell_user(struct beside *one, const struct user *user, struct error *err)
{
    struct spawner_request request = { .kind = SPAWNER_BECOME };
    static struct message message; /* under the mutex */
    struct spawner_answer answer;

    if (one->control < 0)
        return 0;
    message.used_bytes = 0;
    add_bytes(&message, &request, sizeof request);
    add_bytes(&message, user, sizeof *user);
    if (send_message(one, &message, NULL, 0) < 0 || receive_answer(one, &answer) < 0) {
        discard(one);
        return error_set(err, -EIO, "%s does not take an order", SPAWNER_NAME);
    }
    return answer.error == 0 ? 0
                             : error_set(err, -answer.error, "--user: %s can't become user %u: %s",
                                         SPAWNER_NAME, user->uid, strerror(answer.error));
}

int spawner_become(const struct user *user, struct error *err)
{
    pthread_mutex_lock(&mutex);
    int result = tell_user(&active, user, err);
    if (result == 0)
        result = tell_user(&standby, user, err);
    pthread_mutex_unlock(&mutex);
    return result;
}

/* ---- one that is gone ---- */

/* The one that lives makes another process like itself, which is a child of ours. */
static int make_twin(struct error *err)
{
    struct spawner_request request = { .kind = SPAWNER_TWIN };
    static struct message message; /* under the mutex */
    struct spawner_answer answer = { 0 };
    int ends[2], result = open_socket(ends, err);

    if (result < 0)
        return result;
    message.used_bytes = 0;
    add_bytes(&message, &request, sizeof request);
    result = send_message(&active, &message, &ends[1], 1);
    if (result == 0)
        result = receive_answer(&active, &answer);
    close(ends[1]);
    if (result == 0 && answer.error == 0) {
        adopt(&standby, ends[0], answer.process);
        return 0;
    }
    close(ends[0]);
    if (result < 0)
        discard(&active);
    else if (answer.process > 0)
        (void)waitpid(answer.process, NULL, 0); /* it has not become anything */
    return error_set(err, result < 0 ? result : -answer.error,
                     "%s can't start another one of its kind: %s", SPAWNER_NAME,
                     strerror(result < 0 ? -result : answer.error));
}

/* Has it ended?  Then it is waited for. */
static void bury(struct beside *one)
{
    if (one->process > 0 && reap(one))
        discard(one);
}

int spawner_restore(bool *as_needed, struct error *err)
{
    int result = 0;

    pthread_mutex_lock(&mutex);
    bury(&standby);
    bury(&active);
    *as_needed = !only_twins;
    for (unsigned tries = 0;
         tries < 2 && only_twins && !ended && (active.control < 0 || standby.control < 0);
         tries++) {
        bool is_new = active.control < 0;

        result = is_running(err);
        if (result == 0 && is_new && send_what_lasts() < 0)
            discard(&active);
        else if (result == 0)
            result = make_twin(err);
    }
    pthread_mutex_unlock(&mutex);
    return result;
}

bool spawner_is_gone(void)
{
    return atomic_load(&none_left);
}

/* ---- the end ---- */

/* It closes its end when all that it has started is gone. */
void spawner_end(void)
{
    struct timespec until;
    char nothing;

    clock_gettime(CLOCK_REALTIME, &until); /* as pthread_mutex_timedlock(3) has it */
    until.tv_sec += END_MS / 1000;
    /* Who has it may wait for one that hangs: that sees by itself that this process is gone. */
    if (pthread_mutex_timedlock(&mutex, &until) != 0)
        return;
    ended = true;
    if (standby.control >= 0)
        (void)shutdown(standby.control, SHUT_WR);
    if (active.control >= 0 && shutdown(active.control, SHUT_WR) == 0) {
        bool gone = false;

        while (!gone && is_readable(active.control, END_MS))
            gone = recv(active.control, &nothing, 1, 0) <= 0;
        if (!gone)
            discard(&active);
    }
    pthread_mutex_unlock(&mutex);
}
