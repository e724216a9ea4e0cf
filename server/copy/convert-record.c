#include "server/copy/convert-record.h"

#include "server/block/image.h"
#include "server/block/luks-layer.h"
#include "server/volume/volume.h"

static int change(void *context, struct luks_header *header, struct luks_change *change,
                  struct error *err)
{
    const struct luks_conversion *conversion = context;

    (void)change;
    return conversion != NULL ? luks_conversion_record(header, conversion, err)
                              : luks_conversion_remove(header, err);
}

/* volume->stage is open. */
static int change_in(struct volume *volume, const struct luks_conversion *conversion,
                     struct error *err)
{
    int result = image_io_create(&volume->io, volume->stage, err);

    if (result == 0)
        result = volume_load(volume, err);
    if (result == 0)
        result = volume_change(volume, change, (void *)(uintptr_t)conversion, err);
    if (volume->header != NULL)
        luks_free(volume->header);
    image_io_destroy(volume->io);
    return result;
}

int convert_record(struct copy_end *target, const struct luks_conversion *conversion,
                   struct error *err)
{
    const struct export_settings *settings = &target->settings;
    struct stage *image = luks_stage_image(target->ex.top);
    struct image_options options = {
        .lock = true, .header_only = true, .terms = settings->options.terms, .beside = image
    };
    struct volume volume = {
        .spec = settings->header != NULL ? settings->header : settings->image,
        .stage = image,
        .data_bytes = image->limits.size_bytes,
        .detached = settings->header != NULL,
    };
    int result =
        settings->header != NULL ? image_open(&volume.stage, settings->header, &options, err) : 0;

    if (result == 0)
        result = change_in(&volume, conversion, err);
    if (settings->header != NULL && volume.stage != image)
        stage_close(volume.stage);
    return result;
}
