#include "bench/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_START "\r\033[K" /* first column, and nothing right of it */

void progress_init(struct progress *progress)
{
    *progress = (struct progress){ .on = isatty(STDERR_FILENO) == 1 };
}

void progress_show(struct progress *progress, const char *format, ...)
{
    char line[200];
    va_list args;

    if (!progress->on)
        return;
    va_start(args, format);
    if (vsnprintf(line, sizeof line, format, args) < 0)
        line[0] = '\0';
    va_end(args);
    fprintf(stderr, LINE_START "%s", line);
    fflush(stderr);
    progress->shown = true;
}

void progress_clear(struct progress *progress)
{
    if (!progress->shown)
        return;
    fputs(LINE_START, stderr);
    fflush(stderr);
    progress->shown = false;
}
