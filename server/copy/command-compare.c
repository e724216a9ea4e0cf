/* nbdcrypt compare: see command-compare.h. */
#include "server/copy/command-compare.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "server/base/log.h"
#include "server/base/size-text.h"
#include "server/block/lock-params.h"
#include "server/copy/copy-end.h"
#include "server/copy/copy-run.h"
#include "server/loop/offload.h"

struct compare_arguments {
    struct copy_end_arguments ends[COPY_ENDS];
    uint64_t bandwidth_bytes;
    struct lock_terms terms;
    bool json;
    bool help;
};

#define FIELD(name) offsetof(struct compare_arguments, name)

static const struct param compare_params[] = {
    COPY_END_ROWS("source-", "from-format", struct compare_arguments, ends[COPY_SOURCE], "SOURCE"),
    COPY_END_ROWS("", "to-format", struct compare_arguments, ends[COPY_TARGET], "TARGET"),
    PARAM("bandwidth", SIZE, "BYTES", bandwidth_bytes,
          "read so much of each a second at most (default: as fast as they are)", .min = 4096),
    PARAM("json", FLAG, NULL, json, "print the progress and the result as lines of JSON"),
    LOCK_ROWS(struct compare_arguments, terms),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

static int check(void *context, char **operands, struct error *err)
{
    const struct compare_arguments *arguments = context;
    int result = copy_end_check(&arguments->ends[COPY_SOURCE], "--source-", err);

    (void)operands;
    if (result == 0)
        result = copy_end_check(&arguments->ends[COPY_TARGET], "--", err);
    if (result == 0 && key_source_is_stdin(&arguments->ends[COPY_SOURCE].key) &&
        key_source_is_stdin(&arguments->ends[COPY_TARGET].key))
        result = error_set(err, -EINVAL, "both keys can't be read from standard input");
    return result;
}

/* The longer one may end in zeros. */
static void tell_of_sizes(const struct copy_end ends[COPY_ENDS])
{
    uint64_t source = ends[COPY_SOURCE].ex.limits.size_bytes,
             target = ends[COPY_TARGET].ex.limits.size_bytes;

    if (source != target)
        log_warning("the sizes differ: '%s' has %s, '%s' has %s; what one of them has more is the "
                    "same if it reads as zeros",
                    ends[COPY_SOURCE].settings.image, size_text(source).text,
                    ends[COPY_TARGET].settings.image, size_text(target).text);
}

/* 1: they differ. */
static int tell(const struct copy_result *found, const struct compare_arguments *arguments,
                uint64_t size_bytes)
{
    bool same = found->difference_bytes == UINT64_MAX;

    if (arguments->json && same)
        printf("{\"event\":\"done\",\"command\":\"compare\",\"same\":true,\"size\":%" PRIu64 "}\n",
               size_bytes);
    else if (arguments->json)
        printf("{\"event\":\"done\",\"command\":\"compare\",\"same\":false,\"size\":%" PRIu64
               ",\"first-difference\":%" PRIu64 "}\n",
               size_bytes, found->difference_bytes);
    else if (same)
        printf("They are the same.\n");
    else
        printf("They differ at byte %" PRIu64 ".\n", found->difference_bytes);
    return same ? 0 : 1;
}

static int compare(const struct compare_arguments *arguments, const struct copy_end ends[COPY_ENDS],
                   struct error *err)
{
    const struct copy_end *source = &ends[COPY_SOURCE], *target = &ends[COPY_TARGET];
    uint64_t size_bytes = source->ex.limits.size_bytes > target->ex.limits.size_bytes
                              ? source->ex.limits.size_bytes
                              : target->ex.limits.size_bytes;
    struct copy_progress progress;
    struct copy_job job = {
        .terms = { .compare = true, .ends = { source->ex.top, target->ex.top } },
        .names = { source->settings.image, target->settings.image },
        .end_bytes = size_bytes,
        .bandwidth_bytes = arguments->bandwidth_bytes,
        .progress = &progress,
    };
    struct copy_result found;

    tell_of_sizes(ends);
    copy_run_watch_signals();
    copy_progress_begin(&progress, "compare", arguments->json, size_bytes, 0);
    int result = copy_run(&found, &job, err);
    copy_progress_end(&progress);
    if (result < 0)
        return result;
    if (found.interrupted)
        return error_set(err, -EINTR, "interrupted: the first %" PRIu64 " bytes are the same",
                         found.low_bytes);
    return tell(&found, arguments, size_bytes);
}

static int run(void *context, char **operands, struct error *err)
{
    const struct compare_arguments *arguments = context;
    struct copy_end ends[COPY_ENDS] = { { .is_open = false } };
    struct copy_end_wish wish = { .read_only = true, .terms = arguments->terms };
    int result = copy_end_offload(&wish.offload, err);

    for (unsigned end = 0; end < COPY_ENDS && result == 0; end++) {
        wish.option_prefix = end == COPY_SOURCE ? "source-" : NULL;
        wish.spec = operands[end];
        result = copy_end_open(&ends[end], &arguments->ends[end], &wish, err);
    }
    if (result == 0)
        result = compare(arguments, ends, err);
    copy_end_close(&ends[COPY_SOURCE]);
    copy_end_close(&ends[COPY_TARGET]);
    offload_destroy(wish.offload);
    return result;
}

const struct command command_compare = {
    .name = "compare",
    .help = "compare the disks in two images",
    .about = "Compares the disks in two images, of any kind, encrypted or not.  What both\n"
             "know to be zeros is not read.  The exit status is 0 when they are the same,\n"
             "1 when they differ, and 2 when that can't be told.",
    .operands = "SOURCE TARGET",
    .params = compare_params,
    .arguments_bytes = sizeof(struct compare_arguments),
    .check = check,
    .run = run,
    .trouble = EXIT_USAGE,
};
