/* A new volume: see new-volume.h. */
#include "server/cli/new-volume.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks/luks-steps.h"
#include "server/block/image-io.h"
#include "server/block/image.h"
#include "server/keys/wait-notice.h"
#include "server/volume/volume-header.h"

/* ---- sizes ---- */

static uint64_t area_bytes_of(enum luks_type type)
{
    return type == LUKS_TYPE_1 ? LUKS_FORMAT_AREA_BYTES_LUKS1 : LUKS_FORMAT_AREA_BYTES_LUKS2;
}

/* With a detached header the image keeps what it holds, but is read as ciphertext from now on: what
 * it held is lost all the same. */
int new_volume_inspect(struct new_volume *volume, const char *spec, struct error *err)
{
    const struct new_volume_arguments *arguments = &volume->arguments;
    struct format_target_wish wish = {
        .spec = spec,
        .may_be_made = arguments->usable_bytes != 0,
        .is_written = arguments->header == NULL,
        .area_bytes = area_bytes_of(volume->options.type),
        .terms = arguments->terms,
        .force = arguments->force,
        .force_option = volume->force_option,
    };
    int result = format_target_inspect(&volume->image, &wish, err);

    if (result < 0 || arguments->header == NULL)
        return result;
    wish.spec = arguments->header;
    wish.may_be_made = wish.is_written = true;
    return format_target_inspect(&volume->header, &wish, err);
}

/* LUKS1 knows one size; the larger sectors cost less, but must fit the disk exactly. */
static unsigned default_sector(const struct new_volume *volume, uint64_t usable_bytes)
{
    return volume->options.type == LUKS_TYPE_2 && usable_bytes % 4096 == 0 ? 4096 : 512;
}

/* A header says where the data begins, and not where it ends: more would be served than was asked
 * for. */
static int refuse_larger(const struct format_target *image, uint64_t needed_bytes,
                         uint64_t area_bytes, struct error *err)
{
    return error_set(err, -EFBIG,
                     "'%s' has %" PRIu64 " bytes, which makes a usable size of %" PRIu64 " and not "
                     "of %" PRIu64 " as --size says: leave out --size to use all of it, or make it "
                     "%" PRIu64 " bytes large before",
                     image->spec, image->size_bytes, image->size_bytes - area_bytes,
                     needed_bytes - area_bytes, needed_bytes);
}

int new_volume_choose_sizes(struct new_volume *volume, struct error *err)
{
    const struct new_volume_arguments *arguments = &volume->arguments;
    struct luks_format_options *options = &volume->options;
    uint64_t area_bytes = options->detached ? 0 : area_bytes_of(options->type);
    uint64_t usable_bytes = arguments->usable_bytes;
    uint64_t needed_bytes = 0;

    if (usable_bytes == 0 && volume->image.size_bytes > area_bytes)
        usable_bytes = volume->image.size_bytes - area_bytes;
    options->sector_bytes =
        arguments->sector_bytes ? arguments->sector_bytes : default_sector(volume, usable_bytes);
    if (arguments->usable_bytes != 0) {
        uint64_t sector_bytes = options->sector_bytes;

        needed_bytes = area_bytes + (usable_bytes + sector_bytes - 1) / sector_bytes * sector_bytes;
    }
    options->data_bytes = volume->image.size_bytes;
    if (needed_bytes != 0 && options->data_bytes >= needed_bytes + options->sector_bytes)
        return refuse_larger(&volume->image, needed_bytes, area_bytes, err);
    if (needed_bytes <= options->data_bytes)
        return 0;
    if (volume->image.path == NULL)
        return error_set(err, -ENOSPC,
                         "'%s' has %" PRIu64 " bytes, but %" PRIu64 " are needed, and it can't be "
                         "enlarged from here",
                         volume->image.spec, options->data_bytes, needed_bytes);
    options->data_bytes = needed_bytes;
    return 0;
}

/* Keyslots, then the copies of the header from the last to the first, each on the disk before the
 * next: what is found after a crash is either no volume or a whole one. */
static int write_header(enum luks_outcome *outcome, struct image_io *io,
                        const struct luks_format_result *header, struct error *err)
{
    uint64_t copies_bytes = header->copies * header->copy_bytes;
    struct luks_area keyslots = { copies_bytes, header->header_bytes - copies_bytes };
    struct luks_store store = volume_header_store(io);
    struct luks_steps steps = { .count = 0 };
    struct luks_end end;
    int result;

    luks_steps_add(&steps, &keyslots, header->image_fd, LUKS_PLACE_USED);
    for (unsigned copy = header->copies; copy > 0; copy--) {
        struct luks_area area = { (copy - 1) * header->copy_bytes, header->copy_bytes };

        luks_steps_add(&steps, &area, header->image_fd, LUKS_PLACE_USED);
    }
    steps.turn = steps.count;
    result = luks_steps_run(&steps, &store, &end, err);
    *outcome = end.outcome;
    return result;
}

/* What was made or enlarged is opened (again), under the lock that there is, if there is one. */
static int write_target(enum luks_outcome *outcome, struct format_target *target,
                        const struct luks_format_result *header, const struct lock_terms *terms,
                        struct error *err)
{
    struct image_options options = { .lock = true, .terms = *terms, .beside = target->stage };
    struct stage *own = NULL;
    struct image_io *io = NULL;
    int result = target->grown ? image_open(&own, target->spec, &options, err) : 0;
    struct stage *stage = own != NULL ? own : target->stage;

    if (result < 0)
        return result;
    image_warn_if_volatile(stage, target->spec);
    result = image_io_create(&io, stage, err);
    if (result == 0)
        result = write_header(outcome, io, header, err);
    image_io_destroy(io);
    stage_close(own);
    return result;
}

/* Of the one that holds the header; `undone`: it ends where it did. */
static void tell_what_is_left(const struct format_target *holder, enum luks_outcome outcome,
                              bool undone, struct error *err)
{
    if (holder->made && undone)
        error_prefix(err, "'%s': it was removed again: ", holder->spec);
    else if (outcome == LUKS_OUTCOME_UNKNOWN)
        error_prefix(err, "'%s': it is neither what it was nor a volume now: ", holder->spec);
    else
        error_prefix(err, "'%s': %s: ", holder->spec,
                     undone ? "it is what it was" : "it holds what it held");
}

static int write_all(struct new_volume *volume, const struct luks_format_result *header,
                     struct error *err)
{
    bool detached = volume->options.detached;
    struct format_target *holder = detached ? &volume->header : &volume->image;
    struct format_target *other = detached ? &volume->image : &volume->header;
    enum luks_outcome outcome = LUKS_OUTCOME_UNTOUCHED;
    int result = format_target_make_room(&volume->image, volume->options.data_bytes, err);
    bool roomy;

    if (result == 0 && detached)
        result = format_target_make_room(&volume->header, header->header_bytes, err);
    roomy = result == 0;
    if (roomy)
        result = write_target(&outcome, holder, header, &volume->arguments.terms, err);
    if (result < 0) {
        bool undone = format_target_undo(holder);

        (void)format_target_undo(other);
        if (roomy)
            tell_what_is_left(holder, outcome, undone, err);
    }
    return result;
}

static int set_type(struct luks_format_options *options, const char *type, struct error *err)
{
    if (strcmp(type, "luks2") == 0)
        options->type = LUKS_TYPE_2;
    else if (strcmp(type, "luks1") == 0)
        options->type = LUKS_TYPE_1;
    else
        return error_set(err, -EINVAL, "--type '%s' is neither luks2 nor luks1", type);
    return 0;
}

static int check_keys(const struct new_volume_arguments *arguments, struct error *err)
{
    int result = key_source_check(&arguments->key, "--", err);

    if (result == 0)
        result = key_source_check(&arguments->volume_key, "--", err);
    if (result == 0 && key_source_is_stdin(&arguments->key) &&
        key_source_is_stdin(&arguments->volume_key))
        result = error_set(err, -EINVAL,
                           "--key-file and --volume-key-file can't both be standard input");
    return result;
}

/* What can be said about the options without looking at anything. */
int new_volume_set_options(struct new_volume *volume, struct error *err)
{
    const struct new_volume_arguments *arguments = &volume->arguments;
    struct luks_format_options *options = &volume->options;
    struct luks_format_options check;
    int result = set_type(options, arguments->type, err);

    if (result == 0)
        result = check_keys(arguments, err);
    if (result < 0)
        return result;
    options->cipher = arguments->cipher;
    options->key_bits =
        arguments->key_bits ? arguments->key_bits : cipher_spec_default_key_bits(arguments->cipher);
    options->pbkdf.name = arguments->pbkdf;
    options->pbkdf.hash = arguments->hash;
    options->pbkdf.iterations = arguments->pbkdf_iterations;
    options->pbkdf.memory_kib = arguments->pbkdf_memory_kib;
    options->label = arguments->label;
    options->subsystem = arguments->subsystem;
    options->uuid = arguments->uuid;
    options->detached = arguments->header != NULL;
    options->allow_discards = arguments->discard;
    if (options->allow_discards && options->type == LUKS_TYPE_1)
        return error_set(err, -EINVAL,
                         "--discard: LUKS1 has no persistent flags; give it to serve");
    check = *options;
    check.sector_bytes = arguments->sector_bytes ? arguments->sector_bytes : 512;
    return luks_format_check(&check, err);
}

/* The key of a new volume is often new, too. */
static bool passphrase_file_is_missing(const struct new_volume_arguments *arguments)
{
    const char *path = arguments->key.file;

    return path != NULL && strcmp(path, "-") != 0 && access(path, F_OK) < 0 && errno == ENOENT;
}

/* The header in memory; the caller closes its image_fd. */
static int make_header(struct luks_format_result *header, struct new_volume *volume,
                       struct error *err)
{
    const struct new_volume_arguments *arguments = &volume->arguments;
    struct wait_notice notice;
    const struct secret *given = volume->options.volume_key;
    struct secret *volume_key = NULL, *passphrase = NULL;
    int result = 0;

    if (arguments->volume_key.volume_key_file)
        result =
            key_source_read(&volume_key, &arguments->volume_key, volume->image.spec, false, err);
    if (result == 0)
        result = key_source_read(&passphrase, &arguments->key, volume->image.spec, true, err);
    if (result == -ENOENT && passphrase_file_is_missing(arguments))
        error_set(err, result, "%s; (umask 077; head -c 64 /dev/urandom > FILE) makes one",
                  err->text);
    if (result == 0) {
        volume->options.volume_key = volume_key != NULL ? volume_key : given;
        wait_notice_begin(&notice, "Making the keyslot");
        result = luks_format(header, &volume->options, passphrase, err);
        wait_notice_end(&notice);
        volume->options.volume_key = given;
        if (result < 0)
            error_prefix(err, "'%s': ", volume->image.spec);
    }
    secret_free(passphrase);
    secret_free(volume_key);
    return result;
}

int new_volume_make(struct new_volume *volume, struct luks_segment *segment, struct error *err)
{
    struct luks_format_result header;
    int result = make_header(&header, volume, err);

    if (result != 0)
        return result;
    result = write_all(volume, &header, err);
    (void)close(header.image_fd);
    *segment = header.segment;
    return result;
}

void new_volume_close(struct new_volume *volume)
{
    format_target_close(&volume->image);
    format_target_close(&volume->header);
}
