/* nbdcrypt convert: see command-convert.h.
 *
 *     open the source -> open or make the target, which says that it is not whole
 *         -> copy all but the start, with checkpoints -> is the source as it was?
 *         -> copy the start -> verify -> the target is whole
 *
 * A flush is in front of each step that says something of those before it. */
#include "server/copy/command-convert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/base/log.h"
#include "server/base/size-text.h"
#include "server/block/image.h"
#include "server/block/lock-params.h"
#include "server/copy/convert-record.h"
#include "server/copy/convert-source.h"
#include "server/copy/convert-target.h"
#include "server/copy/copy-run.h"
#include "server/loop/offload.h"

struct convert_arguments {
    struct copy_end_arguments source, target;
    struct new_volume volume;
    uint64_t bandwidth_bytes;
    struct lock_terms terms;
    bool existing;
    bool overwrite;
    bool verify;
    bool json;
    bool help;
};

#define FIELD(name) offsetof(struct convert_arguments, name)

static const struct param convert_params[] = {
    COPY_END_ROWS("source-", "from-format", struct convert_arguments, source, "SOURCE"),
    PARAM("to-format", STRING, "FORMAT", target.format,
          "what TARGET is to be: luks or raw, which is not encrypted (default: luks)",
          .choices = "raw|luks"),
    COPY_END_KEY_ROWS("", struct convert_arguments, target, "TARGET"),
    PARAM("existing", FLAG, NULL, existing,
          "TARGET is a LUKS volume: its keys stay, and its data is replaced",
          .never_proposed = true),
    PARAM("overwrite", FLAG, NULL, overwrite, "make TARGET anew, whatever is there",
          .never_proposed = true),
    PARAM("verify", FLAG, NULL, verify, "read both ends again at the end, and compare"),
    PARAM("bandwidth", SIZE, "BYTES", bandwidth_bytes,
          "move so much a second at most (default: as fast as it goes)", .min = 4096),
    PARAM("json", FLAG, NULL, json, "print the progress and the result as lines of JSON"),
    NEW_VOLUME_ROWS(struct convert_arguments, volume.arguments),
    NEW_VOLUME_PBKDF_ROWS(struct convert_arguments, volume.arguments),
    LOCK_ROWS(struct convert_arguments, terms),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

struct conversion {
    const struct convert_arguments *arguments;
    struct copy_end source;
    struct convert_target target;
    struct convert_stamp stamp; /* of the source, at the start */
    uint64_t size_bytes;
    struct copy_progress progress;
};

/* ---- steps ---- */

/* At its end the record goes soon. */
static int checkpoint(void *context, uint64_t done_bytes, struct error *err)
{
    struct conversion *conversion = context;
    struct luks_conversion *record = &conversion->target.conversion;
    bool ends = done_bytes == conversion->size_bytes && !conversion->arguments->verify;

    if (done_bytes <= record->done_bytes || ends)
        return 0;
    record->done_bytes = done_bytes;
    return convert_record(&conversion->target.end, record, err);
}

static struct copy_job job_of(struct conversion *conversion)
{
    const struct copy_end *source = &conversion->source, *target = &conversion->target.end;

    return (struct copy_job){
        .terms = { .zeros = convert_target_zeros(&conversion->target),
                   .ends = { source->ex.top, target->ex.top } },
        .names = { source->settings.image, target->settings.image },
        .end_bytes = conversion->size_bytes,
        .bandwidth_bytes = conversion->arguments->bandwidth_bytes,
        .progress = &conversion->progress,
        .context = conversion,
    };
}

static uint64_t head_bytes(const struct conversion *conversion)
{
    return conversion->size_bytes < CONVERT_HEAD_BYTES ? conversion->size_bytes
                                                       : CONVERT_HEAD_BYTES;
}

static int interrupted(uint64_t done_bytes, struct error *err)
{
    return error_set(err, -EINTR, "interrupted, with %" PRIu64 " bytes done", done_bytes);
}

static int run_job(const struct copy_job *job, struct copy_result *result, struct error *err)
{
    int code = copy_run(result, job, err);

    return code == 0 && result->interrupted ? interrupted(result->low_bytes, err) : code;
}

static int copy_body(struct conversion *conversion, struct error *err)
{
    struct copy_job job = job_of(conversion);
    uint64_t done_bytes = conversion->target.conversion.done_bytes;
    struct copy_result result;

    job.start_bytes = done_bytes > head_bytes(conversion) ? done_bytes : head_bytes(conversion);
    if (conversion->target.has_record)
        job.checkpoint = checkpoint;
    copy_progress_begin(&conversion->progress, "convert", conversion->arguments->json,
                        conversion->size_bytes, job.start_bytes);
    int code = run_job(&job, &result, err);
    copy_progress_end(&conversion->progress);
    return code;
}

static int copy_head(struct conversion *conversion, struct error *err)
{
    struct copy_job job = job_of(conversion);
    struct copy_result result;

    job.end_bytes = head_bytes(conversion);
    job.bandwidth_bytes = 0;
    job.progress = NULL;
    return run_job(&job, &result, err);
}

static int verify(struct conversion *conversion, struct error *err)
{
    struct copy_job job = job_of(conversion);
    struct copy_result result;

    if (!conversion->arguments->verify)
        return 0;
    job.terms.compare = true;
    copy_progress_begin(&conversion->progress, "verify", conversion->arguments->json,
                        conversion->size_bytes, 0);
    int code = run_job(&job, &result, err);
    copy_progress_end(&conversion->progress);
    if (code == 0 && result.difference_bytes != UINT64_MAX)
        code = error_set(err, -EIO,
                         "'%s' does not read back what was written: they differ at byte "
                         "%" PRIu64,
                         job.names[COPY_TARGET], result.difference_bytes);
    return code;
}

/* Of a file: who takes no notice of locks may have written it. */
static int check_source(const struct conversion *conversion, struct error *err)
{
    const char *spec = conversion->source.settings.image;
    struct convert_stamp now = convert_source_stamp(spec);

    if (convert_stamps_equal(&now, &conversion->stamp))
        return 0;
    return error_set(
        err, -ESTALE,
        "'%s' was changed while it was copied, so that the copy is neither what it was "
        "nor what it is: --overwrite begins anew",
        spec);
}

static int finish(struct conversion *conversion, struct error *err)
{
    struct convert_target *target = &conversion->target;
    int result = copy_head(conversion, err);

    if (result == 0)
        result = verify(conversion, err);
    if (result == 0)
        result = check_source(conversion, err);
    if (result == 0 && target->has_record)
        return convert_record(&target->end, NULL, err);
    if (result < 0 && !target->has_record && convert_target_clear_head(target, NULL) < 0)
        log_warning("'%s' looks like a whole disk, but is not: its start can't be emptied",
                    target->end.settings.image);
    return result;
}

static int copy(struct conversion *conversion, struct error *err)
{
    struct convert_target *target = &conversion->target;
    int result = 0;

    conversion->size_bytes = conversion->source.ex.limits.size_bytes;
    image_warn_if_volatile(target->end.ex.top, target->end.settings.image);
    copy_run_watch_signals();
    if (!target->is_new && target->conversion.done_bytes <= head_bytes(conversion))
        result = convert_target_clear_head(target, err);
    if (result == 0)
        result = copy_body(conversion, err);
    if (result == 0)
        result = check_source(conversion, err);
    return result == 0 ? finish(conversion, err) : result;
}

/* ---- what is told ---- */

static const char *zeros_text(const struct conversion *conversion)
{
    if (convert_target_zeros(&conversion->target) != COPY_ZEROS_WRITTEN)
        return "holes, where the storage has them";
    return conversion->target.end.settings.raw || conversion->target.end.settings.zero_holes
               ? "written, because the storage has no holes"
               : "written and encrypted; --zero-holes keeps holes, which shows what is in use";
}

static void tell(const struct conversion *conversion)
{
    const struct convert_arguments *arguments = conversion->arguments;
    bool holes = convert_target_zeros(&conversion->target) != COPY_ZEROS_WRITTEN;

    if (arguments->json) {
        printf("{\"event\":\"done\",\"command\":\"convert\",\"size\":%" PRIu64
               ",\"holes\":%s,\"verified\":%s}\n",
               conversion->size_bytes, holes ? "true" : "false",
               arguments->verify ? "true" : "false");
        return;
    }
    printf("%s holds the disk of %s now.\n", conversion->target.end.settings.image,
           conversion->source.settings.image);
    printf("Size:     %s\n", size_text(conversion->size_bytes).text);
    if (conversion->target.end.ex.limits.size_bytes > conversion->size_bytes)
        printf(
            "Behind:   %s, as they were\n",
            size_text(conversion->target.end.ex.limits.size_bytes - conversion->size_bytes).text);
    printf("Zeros:    %s\n", zeros_text(conversion));
    printf("Verified: %s\n", arguments->verify ? "yes" : "no");
}

/* What is left of a target that is not whole. */
static void tell_what_is_left(const struct convert_target *target, int result, struct error *err)
{
    const char *what;

    if (!target->end.is_open || result == -ESTALE)
        return;
    what = target->has_record ? "what is done is kept, and the same command goes on with it"
                              : "the target is not whole, and its start is left empty; --overwrite "
                                "begins anew";
    (void)error_set(err, result, "%s; %s", err->text, what);
}

/* ---- the command ---- */

static int check_ends(const struct convert_arguments *arguments, struct error *err)
{
    int result = copy_end_check(&arguments->source, "--source-", err);

    if (result == 0 && strcmp(arguments->target.format, "raw") != 0 &&
        strcmp(arguments->target.format, "luks") != 0)
        result = error_set(err, -EINVAL, "--to-format '%s' is neither raw nor luks",
                           arguments->target.format);
    if (result == 0)
        result = copy_end_check(&arguments->target, "--", err);
    if (result == 0 && key_source_is_stdin(&arguments->source.key) &&
        key_source_is_stdin(&arguments->target.key))
        result = error_set(err, -EINVAL, "both keys can't be read from standard input");
    return result;
}

static int check(void *context, char **operands, struct error *err)
{
    struct convert_arguments *arguments = context;
    struct new_volume *volume = &arguments->volume;
    int result = check_ends(arguments, err);

    (void)operands;
    if (result == 0 && arguments->existing && arguments->overwrite)
        result =
            error_set(err, -EINVAL,
                      "--existing keeps the volume, and --overwrite makes a new one: leave out "
                      "one of them");
    if (result == 0 && arguments->existing && strcmp(arguments->target.format, "raw") == 0)
        result =
            error_set(err, -EINVAL, "--existing is for a LUKS volume, not for --to-format raw");
    if (result < 0)
        return result;
    volume->arguments.key = arguments->target.key;
    volume->arguments.key.volume_key_file = volume->arguments.key.token = NULL;
    volume->arguments.key.token_plugins = NULL;
    volume->arguments.header = arguments->target.header;
    volume->arguments.terms = arguments->terms;
    volume->arguments.force = arguments->overwrite;
    volume->force_option = "overwrite";
    return new_volume_set_options(volume, err);
}

static int open_ends(struct conversion *conversion, struct convert_arguments *arguments,
                     char **operands, struct offload *offload, struct error *err)
{
    const struct copy_end_wish source_wish = {
        .spec = operands[0],
        .option_prefix = "source-",
        .read_only = true,
        .terms = arguments->terms,
        .offload = offload,
    };
    const struct convert_target_wish target_wish = {
        .spec = operands[1],
        .source = &conversion->source,
        .arguments = &arguments->target,
        .volume = &arguments->volume,
        .existing = arguments->existing,
        .overwrite = arguments->overwrite,
        .terms = arguments->terms,
        .offload = offload,
    };

    conversion->stamp = convert_source_stamp(operands[0]);
    int result = copy_end_open(&conversion->source, &arguments->source, &source_wish, err);
    if (result == 0)
        result = convert_target_open(&conversion->target, &target_wish, err);
    if (result == 0 && conversion->target.goes_on && !arguments->json)
        printf("Going on at byte %" PRIu64 ".\n", conversion->target.conversion.done_bytes);
    return result;
}

static int run(void *context, char **operands, struct error *err)
{
    struct convert_arguments *arguments = context;
    struct conversion conversion = { .arguments = arguments };
    struct offload *offload = NULL;
    int result = copy_end_offload(&offload, err);

    if (result == 0)
        result = open_ends(&conversion, arguments, operands, offload, err);
    if (result == 0) {
        result = copy(&conversion, err);
        if (result < 0)
            tell_what_is_left(&conversion.target, result, err);
    }
    if (result == 0)
        tell(&conversion);
    convert_target_close(&conversion.target);
    copy_end_close(&conversion.source);
    new_volume_close(&arguments->volume);
    offload_destroy(offload);
    return result;
}

static const struct convert_arguments defaults = {
    .target = { .format = "luks" },
    .volume = { .arguments = { .type = "luks2", .cipher = "aes-xts-plain64" } },
};

const struct command command_convert = {
    .name = "convert",
    .help = "copy a disk into an encrypted one, or out of it",
    .about = "Copies the disk in SOURCE into TARGET: a new LUKS2 volume, one that is there,\n"
             "or a plain disk.  A target that is not whole is not served; the same command\n"
             "goes on with it.",
    .operands = "SOURCE TARGET",
    .params = convert_params,
    .arguments_bytes = sizeof(struct convert_arguments),
    .defaults = &defaults,
    .check = check,
    .run = run,
};
