#include "server/report/report-threads.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/threads.h"
#include "server/report/proc-file.h"

#define ANSWER_MS 200u
#define TASKS_MAX 4096u
#define TASK "/proc/self/task/"

static pid_t number_of(const char *name)
{
    pid_t number = 0;

    for (; *name >= '0' && *name <= '9'; name++)
        number = number * 10 + (*name - '0');
    return number;
}

/* "71 (nbdcrypt-0) D 1 ...": the state stands behind the name, which may have anything in it. */
static void add_state(struct report_tree *tree, struct report_node *of, pid_t tid)
{
    char path[PROC_PATH_BYTES], text[1024];
    const char *end;

    proc_path(path, TASK, (uint64_t)tid, "/stat");
    (void)proc_read(text, sizeof text, path);
    end = strrchr(text, ')');
    if (end != NULL && end[1] == ' ')
        report_text_of(tree, of, "state", end + 2, 1);
    proc_path(path, TASK, (uint64_t)tid, "/wchan");
    if (proc_read(text, sizeof text, path) > 0 && strcmp(text, "0") != 0)
        report_text(tree, of, "wchan", text);
}

static void add_name(struct report_tree *tree, struct report_node *of, pid_t tid)
{
    char path[PROC_PATH_BYTES], text[64];

    proc_path(path, TASK, (uint64_t)tid, "/comm");
    if (proc_read(text, sizeof text, path) > 0)
        report_text(tree, of, "name", text);
}

/* What a return address belongs to is in front of it. */
static void add_frame(struct report_tree *tree, struct report_node *list,
                      const struct report_modules *modules, uint64_t address)
{
    const struct report_module *module = report_module_of(modules, address - 1);
    struct report_node *frame = report_object(tree, list, NULL);
    uint64_t within;

    report_address(tree, frame, "pc", address);
    if (module == NULL)
        return;
    report_text(tree, frame, "module", module->name);
    report_address(tree, frame, "offset", address - module->start);
    const char *function =
        module->is_program ? report_function_at(address - 1 - module->start, &within) : NULL;
    if (function == NULL)
        return;
    report_text(tree, frame, "function", function);
    report_address(tree, frame, "within", within + 1);
}

/* How long its turn lasts, of a worker. */
static void add_turn(struct report_tree *tree, struct report_node *of,
                     const struct report_look *look, pid_t tid)
{
    for (unsigned i = 0; look->board != NULL && i < board_workers(look->board); i++) {
        struct board_worker worker;

        board_read_worker(look->board, i, &worker);
        if (worker.tid != tid)
            continue;
        report_number(tree, of, "worker", i);
        report_number(tree, of, "turn_ms", board_worker_stall_ns(&worker, look->now_ns) / 1000000);
    }
}

static void add_stack(struct report_tree *tree, struct report_node *of,
                      const struct report_look *look, pid_t tid)
{
    struct thread_view view;
    size_t cursor = 0;

    while (threads_next(&cursor, &view) && view.tid != tid)
        continue;
    if (view.tid != tid) {
        report_text(tree, of, "stack", "not asked: it is not a thread of nbdcrypt's own");
        return;
    }
    if (view.call != NULL) {
        report_text(tree, of, "within", view.whose);
        report_text(tree, of, "call", view.call);
        if (!view.answered) {
            report_text(tree, of, "stack",
                        "not asked: it is within code that is not nbdcrypt's own");
            return;
        }
    }
    if (!view.answered) {
        report_text(tree, of, "stack", "did not answer the signal");
        return;
    }
    struct report_node *frames = report_list(tree, of, "frames");
    for (unsigned i = 0; i < view.frame_count; i++)
        add_frame(tree, frames, look->modules, (uint64_t)(uintptr_t)view.frames[i]);
}

static void collect(struct report_tree *tree, struct report_node *of,
                    const struct report_look *look)
{
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct report_node *list = report_list(tree, of, "threads");
    struct proc_folder folder;
    const char *name;

    if (fd < 0)
        return;
    threads_ask(ANSWER_MS);
    proc_folder_begin(&folder, fd);
    for (unsigned i = 0; i < TASKS_MAX && (name = proc_folder_next(&folder)) != NULL; i++) {
        struct report_node *thread = report_object(tree, list, NULL);
        pid_t tid = number_of(name);

        report_number(tree, thread, "tid", (uint64_t)tid);
        add_name(tree, thread, tid);
        add_state(tree, thread, tid);
        add_turn(tree, thread, look, tid);
        add_stack(tree, thread, look, tid);
    }
    close(fd);
}

const struct report_section report_threads_section = { "threads", REPORT_SAFE, collect };
