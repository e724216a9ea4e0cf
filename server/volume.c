/* A LUKS header for the commands: see volume.h. */
#include "server/volume.h"

#include <errno.h>

#include "server/luks-image.h"

static int write_volume(void *context, uint64_t offset_bytes, const void *data, size_t length_bytes,
                        struct error *err)
{
    return image_write(context, offset_bytes, data, length_bytes, err);
}

static int flush_volume(void *context, struct error *err)
{
    return image_flush(context, err);
}

struct luks_store volume_store(struct volume *volume)
{
    return (struct luks_store){
        .read = luks_image_read, .write = write_volume, .flush = flush_volume, .context = volume->io
    };
}

void volume_prefix(const struct volume *volume, struct error *err)
{
    error_prefix(err, "%s '%s': ", volume->detached ? "header" : "image", volume->spec);
}

/* The data is elsewhere; what is wanted of it is its size. */
static int measure(uint64_t *size_bytes, const char *spec, struct error *err)
{
    struct image_options options = { .read_only = true };
    struct stage *stage = NULL;
    int result = image_open(&stage, spec, &options, err);

    if (result < 0)
        return result;
    *size_bytes = stage->limits.size_bytes;
    stage_close(stage);
    return 0;
}

int volume_open(struct volume *out, const char *image_spec, const char *header_spec,
                enum volume_use use, const struct lock_terms *terms, struct error *err)
{
    struct image_options options = {
        .read_only = use == VOLUME_READ,
        .lock = use != VOLUME_READ,
        .header_only = use == VOLUME_CHANGE_KEYS,
        .terms = terms ? *terms : (struct lock_terms){ 0 },
    };
    int result = 0;

    *out = (struct volume){ .spec = header_spec ? header_spec : image_spec,
                            .detached = header_spec != NULL };
    if (header_spec)
        result = measure(&out->data_bytes, image_spec, err);
    if (result == 0)
        result = image_open(&out->stage, out->spec, &options, err);
    if (result == 0 && out->stage->limits.read_only && use != VOLUME_READ)
        result = error_set(err, -EROFS, "image '%s': it can't be written", out->spec);
    if (result == 0 && use != VOLUME_READ)
        image_warn_if_volatile(out->stage, out->spec);
    if (result == 0)
        result = image_io_create(&out->io, out->stage, err);
    if (result == 0 && !header_spec)
        out->data_bytes = out->stage->limits.size_bytes;
    return result;
}

int volume_load(struct volume *volume, struct error *err)
{
    const char *content;
    int result = luks_image_load_from(&volume->header, volume->io, volume->stage->limits.size_bytes,
                                      volume->data_bytes, volume->detached, &content, err);

    /* "no LUKS header found" helps more when it says what is there instead. */
    if (content && err)
        (void)error_set(err, 0, "%s: it holds %s", err->text, content);
    if (result < 0)
        volume_prefix(volume, err);
    return result;
}

int volume_open_header(struct volume *out, const char *image_spec, const char *header_spec,
                       enum volume_use use, const struct lock_terms *terms, struct error *err)
{
    int result = volume_open(out, image_spec, header_spec, use, terms, err);

    return result == 0 ? volume_load(out, err) : result;
}

int volume_open_demanded(struct volume *out, const char *image_spec, const char *header_spec,
                         const struct luks_demands *demands, enum volume_use use,
                         const struct lock_terms *terms, struct error *err)
{
    int result = volume_open_header(out, image_spec, header_spec, use, terms, err);

    if (result < 0)
        return result;
    result = luks_demands_check(demands, out->header, err);
    if (result < 0)
        volume_prefix(out, err);
    return result;
}

int volume_change(struct volume *volume, volume_edit_fn *edit, void *context, struct error *err)
{
    struct luks_store store = volume_store(volume);
    struct luks_change *change = NULL;
    int result = luks_change_begin(&change, volume->header, err);

    if (result == 0)
        result = edit(context, volume->header, change, err);
    if (result == 0)
        result = luks_change_commit(change, &store, err);
    if (result < 0)
        volume_prefix(volume, err);
    luks_change_end(change);
    return result;
}

void volume_close(struct volume *volume)
{
    luks_free(volume->header);
    image_io_destroy(volume->io);
    stage_close(volume->stage);
    *volume = (struct volume){ 0 };
}
