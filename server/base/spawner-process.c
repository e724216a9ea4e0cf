/* The process beside: one thread, which waits for orders and for the ends of what it has started.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
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
#include "server/base/spawner-seal.h"
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
static int last_fd = -1;   /* -1: nothing is to be said */
static int seal_fd = -1;   /* -1: all that it is asked for is started */
static int twin_ends = -1; /* readable when who made us, or whom we have made, has ended */

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
static int start(struct order *order, struct spawner_answer *answer, pid_t *pid)
{
    struct spawn_files files = { { order->files[0], order->files[1], order->files[2] } };
    char **environment = order->words + order->request.argument_count + 1;

    if (spawner_seal_is_on()) {
        answer->sealed = order->folder[0] != '\0' || !spawner_seal_allows(order->words);
        environment = spawner_seal_environment();
    }
    if (answer->sealed)
        return EPERM;
    int moved = order->folder[0] != '\0' ? chdir(order->folder) : fchdir(home);
    if (moved < 0 && (home >= 0 || order->folder[0] != '\0')) {
        answer->in_folder = order->folder[0] != '\0';
        return errno;
    }
    umask((mode_t)order->request.umask);
    return -spawn_with(pid, order->words[0], order->words, environment, &files, true, NULL);
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

static void obey(struct order *order)
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

/* Two are enough: who breaks into the server makes no more processes by us. */
static bool has_twin(void)
{
    struct pollfd file = { .fd = twin_ends, .events = POLLIN };

    return twin_ends >= 0 && poll(&file, 1, 0) == 0;
}

static void note_twin(pid_t process)
{
    if (twin_ends >= 0)
        close(twin_ends);
    twin_ends = pidfd_open(process, 0);
}

/* A successor knows what we know: from us, for the server may be in the hands of somebody. */
static int make_twin(pid_t *process, int input)
{
    char seal[12], last[12], maker[12];
    char *arguments[] = { own_arguments[0],
                          own_arguments[1],
                          own_arguments[2],
                          own_arguments[3],
                          seal_fd >= 0 ? (char *)(uintptr_t)SPAWNER_SEALED : NULL,
                          seal,
                          last,
                          last_text,
                          mark,
                          maker,
                          NULL };
    const struct spawn_sibling_files files = { .input = input,
                                               .folder = home,
                                               .kept = { seal_fd, last_fd } };

    snprintf(seal, sizeof seal, "%d", seal_fd);
    snprintf(last, sizeof last, "%d", last_fd);
    snprintf(maker, sizeof maker, "%d", (int)getpid());
    int result = spawn_sibling(process, arguments, environ, &files);
    if (result == 0)
        note_twin(*process);
    return result;
}

static void twin(const struct order *order)
{
    struct spawner_answer answer = { .error = EINVAL };

    if (order->file_count == 1 && has_twin())
        answer.error = EAGAIN;
    else if (order->file_count == 1)
        answer.error = -make_twin(&answer.process, order->files[0]);
    for (size_t i = 0; i < order->file_count; i++)
        close(order->files[i]);
    (void)send(CONTROL, &answer, sizeof answer, MSG_NOSIGNAL);
}

/* Who gives orders has no more to say than the text: neither he nor his like may look into us. */
static int seal(int fd)
{
    int error = own_arguments[3] != NULL ? spawner_seal_take(fd) : EINVAL;

    if (error == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        error = errno;
    if (error == 0)
        seal_fd = fd;
    return error;
}

static void take_seal(const struct order *order)
{
    struct spawner_answer answer = { .error = EINVAL };

    if (order->file_count == 1)
        answer.error = seal(order->files[0]);
    for (size_t i = answer.error == 0; i < order->file_count; i++)
        close(order->files[i]);
    (void)send(CONTROL, &answer, sizeof answer, MSG_NOSIGNAL);
}

/* What has its place already, or is not what we make ourselves, is nothing that we would have been
 * told of. */
static bool may_watch(const char *text)
{
    return !spawner_seal_is_on() || (mark[0] == '\0' && strncmp(text, DESCENDANTS_VARIABLE "=",
                                                                sizeof DESCENDANTS_VARIABLE) == 0);
}

static void take_mark(const char *text)
{
    if (may_watch(text))
        memcpy(mark, text, strlen(text) + 1);
}

static void take_last_words(const char *text, int fd)
{
    if (spawner_seal_is_on()) {
        close(fd);
        return;
    }
    memcpy(last_text, text, strlen(text) + 1);
    if (last_fd >= 0)
        close(last_fd);
    last_fd = fd;
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
        take_mark(text);
        return true;
    }
    if (order.request.kind == SPAWNER_REMEMBER && end[-1] == '\0' &&
        strlen(text) < sizeof last_text && order.file_count == 1) {
        take_last_words(text, order.files[0]);
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
    if (order.request.kind == SPAWNER_SEAL) {
        take_seal(&order);
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

/* What the one before us knew: the arguments behind SPAWNER_SEALED. */
static bool take_over(char *const *arguments)
{
    int fd = (int)strtol(arguments[0], NULL, 10);

    last_fd = (int)strtol(arguments[1], NULL, 10);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || seal(fd) != 0 ||
        (last_fd >= 0 && fcntl(last_fd, F_SETFD, FD_CLOEXEC) < 0))
        return false;
    snprintf(last_text, sizeof last_text, "%s", arguments[2]);
    snprintf(mark, sizeof mark, "%s", arguments[3]);
    note_twin((pid_t)strtol(arguments[4], NULL, 10));
    return true;
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
    if (argc > 4 && (argc != 10 || strcmp(argv[4], SPAWNER_SEALED) != 0 || !take_over(argv + 5)))
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
