#include "server/copy/copy-end.h"

#include <errno.h>
#include <string.h>

#include "server/base/cpu-count.h"
#include "server/block/image.h"
#include "server/block/qcow2-stage.h"
#include "server/volume/qcow2-found.h"
#include "server/volume/volume-header.h"

#define OFFLOAD_THREADS_MIN 4u

int copy_end_offload(struct offload **out, struct error *err)
{
    unsigned cpus = cpu_count();

    return offload_create(out, cpus > OFFLOAD_THREADS_MIN ? cpus : OFFLOAD_THREADS_MIN, 0, err);
}

static bool is_format(const struct copy_end_arguments *arguments, const char *format)
{
    return arguments->format != NULL && strcmp(arguments->format, format) == 0;
}

int copy_end_check(const struct copy_end_arguments *arguments, const char *prefix,
                   struct error *err)
{
    bool raw = is_format(arguments, "raw");

    if (arguments->format != NULL && !raw && !is_format(arguments, "luks") &&
        !is_format(arguments, "qcow2"))
        return error_set(err, -EINVAL, "the format '%s' is none of raw, luks and qcow2",
                         arguments->format);
    if (raw && key_source_given(&arguments->key) != NULL)
        return error_set(err, -EINVAL, "%s%s is not for an image that is raw", prefix,
                         key_source_given(&arguments->key));
    if (raw && (arguments->header != NULL || arguments->zero_holes))
        return error_set(err, -EINVAL, "%s%s is not for an image that is raw", prefix,
                         arguments->header != NULL ? "header" : "zero-holes");
    return key_source_check(&arguments->key, prefix, err);
}

/* ---- what is there ---- */

struct format {
    bool raw;   /* what the image has is the disk; else it is a LUKS volume, or QEMU encrypted it */
    bool qcow2; /* although its name does not say so */
};

/* What has a format of its own that is not known here is no raw disk to be copied by mistake. */
static int look_for_luks(struct format *out, struct stage *stage, const char *spec)
{
    struct format_signature content;
    struct luks_header *header = NULL;
    int result = volume_header_load(&header, stage, NULL, &content, NULL);

    if (result == 0)
        luks_free(header);
    out->qcow2 = result == -EMEDIUMTYPE && qcow2_found(&content, spec, NULL);
    out->raw = result == -EMEDIUMTYPE && !content.disk_image;
    return 0;
}

/* The disk in a qcow2 image is copied as it is, whatever it has. */
static int look(struct format *out, const char *spec, bool qcow2, struct error *err)
{
    struct image_options options = { .read_only = true, .qcow2 = qcow2 };
    struct stage *stage = NULL;
    int result = image_open(&stage, spec, &options, err);

    if (result < 0)
        return result;
    *out = (struct format){ .qcow2 = qcow2 };
    if (qcow2_stage_crypt(stage) != QCOW2_CRYPT_NONE)
        out->raw = false;
    else if (qcow2)
        out->raw = true;
    else
        result = look_for_luks(out, stage, spec);
    stage_close(stage);
    return result;
}

static int choose_format(struct format *out, const struct copy_end_arguments *arguments,
                         const char *spec, struct error *err)
{
    *out = (struct format){ .raw = is_format(arguments, "raw") };
    if (out->raw || is_format(arguments, "luks") || arguments->header != NULL)
        return 0;
    if (is_format(arguments, "qcow2"))
        return look(out, spec, true, err);
    int result = look(out, spec, false, err);
    return result == 0 && out->qcow2 ? look(out, spec, true, err) : result;
}

int copy_end_open(struct copy_end *out, const struct copy_end_arguments *arguments,
                  const struct copy_end_wish *wish, struct error *err)
{
    struct format format;
    int result = choose_format(&format, arguments, wish->spec, err);

    out->settings = (struct export_settings){
        .name = wish->spec,
        .image = wish->spec,
        .option_prefix = wish->option_prefix,
        .key = arguments->key,
        .header = arguments->header,
        .given_key = wish->given_key,
        .options = { .read_only = wish->read_only,
                     .qcow2 = format.qcow2,
                     .at_once = true,
                     .terms = wish->terms,
                     .beside = wish->beside },
        .raw = format.raw,
        .no_contexts = !wish->contexts,
        .sure_of_passphrase = arguments->sure_of_passphrase,
        .converting = wish->converting,
        .zero_holes = arguments->zero_holes && !format.raw,
    };
    if (result == 0)
        result = export_open(&out->ex, &out->settings, wish->offload, 1, err);
    out->is_open = result == 0;
    return result;
}

void copy_end_close(struct copy_end *end)
{
    if (end->is_open)
        export_close(&end->ex);
    end->is_open = false;
}
