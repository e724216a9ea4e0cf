#include "server/export/export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cipher/cipher.h"
#include "crypto/luks/luks-keyslot.h"
#include "crypto/luks/luks.h"
#include "server/block/align-layer.h"
#include "server/board/board-owner.h"
#include "server/volume/foreign-header.h"
#include "server/block/image-io.h"
#include "server/block/image.h"
#include "server/block/qcow2-stage.h"
#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/volume/volume-header.h"
#include "server/block/luks-layer.h"
#include "server/block/range-lock.h"
#include "server/base/size-text.h"
#include "server/volume/qcow2-found.h"
#include "server/volume/qcow2-key.h"
#include "server/volume/volume-key.h"
#include "server/export/limit-groups.h"
#include "server/export/slow-limit.h"
#include "server/export/unfinished.h"
#include "server/export/zero-holes.h"
#include "server/report/guard.h"

/* ---- the LUKS stage ---- */

static struct export_luks describe(const struct luks_segment *segment)
{
    struct export_luks luks = {
        .version = segment->type == LUKS_TYPE_1 ? 1 : 2,
        .key_bits = segment->cipher.key_bits,
        .sector_bytes = segment->sector_bytes,
    };

    snprintf(luks.uuid, sizeof luks.uuid, "%s", segment->uuid);
    snprintf(luks.cipher, sizeof luks.cipher, "%s", segment->cipher.name);
    return luks;
}

/* Fails now what would fail at the first client, and says what will do the work. */
static int check_cipher(const struct export_settings *settings, const struct luks_segment *segment,
                        struct error *err)
{
    const struct cipher_spec *spec = &segment->cipher;
    const char *weakness = cipher_spec_weakness(spec, segment->payload_bytes);
    const char *implementation;
    int result = cipher_choose(&implementation, spec, err);

    if (result < 0) {
        error_prefix(err, "image '%s': ", settings->image);
        return result;
    }
    if (weakness != NULL)
        log_warning("image '%s': %s %s", settings->image, spec->name, weakness);
    if (cipher_left_out() != NULL)
        log_warning("%s", cipher_left_out());
    log_export(LOG_INFO, NULL, settings->name, "export '%s': %s, %u-bit key, %s", settings->name,
               spec->name, spec->key_bits, implementation);
    return 0;
}

/* A header in a file of its own, and one whose flags are pinned, says what the user knows of. */
static bool flags_are_known(const struct export_settings *settings,
                            const struct luks_header *header)
{
    return settings->header != NULL || (settings->demands.digest != NULL &&
                                        !luks_demands_leave_flags(&settings->demands, header));
}

/* What TRIM shows is for the user to decide, not for a header that others may be able to write. */
static void tell_of_trim(const struct export_settings *settings, const struct luks_header *header)
{
    static const char by_flag[] =
        "export '%s': TRIM is passed on, for the flag allow-discards in its header says so; "
        "--no-discard ignores it";
    bool flag = luks_segment(header)->allow_discards;

    if (settings->zero_holes || settings->discard)
        log_export(LOG_NOTICE, NULL, settings->name, "export '%s': TRIM is passed on (%s)",
                   settings->name, settings->zero_holes ? "--zero-holes" : "--discard");
    else if (flag && settings->no_discard)
        log_export(LOG_NOTICE, NULL, settings->name,
                   "export '%s': TRIM is not passed on: the flag allow-discards in its header is "
                   "ignored (--no-discard)",
                   settings->name);
    else if (flag && flags_are_known(settings, header))
        log_export(LOG_NOTICE, NULL, settings->name, by_flag, settings->name);
    else if (flag)
        log_export(LOG_WARNING, NULL, settings->name, by_flag, settings->name);
}

static bool passes_trim(const struct export_settings *settings, const struct luks_header *header,
                        const struct limits *image)
{
    if (!settings->options.read_only && !image->read_only &&
        (image->ops & OP_BIT(REQUEST_TRIM)) != 0)
        tell_of_trim(settings, header);
    return settings->discard || (luks_segment(header)->allow_discards && !settings->no_discard);
}

/* The image named by mistake may be another volume. */
static int check_image_beside(const struct luks_header *header, struct stage *image,
                              const struct export_settings *settings, struct error *err)
{
    struct error why = { "" };
    int result = foreign_header_find(header, image, &why);

    if (result > 0 && (settings->options.read_only || image->limits.read_only))
        log_warning("image '%s': %s", settings->image, why.text);
    else if (result != 0)
        return error_set(err, result > 0 ? -EEXIST : result, "image '%s': %s", settings->image,
                         why.text);
    return 0;
}

/* A detached header is locked like one in the image: it can't be replaced while it is served, and
 * its keys can be changed once it has been read. */
static int load_detached(struct luks_header **out, struct export *ex,
                         const struct export_settings *settings, struct error *err)
{
    struct image_options options = {
        .read_only = true,
        .lock = true,
        .header_only = true,
        .terms = settings->options.terms,
        .beside = ex->top,
    };
    int result = image_open(&ex->header, settings->header, &options, err);

    if (result < 0)
        return result;
    result = volume_header_load_detached(out, ex->header, settings->header,
                                         ex->top->limits.size_bytes, NULL, err);
    if (result < 0)
        return result;
    result = check_image_beside(*out, ex->top, settings, err);
    if (result < 0)
        luks_free(*out);
    return result;
}

/* The key has been derived: others may change keys while the data is served. */
static void header_was_read(struct export *ex)
{
    image_header_was_read(ex->header != NULL ? ex->header : ex->top);
    if (ex->header != NULL &&
        stage_backend(ex->header)->ops->header_was_read == NULL) { /* nothing keeps it open */
        stage_close(ex->header);
        ex->header = NULL;
    }
}

static int read_volume_key(struct secret **out, struct luks_header *header,
                           const struct export_settings *settings, struct error *err)
{
    int slot = LUKS_KEYSLOT_ANY;

    if (settings->given_key == NULL)
        return volume_key_read(out, &slot, header, &settings->key, settings->image, err);
    return volume_key_open(out, &slot, header, &settings->key, settings->given_key, err);
}

/* Puts the LUKS stage on the top.  An image that is not LUKS is refused: who controls the storage
 * must not be able to switch encryption off. */
static int add_luks(struct export *ex, const struct export_settings *settings, struct error *err)
{
    struct stage **top = &ex->top;
    struct luks_header *header;
    struct secret *volume_key;
    struct format_signature content;
    int result = settings->header != NULL ? load_detached(&header, ex, settings, err)
                                          : volume_header_load(&header, *top, NULL, &content, err);

    ex->found_qcow2 = result == -EMEDIUMTYPE && settings->header == NULL &&
                      qcow2_found(&content, settings->image, &settings->demands);
    if (result == -EMEDIUMTYPE && settings->header == NULL)
        volume_header_tell_content(&content, LUKS_IMAGE_SERVED, err);
    if (result < 0 && settings->header == NULL)
        error_prefix(err, "image '%s': ", settings->image);
    if (result < 0)
        return result;
    if (luks_damaged_copy(header) != NULL)
        log_warning("image '%s': the %s copy of the LUKS2 header is damaged; the other one is used "
                    "(`cryptsetup repair` mends it)",
                    settings->image, luks_damaged_copy(header));
    result = luks_demands_check(&settings->demands, header, err);
    if (result == 0)
        result = zero_holes_check(header, settings, err);
    if (result == 0)
        result = unfinished_check(header, settings, err);
    if (result < 0)
        error_prefix(err, "image '%s': ", settings->image);
    if (result == 0 && luks_demands_leave_flags(&settings->demands, header))
        log_warning("image '%s': the digest of --header-digest has the old form, which does not "
                    "cover flags such as allow-discards; nbdcrypt info prints one that does "
                    "(v2:...)",
                    settings->image);
    if (result == 0)
        result = check_cipher(settings, luks_segment(header), err);
    if (result == 0)
        result = read_volume_key(&volume_key, header, settings, err);
    if (result == 0 && ex->header != NULL)
        header_was_read(ex); /* it may have to be changed */
    if (result == 0) {
        result = zero_holes_record(header, settings, *top, err);
        if (result < 0)
            secret_free(volume_key);
    }
    if (result == 0 && settings->header == NULL && !settings->converting)
        header_was_read(ex);
    if (result == 0) {
        const struct luks_segment *segment = luks_segment(header);
        struct luks_holes holes = { .discard = passes_trim(settings, header, &(*top)->limits),
                                    .zero_holes = settings->zero_holes };

        ex->luks = describe(segment);
        result = luks_stage_create(top, *top, segment, volume_key, holes, err);
        if (result < 0) {
            secret_free(volume_key);
            error_prefix(err, "image '%s': ", settings->image);
        }
    }
    luks_free(header);
    return result;
}

/* ---- an image that QEMU encrypted ---- */

static int unlock_qcow2(struct export *ex, const struct export_settings *settings,
                        struct error *err)
{
    const struct qcow2_key_settings key = { .image = settings->image,
                                            .option_prefix = export_option_prefix(settings),
                                            .key = &settings->key,
                                            .demands = &settings->demands,
                                            .sure = settings->sure_of_passphrase };
    struct luks_segment segment;
    int result =
        qcow2_key_check_options(settings->raw, settings->header != NULL, key.option_prefix, err);

    if (result < 0)
        error_prefix(err, "image '%s': ", settings->image);
    else
        result = qcow2_key_unlock(&segment, ex->top, &key, err);
    if (result == 0 && segment.type == LUKS_TYPE_1)
        ex->luks = describe(&segment);
    return result;
}

/* ---- the export ---- */

static int build_pipeline(struct export *ex, const struct export_settings *settings,
                          struct error *err)
{
    int result = 0;

    if (qcow2_stage_crypt(ex->top) != QCOW2_CRYPT_NONE)
        result = unlock_qcow2(ex, settings, err);
    else if (!settings->raw)
        result = add_luks(ex, settings, err);
    if (result == 0 && ex->top->limits.block_min_bytes > 1) {
        result = range_lock_create(&ex->ranges, err);
        if (result == 0)
            result = align_stage_create(&ex->top, ex->top, ex->ranges, err);
    }
    if (result == 0 && ex->top->limits.size_bytes == 0 && !settings->raw)
        result = error_set(err, -EINVAL, "image '%s': there is no room for data behind its header",
                           settings->image);
    return result;
}

static int set_block_sizes(struct export *ex, const struct export_settings *settings,
                           struct error *err)
{
    int result = block_sizes_parse(&ex->block_sizes, settings->block_size, err);

    if (result == 0)
        result = block_sizes_check(&ex->block_sizes, ex->top->limits.size_bytes, err);
    if (result < 0)
        error_prefix(err, "image '%s': ", settings->image);
    return result;
}

/* Clients see that neither is offered; whoever looks after the server does not. */
static void warn_if_nothing_is_durable(const struct export *ex, const char *image)
{
    const struct limits *limits = &ex->limits;

    if (!limits->read_only && !limits->fua && !(limits->ops & OP_BIT(REQUEST_FLUSH)))
        log_warning(
            "image '%s': it has neither FLUSH nor FUA, so that nobody knows when what clients "
            "write is stored for good: any of it may be lost when its storage fails or ends",
            image);
}

/* They have been checked with the other settings. */
static void use_limits(struct export *ex, const struct export_settings *settings)
{
    struct limit_terms terms;

    if (limit_settings_terms(&terms, &settings->limits, NULL) == 0)
        export_limit(ex, &terms);
}

void export_declare(struct export *out, uint64_t id, const struct export_settings *settings)
{
    *out = (struct export){
        .id = id,
        .settings = settings,
        .name = settings->name,
        .description = settings->description,
        .access = settings->access,
        .tls_only = settings->tls_only,
        .missing = true,
    };
    use_limits(out, settings);
}

/* What observers see of what holds. */
static void tell_board(const struct export *ex)
{
    uint64_t slow_ns = 0;

    _Static_assert((int)BOARD_LIMITS == (int)LIMIT_KINDS &&
                       (int)BOARD_LIMIT_BYTES == (int)LIMIT_BANDWIDTH,
                   "the limits that are given are those that are seen");
    if (ex->board == NULL)
        return;
    if (slow_limit_parse(&slow_ns, ex->settings->slow_request, NULL) < 0)
        slow_ns = 0; /* it has been checked with the other settings */
    board_export_limit(ex->board, ex->place, slow_ns, ex->rates.terms.rate);
    if (slow_ns > 0)
        guard_look_soon();
}

static void tell_whether_limited(struct export *ex)
{
    atomic_store(&ex->limited,
                 limit_terms_hold(&ex->rates.terms) || atomic_load(&ex->group) != NULL);
}

void export_limit(struct export *ex, const struct limit_terms *terms)
{
    const struct limit_terms client = limit_terms_of_client(terms);
    uint64_t now_ns = board_now_ns();

    if (limit_terms_equal(terms, &ex->rates.terms))
        return;
    limit_clients_use(&ex->clients, &client, now_ns);
    limit_set_use(&ex->rates, terms, now_ns);
    tell_whether_limited(ex);
    tell_board(ex);
}

/* Who waits for the one before notices. */
static void use_group(struct export *ex, const char *name)
{
    bool none = name == NULL || strcmp(name, LIMIT_GROUP_NONE) == 0;
    struct limit_set *next = none ? NULL : limit_groups_get(name),
                     *before = atomic_load(&ex->group);

    if (before != NULL && next != before)
        limit_group_weigh(before, &ex->part, 0);
    if (next != NULL)
        limit_group_weigh(next, &ex->part, export_weight(ex));
    if (next == before)
        return;
    atomic_store(&ex->group, next);
    atomic_fetch_add(&ex->rates.changes, 1);
    tell_whether_limited(ex);
}

void export_share(struct export *ex, const char *group, unsigned weight)
{
    atomic_store(&ex->weight, weight);
    use_group(ex, group);
}

void export_join_board(struct export *ex, const struct board *board)
{
    ex->board = board;
    ex->place = board_export_begin(board, ex->id, ex->name);
    export_share(ex, ex->settings->limit_group, ex->settings->weight);
    tell_board(ex);
}

void export_alter(struct export *ex, const struct export_settings *settings)
{
    use_limits(ex, settings);
    export_share(ex, settings->limit_group, settings->weight);
    ex->settings = settings;
    atomic_store(&ex->name, settings->name);
    atomic_store(&ex->description, settings->description);
    atomic_store(&ex->access, settings->access);
    atomic_store(&ex->tls_only, settings->tls_only);
    tell_board(ex);
}

void export_publish(struct export *ex, const struct export *opened)
{
    ex->top = opened->top;
    ex->luks = opened->luks;
    ex->header = opened->header;
    ex->limits = opened->limits;
    ex->contexts = opened->contexts;
    ex->block_sizes = opened->block_sizes;
    ex->ranges = opened->ranges;
    ex->parts = opened->parts;
    atomic_store_explicit(&ex->missing, false, memory_order_release);
}

/* What is found where a LUKS volume should be is opened as what it is, if it is encrypted, by QEMU
 * or by LUKS on the disk in it.  One without encryption has to be named. */
static int open_image(struct export *ex, const struct export_settings *settings,
                      struct image_options *options, struct error *err)
{
    int result = image_open(&ex->top, settings->image, options, err);

    if (result == 0)
        result = build_pipeline(ex, settings, err);
    if (result == 0 || !ex->found_qcow2)
        return result;
    stage_close(ex->top);
    ex->top = NULL;
    result = qcow2_found_open(&ex->top, settings->image, options, err);
    if (result == 0)
        result = build_pipeline(ex, settings, err);
    return result == -EMEDIUMTYPE ? qcow2_found_refuse_plain(settings->image, err) : result;
}

int export_open(struct export *out, const struct export_settings *settings, struct offload *offload,
                unsigned workers, struct error *err)
{
    struct image_options options = settings->options;
    struct export ex;

    options.lock = true;
    options.offload = offload;
    options.export_name = settings->name;
    options.contexts = settings->raw && !settings->no_contexts;
    export_declare(&ex, 0, settings);
    int result = open_image(&ex, settings, &options, err);
    if (result == 0)
        result = set_block_sizes(&ex, settings, err);
    if (result == 0) {
        ex.parts = calloc(workers, sizeof *ex.parts);
        if (ex.parts == NULL)
            result = error_set(err, -ENOMEM, "not enough memory for export '%s'", settings->name);
    }
    if (result < 0) {
        export_close(&ex);
        return result;
    }
    ex.limits = ex.top->limits;
    ex.limits.read_only |= settings->options.read_only;
    ex.contexts = stage_contexts(ex.top);
    warn_if_nothing_is_durable(&ex, settings->image);
    *out = ex;
    return 0;
}

void export_close(struct export *ex)
{
    stage_close(ex->top);
    stage_close(ex->header);
    range_lock_destroy(ex->ranges);
    limit_clients_free(&ex->clients);
    use_group(ex, NULL);
    free(ex->parts);
    *ex = (struct export){ 0 };
}

void export_grow(struct export *ex)
{
    const struct limits *image = &stage_backend(ex->top)->limits;
    uint64_t image_bytes = image->size_bytes, size_bytes = ex->limits.size_bytes;

    stage_grow(ex->top);
    limits_grow(&ex->limits, ex->top->limits.size_bytes);
    if (ex->limits.size_bytes > size_bytes) {
        log_export(
            LOG_NOTICE, LOG_ID_EXPORT_GROWN, ex->name,
            "export '%s': it has grown from %s to %s; clients that connect from now on see that",
            ex->name, size_text(size_bytes).text, size_text(ex->limits.size_bytes).text);
        EVENT(.type = "export.grown", .export = ex->name, .size_bytes = ex->limits.size_bytes);
    } else if (image->size_bytes > image_bytes) {
        log_export(
            LOG_NOTICE, NULL, ex->name,
            "export '%s': its image has grown to %s, but the export has not: it is a part of the "
            "image, or its header says how large the volume is",
            ex->name, size_text(image->size_bytes).text);
    }
}

int export_flush(struct export *ex, struct loop *loop, struct error *err)
{
    if (ex->limits.read_only)
        return 0;
    int result = image_io_flush_on(ex->top, loop, err);
    if (result < 0)
        error_prefix(err, "export '%s': ", ex->name);
    return result;
}

int export_attach(struct layer **out, struct export *ex, unsigned worker, struct loop *loop,
                  struct export_part **list, struct error *err)
{
    struct export_part *part = &ex->parts[worker];

    if (part->layer == NULL) {
        int result = stage_attach(&part->layer, ex->top, loop, err);

        if (result < 0)
            return result;
        part->next = *list;
        if (part->next != NULL)
            part->next->link = &part->next;
        part->link = list;
        *list = part;
    }
    *out = part->layer;
    return 0;
}

void export_part_leave(struct export_part *part, struct io_event *ev)
{
    if (part->layer != NULL)
        layer_leave(part->layer, ev);
    else
        ev->fn(ev, 0);
}

/* The last part of a pipeline may run the loop until it has ended: what comes meanwhile, such as a
 * look of a suspend, must not find the pipeline any more. */
void export_part_detach(struct export_part *part)
{
    struct layer *layer = part->layer;

    if (layer == NULL)
        return;
    *part->link = part->next;
    if (part->next != NULL)
        part->next->link = part->link;
    *part = (struct export_part){ 0 };
    layer_detach(layer);
}
