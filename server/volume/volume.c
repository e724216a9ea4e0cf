/* A LUKS header for the commands: see volume.h. */
#include "server/volume/volume.h"

#include <errno.h>
#include <stdio.h>

#include "crypto/luks/luks-keyslot.h"
#include "server/block/image.h"
#include "server/base/log.h"
#include "server/volume/volume-header.h"

struct luks_store volume_store(struct volume *volume)
{
    return volume_header_store(volume->io);
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
        .terms = terms != NULL ? *terms : (struct lock_terms){ 0 },
    };
    int result = 0;

    *out = (struct volume){ .spec = header_spec != NULL ? header_spec : image_spec,
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
    if (result == 0 && header_spec == NULL)
        out->data_bytes = out->stage->limits.size_bytes;
    return result;
}

static int load(struct volume *volume, struct format_signature *content, struct error *err)
{
    return volume_header_load_from(&volume->header, volume->io, volume->stage->limits.size_bytes,
                                   volume->data_bytes, volume->detached, content, err);
}

int volume_load(struct volume *volume, struct error *err)
{
    struct format_signature content;
    int result = load(volume, &content, err);

    if (result == -EMEDIUMTYPE)
        volume_header_tell_content(
            &content, volume->detached ? LUKS_IMAGE_OF_HEADER : LUKS_IMAGE_LOOKED_AT, err);
    if (result < 0)
        volume_prefix(volume, err);
    return result;
}

int volume_signature(struct format_signature *out, const struct volume *volume, struct error *err)
{
    return volume_header_signature(out, FORMAT_SIGNATURE_BESIDE_LUKS, volume->io,
                                   volume->stage->limits.size_bytes, err);
}

/* The header may be read, but is somebody else's place by now, or was before: nothing is
 * written. */
static int check_signatures(const struct volume *volume, struct error *err)
{
    struct format_signature signature;
    int result = volume_signature(&signature, volume, err);

    if (result == 0 && signature.text[0] != '\0')
        result = error_set(err, -EEXIST,
                           "beside the LUKS header there is %s: nothing was changed; if that is a "
                           "remnant, remove its mark (wipefs)",
                           signature.text);
    if (result < 0)
        volume_prefix(volume, err);
    return result;
}

int volume_open_header(struct volume *out, const char *image_spec, const char *header_spec,
                       enum volume_use use, const struct lock_terms *terms, struct error *err)
{
    int result = volume_open(out, image_spec, header_spec, use, terms, err);

    if (result == 0)
        result = volume_load(out, err);
    if (result < 0 || use == VOLUME_READ)
        return result;
    if (luks_damaged_copy(out->header))
        log_warning("%s '%s': the %s copy of the LUKS2 header is damaged; a change replaces it by "
                    "the other one",
                    out->detached ? "header" : "image", out->spec, luks_damaged_copy(out->header));
    return check_signatures(out, err);
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

/* ---- changes ---- */

static void tell_keyslots(struct volume *volume, struct error *err)
{
    char list[128] = "";
    size_t used = 0;

    for (int slot = 0; slot < (int)LUKS2_KEYSLOTS_MAX && used < sizeof list; slot++)
        if (luks_keyslot_is_in_use(slot, volume->header))
            used +=
                (size_t)snprintf(list + used, sizeof list - used, "%s%d", used ? ", " : "", slot);
    (void)error_set(err, 0, "%s; keyslots in use now: %s", err->text, used ? list : "none");
}

static const char *what_is_in_force(enum luks_outcome outcome)
{
    switch (outcome) {
    case LUKS_OUTCOME_UNTOUCHED:
    case LUKS_OUTCOME_BEFORE:
        return "the header is not changed";
    case LUKS_OUTCOME_AFTER:
        return "the header is changed, but a copy of it could not be written, or what was removed "
               "not be overwritten";
    case LUKS_OUTCOME_UNKNOWN:
        break;
    }
    return "the change of the header failed, and could not be undone: it is not certain what the "
           "storage keeps, so keep all keys and try again";
}

void volume_explain(struct volume *volume, enum luks_outcome outcome, volume_tell_fn *tell,
                    void *context, struct error *err)
{
    struct error reason = { "" };

    if (outcome == LUKS_OUTCOME_UNTOUCHED)
        return;
    error_prefix(err, "%s: ", what_is_in_force(outcome));
    luks_free(volume->header);
    volume->header = NULL;
    if (load(volume, NULL, &reason) < 0)
        (void)error_set(err, 0,
                        "%s; what its storage holds now could not be read, so keep all keys "
                        "until it can be: %s",
                        err->text, reason.text);
    else if (tell)
        tell(context, volume, err);
    else
        tell_keyslots(volume, err);
}

int volume_change_telling(struct volume *volume, volume_edit_fn *edit, volume_tell_fn *tell,
                          void *context, enum luks_outcome *outcome, struct error *err)
{
    struct luks_store store = volume_store(volume);
    struct luks_change *change = NULL;
    enum luks_outcome result_outcome = LUKS_OUTCOME_UNTOUCHED;
    int result = luks_change_begin(&change, volume->header, err);

    if (result == 0)
        result = edit(context, volume->header, change, err);
    if (result == 0) {
        result = luks_change_commit(change, &store, err);
        result_outcome = luks_change_outcome(change);
        luks_change_end(change);
        change = NULL;
        if (result < 0)
            volume_explain(volume, result_outcome, tell, context, err);
    }
    if (result < 0)
        volume_prefix(volume, err);
    luks_change_end(change);
    if (outcome)
        *outcome = result_outcome;
    return result;
}

int volume_change(struct volume *volume, volume_edit_fn *edit, void *context, struct error *err)
{
    return volume_change_telling(volume, edit, NULL, context, NULL, err);
}

void volume_close(struct volume *volume)
{
    luks_free(volume->header);
    image_io_destroy(volume->io);
    stage_close(volume->stage);
    *volume = (struct volume){ 0 };
}
