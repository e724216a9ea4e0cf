/* The process beside: one thread, which waits for orders and for the ends of what it has started.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/base/descendants.h"
#include "server/base/spawn.h"
#include "server/base/spawner-wire.h"
#include "server/base/spawner.h"

#define CONTROL STDIN_FILENO
#define PROGRAMS_MAX 256u /* at a time */
#define MARK_BYTES_MAX 256u

struct program {
    pid_t pid;
    int pidfd, leash;
};

static struct program programs[PROGRAMS_MAX];
static size_t program_count;
static char mark[MARK_BYTES_MAX]; /* "": there is none */
static char **own_arguments;
static int home = -1; /* where the server works */
static spawner_last_words_fn *last_words;
static char last_text[SPAWNER_TEXT_BYTES_MAX];
static int last_fd = -1; /* -1: nothing is to be said */

void spawner_set_last_words(spawner_last_words_fn *fn)
{
    last_words = fn;
}

/* ---- what it has started ---- */

/* As long as it has not been waited for, its number is not another's. */
static void end_program(struct program *program, bool kill_it)
{
    int status = 0;

    if (kill_it)
        (void)kill(-program->pid, SIGKILL);
    while (waitpid(program->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    (void)send(program->leash, &status, sizeof status, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(program->pidfd);
    close(program->leash);
    *program = programs[--program_count];
}

static void end_all_programs(void)
{
    while (program_count > 0)
        end_program(&programs[program_count - 1], true);
}

/* ---- orders ---- */

struct order {
    struct spawner_request request;
    const char *folder;
    char *words[SPAWNER_WORDS_MAX + 2]; /* arguments, NULL, environment, NULL */
    int files[SPAWNER_FILES + 1];
    size_t file_count;
};

/* Of our own process alone; one that is not whole is none. */
static bool cut_words(struct order *order, char *text, const char *end)
{
    size_t count = (size_t)order->request.argument_count + order->request.environment_count;
    size_t used = 0;

    if (count > SPAWNER_WORDS_MAX || order->request.argument_count == 0 || text == end ||
        end[-1] != '\0')
        return false;
    order->folder = text;
    text += strlen(text) + 1;
    for (size_t i = 0; i < count; i++) {
        if (text == end)
            return false;
        if (i == order->request.argument_count)
            order->words[used++] = NULL;
        order->words[used++] = text;
        text += strlen(text) + 1;
    }
    if (order->request.environment_count == 0)
        order->words[used++] = NULL;
    order->words[used] = NULL;
    return text == end;
}

/* Its own umask and folder are those of the program that it has started last: it needs none. */
static int start(const struct order *order, struct spawner_answer *answer, pid_t *pid)
{
    struct spawn_files files = { { order->files[0], order->files[1], order->files[2] } };
    int moved = order->folder[0] != '\0' ? chdir(order->folder) : fchdir(home);
    if (moved < 0 && (home >= 0 || order->folder[0] != '\0')) {
        answer->in_folder = order->folder[0] != '\0';
        return errno;
    }
    umask((mode_t)order->request.umask);
    return -spawn_with(pid, order->words[0], order->words,
                       order->words + order->request.argument_count + 1, &files, true, NULL);
}

/* Watched from now on; an errno. */
static int watch(pid_t pid, int leash)
{
    int pidfd = pidfd_open(pid, 0), error = errno;

    if (pidfd >= 0) {
        programs[program_count++] = (struct program){ pid, pidfd, leash };
        return 0;
    }
    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return error;
}

static void obey(const struct order *order)
{
    struct spawner_answer answer = { .error = EAGAIN };
    size_t left = order->file_count;
    pid_t pid = 0;

    if (program_count < PROGRAMS_MAX && order->file_count == SPAWNER_FILES + 1)
        answer.error = start(order, &answer, &pid);
    if (pid > 0 && answer.error == 0)
        answer.error = watch(pid, order->files[SPAWNER_FILES]);
    if (answer.error == 0)
        left--; /* the leash stays */
    for (size_t i = 0; i < left; i++)
        close(order->files[i]);
    (void)send(CONTROL, &answer, sizeof answer, MSG_NOSIGNAL);
}

static void become(const char *bytes)
{
    struct spawner_answer answer = { 0 };
    struct user user;

    memcpy(&user, bytes, sizeof user);
    answer.error = -user_become(&user, NULL);
    (void)send(CONTROL, &answer, sizeof answer, MSG_NOSIGNAL);
}

static void twin(const struct order *order)
{
    struct spawner_answer answer = { .error = EINVAL };

    if (order->file_count == 1)
        answer.error =
            -spawn_sibling(&answer.process, own_arguments, environ, order->files[0], home);
    for (size_t i = 0; i < order->file_count; i++)
        close(order->files[i]);
    (void)send(CONTROL, &answer, sizeof answer, MSG_NOSIGNAL);
}

static void take_files(struct order *order, struct msghdr *message)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        order->file_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(order->files, CMSG_DATA(header), order->file_count * sizeof(int));
    }
}

/* False: the server has gone, or does not make sense.  `gone`: it has, and only what it wanted to
 * be ended with it still counts. */
static bool take_order(bool gone)
{
    static char bytes[SPAWNER_MESSAGE_BYTES_MAX];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE((SPAWNER_FILES + 1) * sizeof(int))];
    } extra;
    static struct order order;
    struct iovec data = { bytes, sizeof bytes };
    struct msghdr message = { .msg_iov = &data,
                              .msg_iovlen = 1,
                              .msg_control = extra.bytes,
                              .msg_controllen = sizeof extra.bytes };
    ssize_t got = recvmsg(CONTROL, &message, MSG_CMSG_CLOEXEC | (gone ? MSG_DONTWAIT : 0));

    if (got < 0 && errno == EINTR)
        return true;
    if (got < (ssize_t)sizeof order.request)
        return false;
    order = (struct order){ 0 };
    take_files(&order, &message);
    memcpy(&order.request, bytes, sizeof order.request);
    char *text = bytes + sizeof order.request, *end = bytes + got;
    if (order.request.kind == SPAWNER_WATCH && end[-1] == '\0' && strlen(text) < sizeof mark) {
        memcpy(mark, text, strlen(text) + 1);
        return true;
    }
    if (order.request.kind == SPAWNER_REMEMBER && end[-1] == '\0' &&
        strlen(text) < sizeof last_text && order.file_count == 1) {
        memcpy(last_text, text, strlen(text) + 1);
        if (last_fd >= 0)
            close(last_fd);
        last_fd = order.files[0];
        return true;
    }
    if (gone)
        return true;
    if (order.request.kind == SPAWNER_BECOME && end - text == sizeof(struct user)) {
        become(text);
        return true;
    }
    if (order.request.kind == SPAWNER_TWIN) {
        twin(&order);
        return true;
    }
    if (order.request.kind != SPAWNER_START || !cut_words(&order, text, end))
        return false;
    obey(&order);
    return true;
}

/* ---- its life ---- */

/* A plugin's child may have our socket's other end without knowing: so the server's end is noticed
 * in two ways. */
static void wait_and_serve(int parent)
{
    bool goes_on = true;

    while (goes_on) {
        struct pollfd files[2 + 2 * PROGRAMS_MAX] = { { .fd = parent, .events = POLLIN },
                                                      { .fd = CONTROL, .events = POLLIN } };
        size_t count = program_count;

        for (size_t i = 0; i < count; i++) {
            files[2 + 2 * i] = (struct pollfd){ .fd = programs[i].pidfd, .events = POLLIN };
            files[3 + 2 * i] = (struct pollfd){ .fd = programs[i].leash, .events = POLLIN };
        }
        if (poll(files, 2 + 2 * count, -1) < 0)
            continue;
        /* From the end: the last one takes the place of one that has ended. */
        for (size_t i = count; i-- > 0;)
            if (files[2 + 2 * i].revents != 0 || files[3 + 2 * i].revents != 0)
                end_program(&programs[i], files[2 + 2 * i].revents == 0);
        goes_on = files[0].revents == 0 && (files[1].revents == 0 || take_order(false));
    }
}

static void limit_files(const char *text)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = (rlim_t)strtoull(text, NULL, 10);
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* It has taken its leave, and may still have something to say. */
static void wait_for(int process)
{
    struct pollfd gone = { .fd = process, .events = POLLIN };

    while (process >= 0 && poll(&gone, 1, -1) < 0 && errno == EINTR)
        continue;
}

bool spawner_is_this(int argc, char **argv, int *status)
{
    static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1 };

    if (argc < 3 || strcmp(argv[0], SPAWNER_NAME) != 0)
        return false;
    own_arguments = argv;
    if (argc > 3 && strcmp(argv[3], SPAWNER_NO_NEW_PRIVILEGES) == 0 &&
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        exit(EXIT_FAILURE);
    (void)setpgid(0, 0);
    /* What is sent to a group or a terminal is meant for others: it ends when its parent does. */
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        (void)signal(ignored[i], SIG_IGN);
    limit_files(argv[2]);
    home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    (void)prctl(PR_SET_NAME, SPAWNER_NAME); /* its first 15 bytes */
    pid_t parent = (pid_t)strtol(argv[1], NULL, 10);
    int parent_ends = pidfd_open(parent, 0);
    if (parent_ends >= 0 && getppid() == parent)
        wait_and_serve(parent_ends);
    /* It may have ended before this process came to read what it had said. */
    while (take_order(true))
        continue;
    end_all_programs();
    close(CONTROL);
    if (last_fd >= 0 && last_words != NULL) {
        wait_for(parent_ends);
        last_words(last_fd, last_text);
    }
    if (mark[0] != '\0')
        descendants_end_marked(mark);
    *status = EXIT_SUCCESS;
    return true;
}
