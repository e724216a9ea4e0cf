#include "server/copy/convert-target.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/image-io.h"
#include "server/block/image.h"
#include "server/block/luks-layer.h"
#include "server/copy/convert-record.h"
#include "server/copy/convert-source.h"
#include "server/volume/volume-header.h"

/* ---- what is there ---- */

enum found { FOUND_NOTHING, FOUND_OTHER, FOUND_VOLUME, FOUND_UNFINISHED };

/* What can't be told is found out by who opens it. */
static enum found look(const struct convert_target_wish *wish)
{
    struct image_options options = { .read_only = true };
    struct luks_conversion conversion;
    struct luks_header *header = NULL;
    struct format_signature content;
    struct stage *stage = NULL;
    enum found found = FOUND_OTHER;
    int token;

    if (image_open(&stage, wish->spec, &options, NULL) < 0)
        return FOUND_NOTHING;
    if (volume_header_load(&header, stage, wish->arguments->header, &content, NULL) == 0) {
        found = luks_conversion_find(&conversion, &token, header) ? FOUND_UNFINISHED : FOUND_VOLUME;
        luks_free(header);
    }
    stage_close(stage);
    return found;
}

static uint64_t source_bytes(const struct convert_target_wish *wish)
{
    return wish->source->ex.limits.size_bytes;
}

static int check_size(const struct convert_target *target, const struct convert_target_wish *wish,
                      struct error *err)
{
    uint64_t room_bytes = target->end.ex.limits.size_bytes;

    if (target->end.ex.limits.read_only)
        return error_set(err, -EROFS, "'%s' can't be written", wish->spec);
    if (room_bytes < source_bytes(wish))
        return error_set(err, -ENOSPC,
                         "'%s' has room for %" PRIu64 " bytes, but the disk in '%s' has %" PRIu64,
                         wish->spec, room_bytes, wish->source->settings.image, source_bytes(wish));
    return 0;
}

static int open_end(struct convert_target *out, const struct convert_target_wish *wish,
                    struct stage *beside, const struct secret *volume_key, struct error *err)
{
    struct copy_end_arguments arguments = *wish->arguments;
    const struct copy_end_wish end_wish = {
        .spec = wish->spec,
        .terms = wish->terms,
        .offload = wish->offload,
        .beside = beside,
        .given_key = volume_key,
        .converting = true,
    };

    if (volume_key != NULL)
        arguments.key = (struct key_source){ .volume_key_file = "(new)" };
    int result = copy_end_open(&out->end, &arguments, &end_wish, err);
    return result == 0 ? check_size(out, wish, err) : result;
}

/* ---- a volume that is there ---- */

static int digest_source(struct luks_conversion *out, const struct convert_target_wish *wish,
                         const struct secret *volume_key, struct error *err)
{
    struct convert_sample sample;
    int result = convert_source_sample(&sample, wish->source, err);

    if (result == 0)
        result = luks_conversion_digest(out, volume_key, sample.data, sample.length_bytes, err);
    out->size_bytes = source_bytes(wish);
    out->done_bytes = 0;
    convert_sample_free(&sample);
    return result;
}

/* LUKS1 has no place for it. */
static int begin_in_volume(struct convert_target *out, const struct convert_target_wish *wish,
                           struct error *err)
{
    int result = open_end(out, wish, NULL, NULL, err);

    if (result == 0)
        result = digest_source(&out->conversion, wish, luks_stage_volume_key(out->end.ex.top), err);
    out->has_record = result == 0 && out->end.ex.luks.version == 2;
    if (out->has_record)
        result = convert_record(&out->end, &out->conversion, err);
    return result;
}

static int read_conversion(struct luks_conversion *out, struct convert_target *target,
                           struct error *err)
{
    struct luks_header *header = NULL;
    int token;
    int result = volume_header_load(&header, luks_stage_image(target->end.ex.top),
                                    target->end.settings.header, NULL, err);

    if (result < 0)
        return result;
    (void)luks_conversion_find(out, &token, header);
    luks_free(header);
    return 0;
}

static int go_on(struct convert_target *out, const struct convert_target_wish *wish,
                 struct error *err)
{
    struct luks_conversion before = { 0 };
    int result = open_end(out, wish, NULL, NULL, err);

    if (result == 0)
        result = read_conversion(&before, out, err);
    if (result == 0)
        result = digest_source(&out->conversion, wish, luks_stage_volume_key(out->end.ex.top), err);
    if (result < 0)
        return result;
    if (before.size_bytes != out->conversion.size_bytes ||
        strcmp(before.digest, out->conversion.digest) != 0)
        return error_set(err, -ESTALE,
                         "'%s' is the unfinished target of a conversion, but '%s' is not what that "
                         "began with, or was changed since: --overwrite begins anew%s",
                         wish->spec, wish->source->settings.image,
                         wish->existing ? " with a new volume; `nbdcrypt token remove` lets "
                                          "--existing begin anew in this one"
                                        : "");
    out->conversion.done_bytes = before.done_bytes;
    out->goes_on = out->has_record = true;
    return 0;
}

/* ---- a new volume ---- */

static int make(struct convert_target *out, const struct convert_target_wish *wish,
                const struct secret *volume_key, struct error *err)
{
    char token[LUKS_CONVERSION_JSON_BYTES];
    struct new_volume *volume = wish->volume;
    struct luks_segment segment;
    int result = digest_source(&out->conversion, wish, volume_key, err);

    if (result < 0)
        return result;
    luks_conversion_json(token, &out->conversion);
    volume->options.token = token;
    volume->options.volume_key = volume_key;
    result = new_volume_make(volume, &segment, err);
    volume->options.token = NULL;
    volume->options.volume_key = NULL;
    return result;
}

/* An image that is larger is used whole. */
static int choose_sizes(struct new_volume *volume, uint64_t size_bytes, struct error *err)
{
    uint64_t header_bytes = volume->arguments.header != NULL ? 0 : LUKS_FORMAT_AREA_BYTES_LUKS2;

    if (volume->image.exists && volume->image.size_bytes >= size_bytes + header_bytes)
        volume->arguments.usable_bytes = 0;
    return new_volume_choose_sizes(volume, err);
}

static int make_new(struct convert_target *out, const struct convert_target_wish *wish,
                    struct error *err)
{
    struct new_volume *volume = wish->volume;
    struct secret *volume_key = NULL;

    volume->arguments.usable_bytes = source_bytes(wish);
    int result = new_volume_inspect(volume, wish->spec, err);
    if (result == 0)
        result = choose_sizes(volume, source_bytes(wish), err);
    if (result == 0)
        result = luks_format_volume_key(&volume_key, volume->options.key_bits, err);
    if (result == 0)
        result = make(out, wish, volume_key, err);
    if (result == 0)
        result = open_end(out, wish, volume->image.stage, volume_key, err);
    out->has_record = out->is_new = result == 0;
    out->is_blank = result == 0 && volume->image.made;
    secret_free(volume_key);
    return result;
}

static int open_volume(struct convert_target *out, const struct convert_target_wish *wish,
                       struct error *err)
{
    enum found found = look(wish);

    if (found == FOUND_UNFINISHED && !wish->overwrite)
        return go_on(out, wish, err);
    if (wish->existing && (found == FOUND_VOLUME || found == FOUND_UNFINISHED))
        return begin_in_volume(out, wish, err);
    if (wish->existing)
        return error_set(err, -EINVAL, "--existing: '%s' holds no LUKS volume", wish->spec);
    if (found == FOUND_VOLUME && !wish->overwrite)
        return error_set(err, -EEXIST,
                         "'%s' is a LUKS volume: --existing keeps it with its keys and replaces "
                         "its data, --overwrite makes a new one; either destroys what is there",
                         wish->spec);
    if (wish->arguments->key.volume_key_file != NULL || wish->arguments->key.token != NULL)
        return error_set(err, -EINVAL,
                         "a new volume gets a passphrase: leave out --volume-key-file and --token");
    return make_new(out, wish, err);
}

/* ---- a plain disk ---- */

static int open_raw(struct convert_target *out, const struct convert_target_wish *wish,
                    struct error *err)
{
    struct format_target *raw = &out->raw;
    const struct format_target_wish target_wish = {
        .spec = wish->spec,
        .may_be_made = true,
        .is_written = true,
        .area_bytes = CONVERT_HEAD_BYTES,
        .terms = wish->terms,
        .force = wish->overwrite,
        .force_option = "overwrite",
    };
    int result = format_target_inspect(raw, &target_wish, err);

    if (result == 0)
        result = format_target_make_room(raw, source_bytes(wish), err);
    if (result < 0)
        return result;
    result = open_end(out, wish, raw->stage, NULL, err);
    if (result < 0 && raw->grown)
        (void)format_target_undo(raw);
    out->is_new = out->is_blank = raw->made;
    return result;
}

/* ---- all of them ---- */

static int refuse_itself(const struct convert_target_wish *wish, struct error *err)
{
    struct image_identity source = { 0 }, target = { 0 };
    bool same = image_identify(&source, wish->source->settings.image) &&
                image_identify(&target, wish->spec) && source.device == target.device &&
                source.number == target.number && !source.is_part && !target.is_part &&
                (source.claim == NULL) == (target.claim == NULL) &&
                (source.claim == NULL || strcmp(source.claim, target.claim) == 0);

    free(source.claim);
    free(target.claim);
    return same ? error_set(err, -EINVAL,
                            "'%s' and '%s' are the same image: a conversion needs a second one",
                            wish->source->settings.image, wish->spec)
                : 0;
}

int convert_target_open(struct convert_target *out, const struct convert_target_wish *wish,
                        struct error *err)
{
    bool raw = strcmp(wish->arguments->format, "raw") == 0;
    int result = refuse_itself(wish, err);

    if (result == 0 && source_bytes(wish) == 0)
        result = error_set(err, -EINVAL, "'%s' has no data: its size is 0",
                           wish->source->settings.image);
    if (result < 0)
        return result;
    return raw ? open_raw(out, wish, err) : open_volume(out, wish, err);
}

void convert_target_close(struct convert_target *target)
{
    copy_end_close(&target->end);
    format_target_close(&target->raw);
}

enum copy_zeros convert_target_zeros(const struct convert_target *target)
{
    const struct limits *limits = &target->end.ex.limits;
    bool holes = target->end.settings.raw || target->end.settings.zero_holes;

    if (holes && target->is_blank)
        return COPY_ZEROS_SKIPPED;
    return holes && (limits->ops & OP_BIT(REQUEST_ZERO)) != 0 && !limits->zero_needs_data
               ? COPY_ZEROS_PUNCHED
               : COPY_ZEROS_WRITTEN;
}

int convert_target_clear_head(struct convert_target *target, struct error *err)
{
    uint64_t size_bytes = target->end.ex.limits.size_bytes;
    size_t head_bytes =
        size_bytes < CONVERT_HEAD_BYTES ? (size_t)size_bytes : (size_t)CONVERT_HEAD_BYTES;
    uint8_t *zeros = calloc(1, head_bytes);
    struct image_io *io = NULL;

    if (zeros == NULL)
        return error_no_memory(err, "for a conversion");
    int result = image_io_create(&io, target->end.ex.top, err);
    if (result == 0)
        result = image_io_write(io, 0, zeros, head_bytes, err);
    if (result == 0)
        result = image_io_flush(io, err);
    image_io_destroy(io);
    free(zeros);
    if (result < 0)
        error_prefix(err, "'%s': ", target->end.settings.image);
    return result;
}
