#include "server/serve/serve-guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/base/threads.h"
#include "server/board/board-owner.h"
#include "server/report/crash.h"
#include "server/report/guard.h"
#include "server/report/post-mortem.h"

/* Of what systemd sets aside, the first one: systemd.exec(5). */
static void put_directory(char out[PATH_MAX], const struct report_options *options)
{
    const char *state = getenv("STATE_DIRECTORY");

    out[0] = '\0';
    if (options->directory != NULL)
        report_join(out, PATH_MAX, options->directory, NULL);
    else if (state != NULL && *state == '/' && strcspn(state, ":") < PATH_MAX - 10)
        (void)snprintf(out, PATH_MAX, "%.*s/reports", (int)strcspn(state, ":"), state);
}

void serve_guard_prepare(const struct report_options *options)
{
    struct report_files files = { .keep = 0 };

    put_directory(files.directory, options);
    report_files_make_folder(&files);
    report_modules_start();
}

int serve_guard_start(const struct report_options *options, const struct board *board,
                      struct error *err)
{
    struct guard_settings settings = { .files.keep = options->keep,
                                       .stall_seconds = options->stall_seconds,
                                       .hung_seconds = options->hung_seconds,
                                       .board = board };

    put_directory(settings.files.directory, options);
    if (!report_files_are_writable(&settings.files))
        log_warning("reports can't be written to '%s': %m; they go to standard error (--report-"
                    "directory)",
                    settings.files.directory);
    threads_watch();
    thread_begin("nbdcrypt");
    crash_watch();
    int result = guard_start(&settings, err);
    return result < 0 ? result : post_mortem_prepare(&settings.files, board, err);
}

int serve_guard_watch(struct watchdog **watchdog, struct loop *loop,
                      struct worker_thread *const *workers, unsigned worker_count,
                      struct error *err)
{
    struct guard_thread *threads = calloc(worker_count + 1, sizeof *threads);

    if (threads == NULL)
        return error_no_memory(err, "to watch threads");
    for (unsigned i = 0; i < worker_count; i++) {
        threads[i].loop = workers[i]->worker.loop;
        (void)snprintf(threads[i].name, sizeof threads[i].name, "thread nbdcrypt-%u", i);
    }
    threads[worker_count] = (struct guard_thread){ loop, "the main thread" };
    int result = guard_watch(threads, worker_count + 1, err);
    free(threads);
    return result < 0 ? result : watchdog_start(watchdog, loop, workers, worker_count, err);
}

void serve_guard_unwatch(struct watchdog *watchdog, const struct board *board)
{
    if (board != NULL)
        board_say_end(board, BOARD_ENDS);
    guard_unwatch();
    watchdog_stop(watchdog);
}

void serve_guard_stop(void)
{
    guard_stop();
}
