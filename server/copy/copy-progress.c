#include "server/copy/copy-progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "server/base/log.h"

#define ERASE_LINE "\r\033[K" /* first column, and nothing right of it (ECMA-48 EL) */
#define NS_A_SECOND UINT64_C(1000000000)

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_A_SECOND + (uint64_t)now.tv_nsec;
}

void copy_progress_begin(struct copy_progress *progress, const char *what, bool json,
                         uint64_t size_bytes, uint64_t start_bytes)
{
    uint64_t now = now_ns();

    *progress = (struct copy_progress){ .what = what,
                                        .json = json,
                                        .size_bytes = size_bytes,
                                        .start_bytes = start_bytes,
                                        .start_ns = now,
                                        .told_ns = now,
                                        .rate_done_bytes = start_bytes,
                                        .rate_ns = now };
}

/* Half of it is what the last second was like, so that it follows, but does not jump. */
static void measure(struct copy_progress *progress, uint64_t done_bytes, uint64_t now)
{
    double seconds = (double)(now - progress->rate_ns) / (double)NS_A_SECOND;
    uint64_t last;

    if (seconds < 0.5 || done_bytes < progress->rate_done_bytes)
        return;
    last = (uint64_t)((double)(done_bytes - progress->rate_done_bytes) / seconds);
    progress->rate_bytes = progress->rate_bytes == 0 ? last : (progress->rate_bytes / 2 + last / 2);
    progress->rate_done_bytes = done_bytes;
    progress->rate_ns = now;
}

static void print_json(const struct copy_progress *progress, uint64_t done_bytes, uint64_t now)
{
    printf("{\"event\":\"progress\",\"command\":\"%s\",\"done\":%" PRIu64 ",\"size\":%" PRIu64
           ",\"seconds\":%.1f",
           progress->what, done_bytes, progress->size_bytes,
           (double)(now - progress->start_ns) / (double)NS_A_SECOND);
    if (progress->rate_bytes > 0)
        printf(",\"rate\":%" PRIu64 ",\"seconds-left\":%" PRIu64, progress->rate_bytes,
               (progress->size_bytes - done_bytes) / progress->rate_bytes);
    printf("}\n");
    (void)fflush(stdout);
}

static void print_line(struct copy_progress *progress, uint64_t done_bytes)
{
    uint64_t left =
        progress->rate_bytes > 0 ? (progress->size_bytes - done_bytes) / progress->rate_bytes : 0;
    double percent = progress->size_bytes > 0
                         ? 100.0 * (double)done_bytes / (double)progress->size_bytes
                         : 100.0;

    (void)fprintf(stderr, ERASE_LINE "%s: %5.1f %% of %" PRIu64 " MiB", progress->what, percent,
                  progress->size_bytes >> 20);
    if (progress->rate_bytes > 0)
        (void)fprintf(stderr, ", %" PRIu64 " MiB/s, %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left",
                      progress->rate_bytes >> 20, left / 3600, left / 60 % 60, left % 60);
    (void)fflush(stderr);
    if (!progress->shown)
        log_set_line_start(ERASE_LINE);
    progress->shown = true;
}

void copy_progress_tell(struct copy_progress *progress, uint64_t done_bytes, bool fresh)
{
    uint64_t now = now_ns();

    if (!fresh && now - progress->told_ns < NS_A_SECOND)
        return;
    progress->told_ns = now;
    measure(progress, done_bytes, now);
    if (progress->json)
        print_json(progress, done_bytes, now);
    else if (isatty(STDERR_FILENO))
        print_line(progress, done_bytes);
}

void copy_progress_end(struct copy_progress *progress)
{
    if (!progress->shown)
        return;
    (void)fputs(ERASE_LINE, stderr);
    (void)fflush(stderr);
    log_set_line_start("");
    progress->shown = false;
}
