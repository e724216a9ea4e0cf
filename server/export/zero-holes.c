#include "server/export/zero-holes.h"

#include <errno.h>
#include <string.h>

#include "crypto/luks/luks-demands.h"
#include "crypto/luks/luks-zero-holes.h"
#include "server/block/image.h"
#include "server/base/log.h"
#include "server/volume/volume.h"

int zero_holes_check(const struct luks_header *header, const struct export_settings *settings,
                     struct error *err)
{
    if (settings->zero_holes || !luks_zero_holes_recorded(header))
        return 0;
    return error_set(
        err, -EPERM,
        "its header says that holes are zeros, for it was served with --zero-holes, "
        "and they would read as noise: give --%szero-holes; to do without, copy the data "
        "elsewhere, say `nbdcrypt header zero-holes %s off`, and copy all of it back",
        export_option_prefix(settings), settings->image);
}

/* Others may have changed the header since it was read, where it is in a file of its own. */
static int check_same(const struct luks_header *now, const struct luks_header *before,
                      struct error *err)
{
    struct luks_header_digest digest_now, digest_before;
    int result = luks_header_digest(&digest_now, now, LUKS_DIGEST, err);

    if (result == 0)
        result = luks_header_digest(&digest_before, before, LUKS_DIGEST, err);
    if (result < 0 || strcmp(digest_now.text, digest_before.text) == 0)
        return result;
    return error_set(err, -EAGAIN, "it became another one meanwhile: start again");
}

static int record(void *context, struct luks_header *header, struct luks_change *change,
                  struct error *err)
{
    (void)context;
    (void)change;
    return luks_zero_holes_record(header, true, err);
}

/* volume->stage is open. */
static int record_in(struct volume *volume, const struct luks_header *before, struct error *err)
{
    int result;

    if (!(volume->stage->limits.ops & OP_BIT(REQUEST_FLUSH)))
        return error_set(err, -ENOTSUP,
                         "'%s' offers no flush, so nothing that is written there is "
                         "known to be durable",
                         volume->spec);
    result = image_io_create(&volume->io, volume->stage, err);
    if (result == 0)
        result = volume_load(volume, err);
    if (result == 0)
        result = check_same(volume->header, before, err);
    if (result == 0)
        result = volume_change(volume, record, NULL, err);
    luks_free(volume->header);
    image_io_destroy(volume->io);
    return result;
}

static int record_where_it_is(const struct luks_header *header,
                              const struct export_settings *settings, struct stage *image,
                              struct error *err)
{
    struct image_options options = {
        .lock = true,
        .header_only = true,
        .terms = settings->options.terms,
        .beside = image,
    };
    struct volume volume = {
        .spec = settings->header != NULL ? settings->header : settings->image,
        .stage = image,
        .data_bytes = image->limits.size_bytes,
        .detached = settings->header != NULL,
    };
    int result =
        settings->header != NULL ? image_open(&volume.stage, settings->header, &options, err) : 0;

    if (result < 0)
        return result;
    result = volume.stage->limits.read_only
                 ? error_set(err, -EROFS, "'%s' can't be written", volume.spec)
                 : record_in(&volume, header, err);
    if (settings->header)
        stage_close(volume.stage);
    return result;
}

int zero_holes_record(const struct luks_header *header, const struct export_settings *settings,
                      struct stage *image, struct error *err)
{
    int result;

    if (!settings->zero_holes || settings->options.read_only || image->limits.read_only ||
        luks_zero_holes_recorded(header))
        return 0;
    if (luks_segment(header)->type == LUKS_TYPE_1) {
        log_warning("image '%s': LUKS1 can't say in its header that holes are zeros: always serve "
                    "it with --zero-holes, without which they read as noise",
                    settings->image);
        return 0;
    }
    result = record_where_it_is(header, settings, image, err);
    if (result < 0) {
        error_prefix(err,
                     "export '%s': --zero-holes: the header has to say that holes are zeros "
                     "before there are any, and could not be made to (`nbdcrypt header "
                     "zero-holes` does it by hand): ",
                     settings->name);
        return result;
    }
    log_notice("image '%s': its header says from now on that holes are zeros: it has to be served "
               "with --zero-holes",
               settings->image);
    return 0;
}
