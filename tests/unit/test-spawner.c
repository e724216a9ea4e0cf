/* Programs get what their order says and nothing else, and none outlives its order or this
 * process. */
#include "server/base/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"

#define THREADS 40u
#define PATIENCE_MS 60000

static struct error err;
static char said[65536]; /* on standard output */

static int nothing(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    EXPECT(fd >= 0);
    return fd;
}

/* The end of it that is read, of which the order has the other one. */
static int order_with_pipe(struct spawn_order *order)
{
    int ends[2];

    EXPECT(pipe2(ends, O_CLOEXEC) == 0);
    order->files[0] = order->files[2] = nothing();
    order->files[1] = ends[1];
    return ends[0];
}

static void close_files(const struct spawn_order *order)
{
    close(order->files[0]);
    close(order->files[1]);
}

/* To the end. */
static void read_all(int fd)
{
    size_t used = 0;
    ssize_t got;

    while ((got = read(fd, said + used, sizeof said - 1 - used)) > 0)
        used += (size_t)got;
    EXPECT(got == 0);
    said[used] = '\0';
    close(fd);
}

/* Runs it to the end: what it said is in `said`. */
static int run(struct spawn_order *order)
{
    int output = order_with_pipe(order), leash, status;

    EXPECT(spawner_start(&leash, order, &err) == 0);
    close_files(order);
    read_all(output);
    EXPECT(spawner_status(leash, &status, &err) == 0);
    close(leash);
    return status;
}

static int shell(const char *script)
{
    char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL }, *environment[] = { NULL };

    return run(&(struct spawn_order){ .argv = argv, .environment = environment, .umask = 022 });
}

/* ---- what they get ---- */

static void programs_get_what_is_said(void)
{
    char *argv[] = { "sh", "-c", "echo \"$#:$1:$2\"; pwd; umask; env", "name", "", "a b\n", NULL };
    char *environment[] = { "A=1", "B=two words", NULL };
    struct spawn_order order = {
        .argv = argv, .environment = environment, .folder = "/usr", .umask = 027
    };

    EXPECT(setenv("NOT_FOR_YOU", "secret", 1) == 0);
    EXPECT(run(&order) == 0);
    EXPECT(strncmp(said, "2::a b\n\n/usr\n0027\n", 18) == 0);
    EXPECT(strstr(said, "A=1\n") != NULL && strstr(said, "B=two words\n") != NULL);
    EXPECT(strstr(said, "NOT_FOR_YOU") == NULL);
}

static void they_work_where_we_do(void)
{
    char here[4096];

    EXPECT(getcwd(here, sizeof here) != NULL);
    EXPECT(shell("pwd -P") == 0);
    said[strcspn(said, "\n")] = '\0';
    EXPECT_TEXT(said, here);
}

static void no_other_file_is_open(void)
{
    int left = open("/dev/zero", O_RDONLY); /* without close-on-exec */

    EXPECT(left >= 0);
    EXPECT(shell("for fd in /proc/self/fd/*; do echo \"${fd##*/}\"; done") == 0);
    /* The fourth is the folder, which the shell reads. */
    EXPECT(strncmp(said, "0\n1\n2\n", 6) == 0 && strlen(said) <= 8);
    close(left);
}

static struct rlimit first_files;

/* As a server changes its own, before it starts anything. */
static void change_limits(void)
{
    struct rlimit changed;

    EXPECT(getrlimit(RLIMIT_NOFILE, &first_files) == 0);
    changed = first_files;
    changed.rlim_cur -= 7;
    EXPECT(setrlimit(RLIMIT_NOFILE, &changed) == 0);
}

static void limits_and_signals_are_those_of_the_start(void)
{
    char *at;
    sigset_t all;

    sigfillset(&all);
    EXPECT(signal(SIGUSR1, SIG_IGN) != SIG_ERR && sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    EXPECT(shell("ulimit -n; sed -n 's/^Sig\\(Blk\\|Ign\\)://p' /proc/self/status") == 0);
    EXPECT(strtoull(said, &at, 10) == first_files.rlim_cur);
    EXPECT(strtoull(at, &at, 16) == 0);
    EXPECT((strtoull(at, NULL, 16) & 0x7fffffff) == 0); /* above are those of the C library */
    EXPECT(sigprocmask(SIG_UNBLOCK, &all, NULL) == 0);
}

static void how_it_ended_is_told(void)
{
    int status = shell("exit 3");

    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    status = shell("kill -9 $$");
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- what fails ---- */

static int start(const char *program, const char *folder)
{
    char *argv[] = { (char *)(uintptr_t)program, NULL }, *environment[] = { NULL };
    struct spawn_order order = { .argv = argv, .environment = environment, .folder = folder };
    int output = order_with_pipe(&order), leash;
    int result = spawner_start(&leash, &order, &err);

    close_files(&order);
    close(output);
    if (result == 0)
        spawner_stop(leash);
    return result;
}

static void what_cannot_be_started_is_told(void)
{
    static char long_word[200000];

    EXPECT(start("/no/such/program", NULL) == -ENOENT);
    EXPECT_TEXT(err.text, "'/no/such/program' can't be started: No such file or directory");
    EXPECT(start("/etc/passwd", NULL) == -EACCES);
    EXPECT(start("true", "/no/such/folder") == -ENOENT);
    EXPECT_TEXT(err.text,
                "'true' can't be started in '/no/such/folder': No such file or directory");
    memset(long_word, 'x', sizeof long_word - 1);
    EXPECT(start(long_word, NULL) == -E2BIG);
    EXPECT(start("true", "/") == 0 && start("true", NULL) == 0);
}

/* ---- their end ---- */

/* A program and one that it has started, which has the pipe and leads no group of its own. */
static int start_two(int *leash)
{
    char *argv[] = { "sh", "-c", "sleep 1000 & echo $PPID $$; wait", NULL };
    char *environment[] = { NULL };
    struct spawn_order order = { .argv = argv, .environment = environment };
    int output = order_with_pipe(&order);

    EXPECT(spawner_start(leash, &order, &err) == 0);
    close_files(&order);
    EXPECT(read(output, said, sizeof said) > 0); /* both are there */
    return output;
}

static void who_takes_an_order_back_ends_its_group(void)
{
    int leash, output = start_two(&leash);

    spawner_stop(leash);
    read_all(output); /* nobody has it any more */
    output = start_two(&leash);
    close(leash);
    read_all(output);
}

static void signals_to_it_end_nothing(void)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
    char before[32];

    EXPECT(shell("echo $PPID") == 0);
    snprintf(before, sizeof before, "%.30s", said);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        EXPECT(kill((pid_t)strtol(before, NULL, 10), numbers[i]) == 0);
    EXPECT(shell("echo $PPID") == 0);
    EXPECT_TEXT(said, before);
    EXPECT(strtol(said, NULL, 10) != getpid());
}

static void after_it_was_killed_another_one_starts(void)
{
    int leash, status, output = start_two(&leash);
    char *end;
    pid_t spawner = (pid_t)strtol(said, &end, 10), program = (pid_t)strtol(end, NULL, 10);

    EXPECT(kill(spawner, SIGKILL) == 0);
    EXPECT(spawner_status(leash, &status, &err) == -EIO);
    EXPECT(kill(-program, SIGKILL) == 0); /* nobody watches it any more */
    close(leash);
    close(output);
    EXPECT(shell("echo again") == 0); /* nothing was lost: the order was not taken */
    EXPECT_TEXT(said, "again\n");
    EXPECT(kill(spawner, 0) < 0 && errno == ESRCH); /* it has been waited for */
}

/* True: nothing is left of it, or only what somebody else has to wait for. */
static bool is_gone(pid_t pid)
{
    char path[64], text[512] = "";

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    EXPECT(read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    const char *end = strrchr(text, ')');
    return end == NULL || end[2] == 'Z' || end[2] == 'X';
}

static void one_that_hangs_is_ended_with_what_it_started(void)
{
    int leash, output = start_two(&leash);
    char *end;
    pid_t spawner = (pid_t)strtol(said, &end, 10);

    EXPECT(kill(spawner, SIGSTOP) == 0);
    EXPECT(start("true", NULL) == -ETIMEDOUT);
    EXPECT(strstr(err.text, "did not answer") != NULL);
    read_all(output); /* of what it had started nobody is left */
    close(leash);
    EXPECT(kill(spawner, 0) < 0 && errno == ESRCH);
    EXPECT(shell("echo again") == 0);
    EXPECT_TEXT(said, "again\n");
}

static void an_order_is_taken_back_from_one_that_hangs(void)
{
    int leash, output = start_two(&leash);
    char *end;
    pid_t spawner = (pid_t)strtol(said, &end, 10), program = (pid_t)strtol(end, NULL, 10);

    EXPECT(kill(spawner, SIGSTOP) == 0);
    spawner_stop(leash);
    read_all(output);
    EXPECT(is_gone(spawner) && is_gone(program));
    EXPECT(shell("true") == 0);
}

static pid_t started;

static void was_started(void *context, pid_t process)
{
    EXPECT(context == &started);
    started = process;
}

static void who_watches_it_can_wait_for_it(void)
{
    spawner_tell_started(was_started, &started);
    pid_t first = started;
    EXPECT(first > 0 && kill(first, SIGKILL) == 0);
    for (int i = 0; i < PATIENCE_MS && kill(first, 0) == 0; i++) {
        bool as_needed = false;

        EXPECT(spawner_restore(&as_needed, &err) == 0 && as_needed);
        usleep(1000);
    }
    EXPECT(kill(first, 0) < 0 && errno == ESRCH);
    EXPECT(shell("true") == 0);
    EXPECT(started != first && kill(started, 0) == 0);
    spawner_tell_started(NULL, NULL);
}

/* In a process of its own, which ends in that way. */
static void programs_end_with_us(int signal_number)
{
    int ready[2], output, leash, status;

    EXPECT(pipe2(ready, O_CLOEXEC) == 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        char *argv[] = { "sh", "-c", "sleep 1000 & echo; wait", NULL }, *environment[] = { NULL };
        struct spawn_order order = { .argv = argv,
                                     .environment = environment,
                                     .files = { nothing(), ready[1], nothing() } };

        EXPECT(spawner_start(&leash, &order, &err) == 0);
        if (signal_number == 0) {
            EXPECT(read(ready[0], said, 1) == 1);
            spawner_end(); /* when it returns, they are gone */
            EXPECT(spawner_start(&leash, &order, &err) == -ESHUTDOWN);
            close(ready[1]);
            EXPECT(read(ready[0], said, 1) == 0);
            _exit(0);
        }
        pause();
    }
    close(ready[1]);
    output = ready[0];
    if (signal_number != 0) {
        EXPECT(read(output, said, 1) == 1);
        EXPECT(kill(child, signal_number) == 0);
        read_all(output);
    }
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT(signal_number != 0 ? WTERMSIG(status) == signal_number : status == 0);
}

static void programs_end_when_this_process_does(void)
{
    programs_end_with_us(0);
    programs_end_with_us(SIGTERM);
    programs_end_with_us(SIGKILL);
}

/* ---- one that stands by ---- */

static pid_t twins[8];
static size_t twin_count;

static void note_twin(void *context, pid_t process)
{
    (void)context;
    EXPECT(twin_count < sizeof twins / sizeof twins[0]);
    twins[twin_count++] = process;
}

/* What a restored one does; who is its parent, and that its programs gain nothing. */
static void check_one(pid_t parent)
{
    EXPECT(shell("sed -n 's/^NoNewPrivs:\t//p' /proc/self/status; "
                 "sed -n 's/^PPid:\t//p' /proc/$PPID/status; pwd -P") == 0);
    char *at, here[4096];
    EXPECT(strtol(said, &at, 10) == 1);
    EXPECT(strtol(at, &at, 10) == parent);
    EXPECT(getcwd(here, sizeof here) != NULL && strncmp(at + 1, here, strlen(here)) == 0);
}

/* At once: none of them may make a successor of the other. */
static void end_both(const pid_t alive[2])
{
    siginfo_t info;

    for (size_t i = 0; i < 2; i++) {
        EXPECT(kill(alive[i], SIGSTOP) == 0);
        EXPECT(waitid(P_PID, (id_t)alive[i], &info, WSTOPPED | WNOWAIT) == 0);
    }
    for (size_t i = 0; i < 2; i++) {
        EXPECT(kill(alive[i], SIGKILL) == 0);
        EXPECT(waitid(P_PID, (id_t)alive[i], &info, WEXITED | WNOWAIT) == 0);
    }
}

/* In a process of its own, which starts no other one from then on. */
static void two_of_them_replace_each_other(void)
{
    bool as_needed;
    int status;
    pid_t child = fork();

    EXPECT(child >= 0);
    if (child > 0) {
        EXPECT(waitpid(child, &status, 0) == child && status == 0);
        return;
    }
    spawner_tell_started(note_twin, NULL);
    EXPECT(spawner_start_now(true, &err) == 0 && twin_count == 2);
    pid_t alive[] = { twins[0], twins[1] };
    for (size_t i = 0; i < 4; i++) {
        pid_t victim = alive[i / 2]; /* the one that is asked, then the one that stands by */

        EXPECT(kill(victim, SIGKILL) == 0);
        while (kill(victim, 0) == 0) { /* until it has been waited for */
            EXPECT(spawner_restore(&as_needed, &err) == 0 && !as_needed);
            usleep(1000);
        }
        EXPECT(twin_count == 3 + i && !spawner_is_gone());
        alive[0] = alive[1 - i / 2];
        alive[1] = twins[twin_count - 1];
        check_one(getpid());
    }
    end_both(alive);
    EXPECT(start("true", NULL) == -EIO && spawner_is_gone());
    EXPECT(strstr(err.text, "restart the server") != NULL);
    EXPECT(spawner_restore(&as_needed, &err) == -EIO);
    _exit(0);
}

/* ---- many ---- */

static void *run_one(void *number)
{
    char script[32], *argv[] = { "sh", "-c", script, NULL }, *environment[] = { NULL };
    int file = nothing(), leash, status;
    struct spawn_order order = { .argv = argv,
                                 .environment = environment,
                                 .files = { file, file, file } };
    struct error why;

    snprintf(script, sizeof script, "exit %u", (unsigned)(uintptr_t)number);
    EXPECT(spawner_start(&leash, &order, &why) == 0);
    EXPECT(spawner_status(leash, &status, &why) == 0);
    EXPECT(WEXITSTATUS(status) == (int)(uintptr_t)number);
    close(leash);
    close(file);
    return NULL;
}

static void each_thread_gets_its_own(void)
{
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, run_one, (void *)i) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* ---- without any ---- */

static const char *rehearsed;

static int rehearse(const struct spawn_order *order, int *leash, struct error *why)
{
    *leash = nothing();
    rehearsed = order->argv[0];
    return error_set(why, -EXDEV, "only rehearsed");
}

static void a_rehearsal_starts_nothing(void)
{
    spawner_rehearse(rehearse);
    EXPECT(start("/no/such/program", NULL) == -EXDEV);
    EXPECT_TEXT(rehearsed, "/no/such/program");
    EXPECT_TEXT(err.text, "only rehearsed");
    spawner_rehearse(NULL);
}

static const struct check checks[] = {
    /* The first, for the processes that it forks start one of their own. */
    { "programs end when this process does", programs_end_when_this_process_does },
    { "two of them replace each other", two_of_them_replace_each_other },
    { "programs get the arguments, environment, folder and umask of their order",
      programs_get_what_is_said },
    { "they work where we do", they_work_where_we_do },
    { "no other file is open", no_other_file_is_open },
    { "limits are those of our start, and no signal is blocked or ignored",
      limits_and_signals_are_those_of_the_start },
    { "how it ended is told", how_it_ended_is_told },
    { "what cannot be started is told", what_cannot_be_started_is_told },
    { "who takes an order back ends its group", who_takes_an_order_back_ends_its_group },
    { "signals to the process beside end nothing", signals_to_it_end_nothing },
    { "after it was killed another one starts", after_it_was_killed_another_one_starts },
    { "one that hangs is ended, with what it started",
      one_that_hangs_is_ended_with_what_it_started },
    { "an order is taken back from one that hangs", an_order_is_taken_back_from_one_that_hangs },
    { "who watches it can wait for it", who_watches_it_can_wait_for_it },
    { "each thread gets its own", each_thread_gets_its_own },
    { "a rehearsal starts nothing", a_rehearsal_starts_nothing },
};

int main(int argc, char **argv)
{
    int status;

    if (spawner_is_this(argc, argv, &status))
        return status;
    spawner_note_limits();
    change_limits();
    spawner_expect_answers_within(3000);
    return CHECKS_RUN(checks, argc, argv);
}
