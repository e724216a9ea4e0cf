#include "server/report/report-maker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/base/threads.h"
#include "server/board/board-owner.h"
#include "server/report/report-board.h"
#include "server/report/report-process.h"
#include "server/report/report-threads.h"
#include "server/report/report-view.h"

#define TREE_BYTES (8u << 20)
#define SECOND_TIER_MS 2000u
#define REASON_BYTES 512u

/* The second tier's thread does one thing after the other. */
enum helper_state { IDLE, ASKED, DONE };
enum helper_work { COLLECT, TELL, END };

static struct {
    bool started;
    const struct report_files *files;
    const struct board *board;
    struct report_tree tree, second, last; /* `last`: for the handler of a signal */
    struct report_modules modules;

    pthread_t helper;
    sem_t asked, done;
    atomic_int state;
    enum helper_work work;
    struct report_look look;
    char told_kind[32], told_reason[REASON_BYTES], told_path[REPORT_PATH_BYTES];
} maker;

static void register_own(void)
{
    report_register(&report_package_section);
    report_register(&report_process_section);
    report_register(&report_threads_section);
    report_register(&report_workers_section);
    report_register(&report_requests_section);
    report_register(&report_clients_section);
    report_register(&report_figures_section);
    report_register(&report_rings_section);
    report_register(&report_memory_section);
    report_register(&report_cgroup_section);
    report_register(&report_messages_section);
}

/* ---- the second tier ---- */

/* One that is told by others was asked for. */
static void count(const char *kind)
{
    static const struct {
        const char *kind;
        enum tally tally;
    } kinds[] = { { "stall", TALLY_REPORTS_STALL },
                  { "hung", TALLY_REPORTS_HUNG },
                  { "unexpected", TALLY_REPORTS_UNEXPECTED } };
    enum tally tally = TALLY_REPORTS_ASKED;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].kind, kind) == 0)
            tally = kinds[i].tally;
    tally_add(tally);
}

static void tell(void)
{
    if (maker.told_path[0] != '\0')
        log_write_about(
            LOG_WARNING, LOG_ABOUT(.id = LOG_ID_REPORT_WRITTEN, .report = maker.told_path),
            "report (%s): %s; it is in '%s'", maker.told_kind, maker.told_reason, maker.told_path);
    else
        log_write_about(LOG_WARNING, LOG_ABOUT(.id = LOG_ID_REPORT_WRITTEN),
                        "report (%s): %s; it stands above", maker.told_kind, maker.told_reason);
    EVENT(.type = "report.written", .reason = maker.told_reason);
    count(maker.told_kind);
    report_files_forget(maker.files);
}

static void *help(void *unused)
{
    (void)unused;
    thread_begin("nbdcrypt-report");
    while (true) {
        while (sem_wait(&maker.asked) != 0)
            continue;
        if (maker.work == END)
            return NULL;
        if (maker.work == TELL)
            tell();
        else
            report_collect(&maker.second, NULL, &maker.look, 0, REPORT_SAFE);
        atomic_store(&maker.state, DONE);
        sem_post(&maker.done);
    }
}

/* False: it still hangs in what it was asked before. */
static bool give(enum helper_work work)
{
    if (atomic_load(&maker.state) == ASKED)
        return false;
    maker.work = work;
    while (sem_trywait(&maker.done) == 0)
        continue;
    atomic_store(&maker.state, ASKED);
    sem_post(&maker.asked);
    return true;
}

static bool wait_for_helper(void)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SECOND_TIER_MS / 1000;
    while (atomic_load(&maker.state) != DONE)
        if (sem_clockwait(&maker.done, CLOCK_MONOTONIC, &until) != 0 && errno != EINTR)
            return false;
    return true;
}

/* ---- one report ---- */

static void collect(const struct report_cause *cause)
{
    report_modules_read(&maker.modules);
    maker.look = (struct report_look){
        .board = maker.board, .now_ns = board_now_ns(), .pid = getpid(), .modules = &maker.modules
    };
    report_collect(&maker.tree, cause, &maker.look, REPORT_SAFE, 0);
    if (give(COLLECT) && wait_for_helper())
        return;
    report_text(&maker.tree, &maker.tree.root, "missing",
                "what needs locks or memory (exports, configuration, what plugins tell): it hangs");
}

static size_t trees(const struct report_tree *out[2])
{
    out[0] = &maker.tree;
    out[1] = &maker.second;
    return atomic_load(&maker.state) == DONE ? 2 : 1;
}

int report_make_for(const struct report_cause *cause, char *text, size_t room_bytes, bool json)
{
    const struct report_tree *all[2];
    struct report_out out = { .memory = text, .room_bytes = room_bytes };

    collect(cause);
    size_t count = trees(all);
    (json ? report_write_json : report_write_text)(&out, all, count);
    return report_out_end(&out);
}

void report_make(const struct report_cause *cause)
{
    const struct report_tree *all[2];
    char path[REPORT_PATH_BYTES];

    collect(cause);
    size_t count = trees(all);
    report_files_write(maker.files, cause->kind, getpid(), all, count, path);
    if (count < 2) /* who would tell hangs */
        return;
    report_join(maker.told_kind, sizeof maker.told_kind, cause->kind, NULL);
    report_join(maker.told_reason, sizeof maker.told_reason, cause->reason, NULL);
    report_join(maker.told_path, sizeof maker.told_path, path, NULL);
    if (give(TELL))
        (void)wait_for_helper();
}

bool report_make_at_end(const struct report_cause *cause)
{
    const struct report_tree *all[] = { &maker.last };
    struct report_look look = {
        .board = maker.board, .now_ns = board_now_ns(), .pid = getpid(), .modules = &maker.modules
    };
    char path[REPORT_PATH_BYTES];

    if (!maker.started)
        return false;
    report_modules_read(&maker.modules);
    report_collect(&maker.last, cause, &look, REPORT_SAFE, 0);
    report_files_write(maker.files, cause->kind, getpid(), all, 1, path);
    board_say_end(maker.board, BOARD_CRASHED);
    return true;
}

void report_make_of(const struct report_cause *cause, const struct report_files *files,
                    const struct board *board, pid_t pid)
{
    const struct report_tree *all[] = { &maker.last };
    struct report_look look = { .board = board, .now_ns = board_now_ns(), .pid = pid };
    char path[REPORT_PATH_BYTES];

    if (report_tree_create(&maker.last, TREE_BYTES, NULL) < 0)
        return;
    report_modules_start();
    register_own();
    report_collect(&maker.last, cause, &look, REPORT_SAFE | REPORT_BOARD, 0);
    report_files_write(files, cause->kind, pid, all, 1, path);
    report_files_forget(files);
}

/* ---- start and end ---- */

int report_maker_start(const struct report_files *files, const struct board *board,
                       struct error *err)
{
    int result = report_tree_create(&maker.tree, TREE_BYTES, err);

    if (result == 0)
        result = report_tree_create(&maker.second, TREE_BYTES, err);
    if (result == 0)
        result = report_tree_create(&maker.last, TREE_BYTES, err);
    if (result < 0)
        return result;
    maker.files = files;
    maker.board = board;
    atomic_store(&maker.state, IDLE);
    sem_init(&maker.asked, 0, 0);
    sem_init(&maker.done, 0, 0);
    report_modules_start();
    register_own();
    result = -pthread_create(&maker.helper, NULL, help, NULL);
    if (result < 0)
        return error_set(err, result, "a thread for reports could not be started: %s",
                         strerror(-result));
    maker.started = true;
    return 0;
}

void report_maker_stop(void)
{
    if (!maker.started)
        return;
    maker.started = false;
    if (give(END))
        pthread_join(maker.helper, NULL);
}
