/* The real loop: io_uring as this machine has it. */
#include "server/loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/check.h"

static struct loop *loop;

static void open_loop(void)
{
    struct loop_config config = { .entries = 8, .file_slots = 2, .memory_slots = 1 };
    struct error err;

    if (loop_create(&loop, &config, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

struct expected {
    struct io_event event;
    struct loop_timer timer;
    int result;
    unsigned count;
};

static void event_fired(struct io_event *ev, int result)
{
    struct expected *expected = container_of(ev, struct expected, event);

    expected->result = result;
    expected->count++;
    loop_stop(loop);
}

static void timer_fired(struct io_event *ev, int result)
{
    struct expected *expected = container_of(ev, struct expected, timer.event);

    expected->result = result;
    expected->count++;
    loop_stop(loop);
}

/* ---- refusal ---- */

/* What a container's seccomp profile does. */
static void forbid_io_uring(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof filter[0], .filter = filter };

    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void refusal(void)
{
    static const int errors[] = { EPERM, ENOSYS };

    for (unsigned i = 0; i < 2; i++) {
        int status;
        pid_t child = fork();

        EXPECT(child >= 0);
        if (child == 0) {
            struct loop_config config = { .entries = 8 };
            struct error err;

            forbid_io_uring(errors[i]);
            EXPECT(loop_create(&loop, &config, &err) == -errors[i]);
            EXPECT(strstr(err.text, "kernel.io_uring_disabled") != NULL);
            EXPECT(strstr(err.text, "seccomp") != NULL);
            _exit(0);
        }
        EXPECT(waitpid(child, &status, 0) == child);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

/* ---- operations ---- */

static void files(void)
{
    char path[] = "/tmp/nbdcrypt-test-XXXXXX";
    uint8_t out[3] = { 1, 2, 3 }, in[3] = { 0 };
    struct loop_file registered[3]; /* one more than there are slots */

    open_loop();
    int fd = mkstemp(path);
    EXPECT(fd >= 0 && unlink(path) == 0);
    for (unsigned i = 0; i < 3; i++)
        loop_file_init(loop, &registered[i], i == 0 ? fd : dup(fd));
    for (unsigned i = 0; i < 3; i++) {
        struct expected write = { .event.fn = event_fired }, read = write, sync = write,
                        past = write;

        loop_write(loop, &write.event, &registered[i], NULL, out, 3, i * 3);
        loop_run(loop);
        EXPECT(write.result == 3);
        loop_read(loop, &read.event, &registered[2 - i], NULL, in, 3, i * 3);
        loop_run(loop);
        EXPECT(read.result == 3 && memcmp(in, out, 3) == 0);
        loop_fdatasync(loop, &sync.event, &registered[i], i, i * 3);
        loop_run(loop);
        EXPECT(sync.result == 0);
        loop_read(loop, &past.event, &registered[i], NULL, in, 3, 1 << 20);
        loop_run(loop);
        EXPECT(past.result == 0);
    }
    for (unsigned i = 0; i < 3; i++)
        loop_file_close(loop, &registered[i]);
    loop_destroy(loop);
}

static void failure_is_a_completion(void)
{
    struct loop_file file = { .fd = 9999, .slot = -1 };
    struct expected read = { .event.fn = event_fired };
    uint8_t byte;

    open_loop();
    loop_read(loop, &read.event, &file, NULL, &byte, 1, 0);
    loop_run(loop);
    EXPECT(read.count == 1 && read.result == -EBADF);
    loop_destroy(loop);
}

static void timers(void)
{
    struct expected soon = { .timer.event.fn = timer_fired }, late = soon;

    open_loop();
    loop_timer_start(loop, &late.timer, 3600 * 1000);
    loop_timer_start(loop, &soon.timer, 1);
    loop_run(loop);
    EXPECT(soon.count == 1 && soon.result == -ETIME && late.count == 0);
    loop_cancel(loop, &late.timer.event);
    loop_run(loop);
    EXPECT(late.count == 1 && late.result == -ECANCELED);
    loop_destroy(loop);
}

static void cancelled_poll(void)
{
    struct expected poll = { .event.fn = event_fired };
    int ends[2];

    open_loop();
    EXPECT(pipe(ends) == 0);
    loop_poll(loop, &poll.event, ends[0], POLLIN);
    loop_cancel(loop, &poll.event);
    loop_run(loop);
    EXPECT(poll.count == 1 && poll.result == -ECANCELED);
    close(ends[0]);
    close(ends[1]);
    loop_destroy(loop);
}

/* More operations than the submission queue has entries. */
static void full_queue(void)
{
    struct expected reads[100];
    struct loop_file zero;
    uint8_t bytes[100];
    unsigned done = 0;

    open_loop();
    loop_file_init(loop, &zero, open("/dev/zero", O_RDONLY | O_CLOEXEC));
    for (unsigned i = 0; i < 100; i++) {
        reads[i] = (struct expected){ .event.fn = event_fired };
        loop_read(loop, &reads[i].event, &zero, NULL, &bytes[i], 1, 0);
    }
    while (done < 100) {
        loop_run(loop);
        done = 0;
        for (unsigned i = 0; i < 100; i++)
            done += reads[i].count;
    }
    for (unsigned i = 0; i < 100; i++)
        EXPECT(reads[i].count == 1 && reads[i].result == 1);
    loop_file_close(loop, &zero);
    loop_destroy(loop);
}

/* ---- tasks ---- */

struct counter {
    struct loop_task task;
    unsigned runs, again;
};

static void count_run(struct loop_task *task)
{
    struct counter *counter = container_of(task, struct counter, task);

    counter->runs++;
    if (counter->again-- > 0)
        loop_defer(loop, task);
    else
        loop_stop(loop);
}

static void deferred_tasks(void)
{
    struct counter counter = { .task.fn = count_run, .again = 5 };

    open_loop();
    loop_defer(loop, &counter.task);
    loop_defer(loop, &counter.task); /* it is asked for already */
    struct expected timer = { .timer.event.fn = timer_fired };
    loop_timer_start(loop, &timer.timer, 1);
    loop_run(loop);
    EXPECT(counter.runs == 6);
    loop_destroy(loop);
}

/* ---- messages ---- */

#define SENDERS 4
#define MESSAGES 2000

struct sender {
    struct loop_message messages[MESSAGES];
    int next; /* what the loop has to see next from this one */
};

static struct sender senders[SENDERS];
static unsigned received;

static void message_came(struct io_event *ev, int result)
{
    struct sender *sender = &senders[result / MESSAGES];

    (void)ev;
    EXPECT(result % MESSAGES == sender->next);
    sender->next++;
    if (++received == SENDERS * MESSAGES)
        loop_stop(loop);
}

static void *send_messages(void *context)
{
    unsigned index = (unsigned)(uintptr_t)context;

    for (unsigned i = 0; i < MESSAGES; i++) {
        struct loop_message *message = &senders[index].messages[i];

        message->event.fn = message_came;
        message->result = (int)(index * MESSAGES + i);
        loop_post(loop, message);
    }
    return NULL;
}

static void messages_from_threads(void)
{
    pthread_t threads[SENDERS];

    open_loop();
    for (uintptr_t i = 0; i < SENDERS; i++)
        EXPECT(pthread_create(&threads[i], NULL, send_messages, (void *)i) == 0);
    loop_run(loop);
    for (unsigned i = 0; i < SENDERS; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    EXPECT(received == SENDERS * MESSAGES);
    loop_destroy(loop);
}

/* ---- a thousand messages at once are no reason that others wait ---- */

#define CROWD 1000u

static struct {
    struct loop_message messages[CROWD];
    unsigned delivered, delivered_before_task;
    struct loop_task task;
} crowd;

static void crowd_task(struct loop_task *task)
{
    (void)task;
    crowd.delivered_before_task = crowd.delivered;
}

static void crowd_delivered(struct io_event *ev, int result)
{
    (void)result;
    EXPECT(ev == &crowd.messages[crowd.delivered].event); /* in order */
    if (crowd.delivered++ == 0)
        loop_defer(loop, &crowd.task);
    if (crowd.delivered == CROWD)
        loop_stop(loop);
}

static void messages_in_batches(void)
{
    open_loop();
    crowd.task.fn = crowd_task;
    for (unsigned i = 0; i < CROWD; i++) {
        crowd.messages[i].event.fn = crowd_delivered;
        loop_post(loop, &crowd.messages[i]);
    }
    loop_run(loop);
    EXPECT(crowd.delivered == CROWD);
    EXPECT(crowd.delivered_before_task < CROWD / 2);
    loop_destroy(loop);
}

/* ---- seen from outside ---- */

struct held {
    struct loop_message message;
    struct loop_task after;
    sem_t begun, go_on;
    unsigned batches;
    uint64_t now_ns; /* as the loop says */
};

static struct loop_turns turns;
static struct held held;

static void hold(struct io_event *ev, int result)
{
    struct held *this = container_of(ev, struct held, message.event);

    (void)result;
    this->now_ns = loop_now_ns();
    sem_post(&this->begun);
    sem_wait(&this->go_on);
    loop_stop(loop);
}

static void count_batch(struct loop_task *task)
{
    container_of(task, struct held, after)->batches++;
}

static void *run_seen_loop(void *begun)
{
    struct loop_config config = { .entries = 8, .turns = &turns, .after = &held.after };
    struct error err;

    held.after.fn = count_batch;
    EXPECT(loop_create(&loop, &config, &err) == 0);
    sem_post(begun);
    loop_run(loop);
    return NULL;
}

static void wait_until_asleep(void)
{
    while (__atomic_load_n(&turns.asleep, __ATOMIC_ACQUIRE) == 0)
        sched_yield();
}

static void others_see_where_it_is(void)
{
    struct timespec now;
    pthread_t thread;

    sem_init(&held.begun, 0, 0);
    sem_init(&held.go_on, 0, 0);
    EXPECT(pthread_create(&thread, NULL, run_seen_loop, &held.begun) == 0);
    sem_wait(&held.begun);
    wait_until_asleep();
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t count = __atomic_load_n(&turns.count, __ATOMIC_RELAXED);
    uint64_t posted_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    EXPECT(__atomic_load_n(&turns.start_ns, __ATOMIC_RELAXED) <= posted_ns && count > 0);

    held.message.event.fn = hold;
    loop_post(loop, &held.message);
    sem_wait(&held.begun);
    EXPECT(__atomic_load_n(&turns.asleep, __ATOMIC_ACQUIRE) == 0);
    EXPECT(__atomic_load_n(&turns.count, __ATOMIC_RELAXED) > count);
    EXPECT(__atomic_load_n(&turns.start_ns, __ATOMIC_RELAXED) >= posted_ns);
    EXPECT(held.now_ns == turns.start_ns);
    sem_post(&held.go_on);
    pthread_join(thread, NULL);
    EXPECT(held.batches == turns.count);
    loop_destroy(loop);
}

static const struct check checks[] = {
    { "a thousand messages are delivered in order, and others have their turn between them",
      messages_in_batches },
    { "where io_uring is forbidden, the message says what to look at", refusal },
    { "files are read and written with and without a slot", files },
    { "a failure is a completion", failure_is_a_completion },
    { "timers fire, and end when they are cancelled", timers },
    { "a cancelled operation completes once", cancelled_poll },
    { "more operations than the queue has room for all complete", full_queue },
    { "a deferred task runs once for each batch that asks for it", deferred_tasks },
    { "messages of each thread arrive once, in order", messages_from_threads },
    { "others see whether it sleeps, and since when its batch lasts", others_see_where_it_is },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
