#include "server/report/post-mortem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/spawner.h"
#include "server/report/report-maker.h"

/* Process, how many to keep, folder. */
#define WORDS "%d %u %s"
#define WORDS_BYTES (PATH_MAX + 32u)

int post_mortem_prepare(const struct report_files *files, const struct board *board,
                        struct error *err)
{
    char text[WORDS_BYTES], folder[PATH_MAX];

    if (files->directory[0] == '\0' || board_fd(board) < 0)
        return 0;
    /* It works elsewhere. */
    if (realpath(files->directory, folder) == NULL)
        return 0;
    (void)snprintf(text, sizeof text, WORDS, (int)getpid(), files->keep, folder);
    return spawner_remember(board_fd(board), text, err);
}

void post_mortem(int fd, const char *text)
{
    static const char reason[] = "the server has gone without a word: it was killed (SIGKILL), for "
                                 "want of memory perhaps, or could not write a report of its own";
    struct report_files files = { .keep = 0 };
    struct board *board = NULL;
    char *end;

    long pid = strtol(text, &end, 10);
    files.keep = (unsigned)strtoul(end, &end, 10);
    if (*end != ' ' || strlen(end + 1) >= sizeof files.directory)
        return;
    report_join(files.directory, sizeof files.directory, end + 1, NULL);
    /* Without it the report has little more than the reason. */
    if (board_open(&board, fd, NULL) < 0)
        board = NULL;
    if (board_take_report(fd))
        report_make_of(&(struct report_cause){ "killed", reason }, &files, board, (pid_t)pid);
    board_destroy(board);
}
