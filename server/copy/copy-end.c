#include "server/copy/copy-end.h"

#include <errno.h>
#include <string.h>

#include "server/block/image.h"
#include "server/volume/volume-header.h"

int copy_end_check(const struct copy_end_arguments *arguments, const char *prefix,
                   struct error *err)
{
    bool raw = arguments->format != NULL && strcmp(arguments->format, "raw") == 0;

    if (arguments->format != NULL && !raw && strcmp(arguments->format, "luks") != 0)
        return error_set(err, -EINVAL, "the format '%s' is neither raw nor luks",
                         arguments->format);
    if (raw && key_source_given(&arguments->key) != NULL)
        return error_set(err, -EINVAL, "%s%s is not for an image that is raw", prefix,
                         key_source_given(&arguments->key));
    if (raw && (arguments->header != NULL || arguments->zero_holes))
        return error_set(err, -EINVAL, "%s%s is not for an image that is raw", prefix,
                         arguments->header != NULL ? "header" : "zero-holes");
    return key_source_check(&arguments->key, prefix, err);
}

/* What has a format of its own is no raw disk to be copied as it is by mistake. */
int copy_end_is_raw(bool *raw, const char *spec, struct error *err)
{
    struct image_options options = { .read_only = true };
    struct format_signature content;
    struct luks_header *header = NULL;
    struct stage *stage = NULL;
    int result = image_open(&stage, spec, &options, err);

    if (result < 0)
        return result;
    result = volume_header_load(&header, stage, NULL, &content, NULL);
    *raw = result == -EMEDIUMTYPE && !content.disk_image;
    if (result == 0)
        luks_free(header);
    stage_close(stage);
    return 0;
}

static int choose_format(bool *raw, const struct copy_end_arguments *arguments, const char *spec,
                         struct error *err)
{
    *raw = arguments->format != NULL && strcmp(arguments->format, "raw") == 0;
    if (arguments->format != NULL || arguments->header != NULL)
        return 0;
    return copy_end_is_raw(raw, spec, err);
}

int copy_end_open(struct copy_end *out, const struct copy_end_arguments *arguments,
                  const struct copy_end_wish *wish, struct error *err)
{
    bool raw;
    int result = choose_format(&raw, arguments, wish->spec, err);

    out->settings = (struct export_settings){
        .name = wish->spec,
        .image = wish->spec,
        .key = arguments->key,
        .header = arguments->header,
        .given_key = wish->given_key,
        .options = { .read_only = wish->read_only, .terms = wish->terms, .beside = wish->beside },
        .raw = raw,
        .converting = wish->converting,
        .zero_holes = arguments->zero_holes && !raw,
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
