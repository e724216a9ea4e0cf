/* nbdcrypt format: see command-format.h.
 *
 *     check options -> look at the image -> passphrase -> header in memory
 *         -> make or enlarge the file -> write
 *
 * Nothing is changed before the header is ready. */
#include "server/cli/command-format.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/luks/luks-format.h"
#include "crypto/luks/luks-steps.h"
#include "server/block/image-io.h"
#include "server/block/image.h"
#include "server/keys/key-source.h"
#include "server/block/lock-params.h"
#include "server/base/file-io.h"
#include "server/base/log.h"
#include "server/volume/volume-header.h"
#include "server/base/shell-text.h"
#include "server/base/size-text.h"
#include "server/keys/wait-notice.h"
#include "server/base/zeros.h"

#define CHUNK_BYTES (256u * 1024u)

struct format_arguments {
    struct key_source key;
    struct key_source volume_key; /* its file; none: random */
    const char *type;
    const char *cipher;
    unsigned key_bits;     /* 0: the cipher's default */
    unsigned sector_bytes; /* 0: chosen */
    uint64_t usable_bytes; /* 0: not given */
    const char *pbkdf;
    const char *hash;
    unsigned pbkdf_iterations;
    unsigned pbkdf_memory_kib;
    const char *label;
    const char *subsystem;
    const char *uuid;
    const char *header;
    struct lock_terms terms;
    bool discard;
    bool force;
    bool help;
};

/* An image or a header file, before and while it is written. */
struct target {
    const char *spec;
    const char *path; /* of a local file; NULL: another backend */
    bool exists;
    bool made;            /* by this run */
    bool grown;           /* by this run, from nothing if it was made */
    uint64_t size_bytes;  /* 0 when it does not exist */
    int grown_fd;         /* what was made or enlarged, to undo that; of no meaning otherwise */
    uint64_t ended_bytes; /* where it ended before */
    uint64_t ends_bytes;  /* where it ends now */
    struct stage *stage;  /* open since it was looked at, and locked; NULL when it did not exist */
};

struct format {
    struct format_arguments arguments;
    struct luks_format_options options;
    struct target image;
    struct target header; /* spec is NULL without --header */
};

#define FIELD(name) offsetof(struct format, arguments.name)

static const struct param format_params[] = {
    KEY_SOURCE_ROWS("", struct format, arguments.key, "the passphrase"),
    PARAM("volume-key-file", STRING, "FILE", volume_key.volume_key_file,
          "take the volume key from this file, which has as many bits as --key-bits; default: "
          "random"),
    PARAM("type", STRING, "TYPE", type, "luks2 or luks1 (default: luks2)",
          .choices = "luks2|luks1"),
    PARAM("cipher", STRING, "CIPHER", cipher,
          "aes, serpent, twofish or camellia, with xts or cbc and an IV: serpent-cbc-essiv:sha256, "
          "... (default: aes-xts-plain64)",
          .choices = CIPHER_SPEC_CHOICES),
    PARAM("key-bits", UINT, "N", key_bits,
          "xts: 512 or 256, two keys of half that size; cbc: 256, 192 or 128 (default: the first)",
          .min = 128, .max = 512),
    PARAM("sector-size", UINT, "BYTES", sector_bytes,
          "512, 1024, 2048 or 4096 (default: 4096 when the usable size is a multiple of it, else "
          "512)",
          .min = 512, .max = 4096),
    PARAM(
        "size", SIZE, "SIZE", usable_bytes,
        "the usable size: a file is made, or made large enough, to hold header and data; default: "
        "the whole image is used",
        .min = 1, .max = INT64_MAX / 2),
    PARAM("pbkdf", STRING, "KDF", pbkdf,
          "argon2id, argon2i or pbkdf2 (default: argon2id, of luks1 pbkdf2)",
          .choices = "argon2id|argon2i|pbkdf2"),
    PARAM("hash", STRING, "HASH", hash,
          "of pbkdf2, and of a luks1 header: sha256, sha512, ... (default: sha256)",
          .choices = "sha256|sha512"),
    PARAM("pbkdf-iterations", UINT, "N", pbkdf_iterations,
          "fixed cost (default: what takes 2 seconds here)", .min = 1, .max = UINT32_MAX),
    PARAM("pbkdf-memory-kib", UINT, "KIB", pbkdf_memory_kib,
          "memory of Argon2 at most (default: 1048576)", .min = 1, .max = UINT32_MAX),
    PARAM("label", STRING, "TEXT", label, "a name kept in the header (luks2)"),
    PARAM("subsystem", STRING, "TEXT", subsystem, "a second name kept in the header (luks2)"),
    PARAM("uuid", STRING, "UUID", uuid, "the UUID (default: random)"),
    PARAM("header", STRING, "FILE", header,
          "keep the header in this file; the image then holds nothing but data"),
    PARAM("discard", FLAG, NULL, discard,
          "set the flag by which all who open the volume pass TRIM on, which shows what is in use "
          "(luks2)"),
    PARAM("force", FLAG, NULL, force, "overwrite what is there", .never_proposed = true),
    LOCK_ROWS(struct format, arguments.terms),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

/* ---- what is there ---- */

/* The path of "PATH" and "file:PATH".  "memory:1G" and the like have none, nor has a part of
 * a disk: that is neither made nor enlarged. */
static const char *local_path(const char *spec)
{
    size_t scheme = strspn(spec, "abcdefghijklmnopqrstuvwxyz+");

    if (image_names_a_part(spec))
        return NULL;
    if (strncmp(spec, "file:", 5) == 0)
        return spec + 5;
    if (scheme >= 2 && spec[scheme] == ':' && access(spec, F_OK) != 0)
        return NULL;
    return spec;
}

static int refuse_content(const struct target *target, const char *content, struct error *err)
{
    return error_set(err, -EEXIST,
                     "'%s' is not empty: it holds %s; give --force to overwrite it, which "
                     "destroys what is there",
                     target->spec, *content ? content : "data");
}

/* The whole area that will be written must be zeros, and no mark of another format may be near. */
static int check_is_empty(const struct target *target, struct image_io *io, uint64_t area_bytes,
                          struct error *err)
{
    uint64_t end_bytes = area_bytes < target->size_bytes ? area_bytes : target->size_bytes;
    uint8_t *chunk = malloc(CHUNK_BYTES);
    struct format_signature content;
    bool empty = true;
    int result;

    if (chunk == NULL)
        return error_no_memory(err, "to look at the image");
    result = volume_header_signature(&content, FORMAT_SIGNATURE_ANY, io, target->size_bytes, err);
    for (uint64_t at = 0; at < end_bytes && empty && result == 0; at += CHUNK_BYTES) {
        size_t now = end_bytes - at < CHUNK_BYTES ? (size_t)(end_bytes - at) : CHUNK_BYTES;

        result = image_io_read(io, at, chunk, now, err);
        empty = result != 0 || zeros_only(chunk, now);
    }
    free(chunk);
    if (result == 0 && (!empty || content.text[0] != '\0'))
        result = refuse_content(target, content.text, err);
    return result;
}

/* Opens what `spec` names, measures it, and looks at what is in the first `area_bytes`.  It stays
 * locked, so that nothing comes there until it is written.  An image whose header is elsewhere is
 * not written, and must not be anybody else's either. */
static int inspect_existing(struct target *target, bool holds_header, uint64_t area_bytes,
                            const struct format_arguments *arguments, struct error *err)
{
    struct image_options options = { .read_only = !holds_header,
                                     .lock = true,
                                     .terms = arguments->terms };
    struct image_io *io = NULL;
    int result = image_open(&target->stage, target->spec, &options, err);

    if (result < 0)
        return result;
    target->exists = true;
    target->size_bytes = target->stage->limits.size_bytes;
    if (arguments->force)
        return 0;
    result = image_io_create(&io, target->stage, err);
    if (result == 0)
        result = check_is_empty(target, io, area_bytes, err);
    image_io_destroy(io);
    return result;
}

/* A path that does not exist is fine as long as it will be made. */
static int inspect(struct target *target, const char *spec, bool may_be_made, bool holds_header,
                   uint64_t area_bytes, const struct format_arguments *arguments, struct error *err)
{
    target->spec = spec;
    target->path = local_path(spec);
    if (target->path != NULL && access(target->path, F_OK) != 0 && errno == ENOENT) {
        if (may_be_made)
            return 0;
        return error_set(err, -ENOENT, "'%s' does not exist; give --size to have it made", spec);
    }
    return inspect_existing(target, holds_header, area_bytes, arguments, err);
}

static uint64_t area_bytes_of(enum luks_type type)
{
    return type == LUKS_TYPE_1 ? LUKS_FORMAT_AREA_BYTES_LUKS1 : LUKS_FORMAT_AREA_BYTES_LUKS2;
}

static int inspect_all(struct format *format, const char *spec, struct error *err)
{
    const struct format_arguments *arguments = &format->arguments;
    uint64_t area_bytes = area_bytes_of(format->options.type);
    bool sized = arguments->usable_bytes != 0;
    int result;

    /* With a detached header the image keeps what it holds, but is read as ciphertext from now on:
     * what it held is lost all the same. */
    result =
        inspect(&format->image, spec, sized, arguments->header == NULL, area_bytes, arguments, err);
    if (result < 0 || arguments->header == NULL)
        return result;
    return inspect(&format->header, arguments->header, true, true, area_bytes, arguments, err);
}

/* ---- sizes ---- */

/* LUKS1 knows one size; the larger sectors cost less, but must fit the disk exactly. */
static unsigned default_sector(const struct format *format, uint64_t usable_bytes)
{
    return format->options.type == LUKS_TYPE_2 && usable_bytes % 4096 == 0 ? 4096 : 512;
}

/* A header says where the data begins, and not where it ends: more would be served than was asked
 * for. */
static int refuse_larger(const struct target *image, uint64_t needed_bytes, uint64_t area_bytes,
                         struct error *err)
{
    return error_set(err, -EFBIG,
                     "'%s' has %" PRIu64 " bytes, which makes a usable size of %" PRIu64 " and not "
                     "of %" PRIu64 " as --size says: leave out --size to use all of it, or make it "
                     "%" PRIu64 " bytes large before",
                     image->spec, image->size_bytes, image->size_bytes - area_bytes,
                     needed_bytes - area_bytes, needed_bytes);
}

/* How large the image will be, and its sectors. */
static int choose_sizes(struct format *format, struct error *err)
{
    const struct format_arguments *arguments = &format->arguments;
    struct luks_format_options *options = &format->options;
    uint64_t area_bytes = options->detached ? 0 : area_bytes_of(options->type);
    uint64_t usable_bytes = arguments->usable_bytes;
    uint64_t needed_bytes = 0;

    if (usable_bytes == 0 && format->image.size_bytes > area_bytes)
        usable_bytes = format->image.size_bytes - area_bytes;
    options->sector_bytes =
        arguments->sector_bytes ? arguments->sector_bytes : default_sector(format, usable_bytes);
    if (arguments->usable_bytes != 0) {
        uint64_t sector_bytes = options->sector_bytes;

        needed_bytes = area_bytes + (usable_bytes + sector_bytes - 1) / sector_bytes * sector_bytes;
    }
    options->data_bytes = format->image.size_bytes;
    if (needed_bytes != 0 && options->data_bytes >= needed_bytes + options->sector_bytes)
        return refuse_larger(&format->image, needed_bytes, area_bytes, err);
    if (needed_bytes <= options->data_bytes)
        return 0;
    if (format->image.path == NULL)
        return error_set(err, -ENOSPC,
                         "'%s' has %" PRIu64 " bytes, but %" PRIu64 " are needed, and it can't be "
                         "enlarged from here",
                         format->image.spec, options->data_bytes, needed_bytes);
    options->data_bytes = needed_bytes;
    return 0;
}

/* ---- writing ---- */

/* A volume that is said to be made is there after a loss of power, with its size. */
static int keep_room(const struct target *target, struct error *err)
{
    int result = fsync(target->grown_fd) == 0 ? 0 : -errno;

    if (result == 0 && target->made)
        result = file_io_sync_name(target->path);
    if (result < 0)
        (void)error_set(err, result, "'%s' can't be made durable: %s", target->path,
                        strerror(-result));
    return result;
}

static int enlarge(struct target *target, uint64_t size_bytes, struct error *err)
{
    struct stat status;
    int result;

    if (fstat(target->grown_fd, &status) == 0 &&
        ftruncate(target->grown_fd, (off_t)size_bytes) == 0) {
        target->grown = true;
        target->ended_bytes = (uint64_t)status.st_size;
        target->ends_bytes = size_bytes;
        return keep_room(target, err);
    }
    result = -errno;
    (void)error_set(err, result, "'%s' can't be made %" PRIu64 " bytes large: %s", target->path,
                    size_bytes, strerror(-result));
    if (target->made)
        (void)unlink(target->path);
    target->made = false;
    (void)close(target->grown_fd);
    return result;
}

/* Makes the file, or makes it larger; never smaller. */
static int make_room(struct target *target, uint64_t size_bytes, struct error *err)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | (target->exists ? 0 : O_CREAT | O_EXCL);
    int result;

    if (target->path == NULL || (target->exists && target->size_bytes >= size_bytes))
        return 0;
    target->grown_fd = open(target->path, flags, 0600);
    if (target->grown_fd < 0) {
        result = -errno;
        return error_set(err, result, "'%s' can't be %s: %s", target->path,
                         target->exists ? "opened for writing" : "made", strerror(-result));
    }
    target->made = !target->exists;
    return enlarge(target, size_bytes, err);
}

/* The name may be that of something else by now. */
static int remove_made(const struct target *target)
{
    struct stat made, named;

    if (fstat(target->grown_fd, &made) < 0 || lstat(target->path, &named) < 0)
        return -errno;
    if (made.st_dev != named.st_dev || made.st_ino != named.st_ino)
        return -ESTALE;
    return unlink(target->path) == 0 ? 0 : -errno;
}

/* Somebody else may have made it longer still. */
static int cut_grown(const struct target *target)
{
    struct stat now;

    if (fstat(target->grown_fd, &now) < 0)
        return -errno;
    if ((uint64_t)now.st_size != target->ends_bytes)
        return -ESTALE;
    if (ftruncate(target->grown_fd, (off_t)target->ended_bytes) < 0)
        return -errno;
    return fsync(target->grown_fd) == 0 ? 0 : -errno;
}

/* False: a warning says what is left of it. */
static bool undo_growth(const struct target *target)
{
    int result = 0;

    if (target->made)
        result = remove_made(target);
    else if (target->grown)
        result = cut_grown(target);
    if (result == 0)
        return true;
    if (target->made)
        log_warning("'%s' was made, and can't be removed again: %s", target->path,
                    strerror(-result));
    else
        log_warning("'%s' was made larger, and can't be cut to the %" PRIu64
                    " bytes that it had: %s",
                    target->path, target->ended_bytes, strerror(-result));
    return false;
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
static int write_target(enum luks_outcome *outcome, struct target *target,
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
static void tell_what_is_left(const struct target *holder, enum luks_outcome outcome, bool undone,
                              struct error *err)
{
    if (holder->made && undone)
        error_prefix(err, "'%s': it was removed again: ", holder->spec);
    else if (outcome == LUKS_OUTCOME_UNKNOWN)
        error_prefix(err, "'%s': it is neither what it was nor a volume now: ", holder->spec);
    else
        error_prefix(err, "'%s': %s: ", holder->spec,
                     undone ? "it is what it was" : "it holds what it held");
}

static int write_all(struct format *format, const struct luks_format_result *header,
                     struct error *err)
{
    bool detached = format->options.detached;
    struct target *holder = detached ? &format->header : &format->image;
    struct target *other = detached ? &format->image : &format->header;
    enum luks_outcome outcome = LUKS_OUTCOME_UNTOUCHED;
    int result = make_room(&format->image, format->options.data_bytes, err);
    bool roomy;

    if (result == 0 && detached)
        result = make_room(&format->header, header->header_bytes, err);
    roomy = result == 0;
    if (roomy)
        result = write_target(&outcome, holder, header, &format->arguments.terms, err);
    if (result < 0) {
        bool undone = undo_growth(holder);

        (void)undo_growth(other);
        if (roomy)
            tell_what_is_left(holder, outcome, undone, err);
    }
    return result;
}

static void close_target(struct target *target)
{
    if (target->grown)
        (void)close(target->grown_fd);
    stage_close(target->stage);
}

/* ---- the command ---- */

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

static int check_keys(const struct format_arguments *arguments, struct error *err)
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
static int set_options(void *context, char **operands, struct error *err)
{
    struct format *format = context;
    const struct format_arguments *arguments = &format->arguments;
    struct luks_format_options *options = &format->options;
    struct luks_format_options check;
    int result = set_type(options, arguments->type, err);

    (void)operands;
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

/* For a shell: an image may be nbd://host/name?socket=path&... */
static void print_word(const char *before, const char *text)
{
    char *word = shell_text_word(text);

    printf("%s%s", before, word != NULL ? word : text);
    free(word);
}

static void print_result(const struct format *format, const struct luks_format_result *header)
{
    const struct luks_segment *segment = &header->segment;
    const char *key_file = format->arguments.key.file;
    bool named = key_file != NULL && strcmp(key_file, "-") != 0;

    printf("%s is a LUKS%d volume now.\n", format->image.spec, (int)segment->type);
    printf("UUID:        %s\n", segment->uuid);
    printf("Cipher:      %s, %u-bit key, sectors of %u bytes\n", segment->cipher.name,
           segment->cipher.key_bits, segment->sector_bytes);
    printf("Usable size: %s\n", size_text(segment->payload_bytes).text);
    printf("Serve it:    nbdcrypt serve");
    if (named)
        print_word(" --key-file ", key_file);
    if (format->header.spec)
        print_word(" --header ", format->header.spec);
    print_word(" ", format->image.spec);
    printf("\n");
}

static void warn_of_weakness(const struct luks_segment *segment)
{
    const char *weakness = cipher_spec_weakness(&segment->cipher, segment->payload_bytes);

    if (weakness)
        log_warning("%s %s", segment->cipher.name, weakness);
}

/* The key of a new volume is often new, too. */
static bool passphrase_file_is_missing(const struct format_arguments *arguments)
{
    const char *path = arguments->key.file;

    return path != NULL && strcmp(path, "-") != 0 && access(path, F_OK) < 0 && errno == ENOENT;
}

/* The header in memory; the caller closes its image_fd. */
static int make_header(struct luks_format_result *header, struct format *format, struct error *err)
{
    const struct format_arguments *arguments = &format->arguments;
    struct wait_notice notice;
    struct secret *volume_key = NULL, *passphrase = NULL;
    int result = 0;

    if (arguments->volume_key.volume_key_file)
        result =
            key_source_read(&volume_key, &arguments->volume_key, format->image.spec, false, err);
    if (result == 0)
        result = key_source_read(&passphrase, &arguments->key, format->image.spec, true, err);
    if (result == -ENOENT && passphrase_file_is_missing(arguments))
        error_set(err, result, "%s; (umask 077; head -c 64 /dev/urandom > FILE) makes one",
                  err->text);
    if (result == 0) {
        format->options.volume_key = volume_key;
        wait_notice_begin(&notice, "Making the keyslot");
        result = luks_format(header, &format->options, passphrase, err);
        wait_notice_end(&notice);
        format->options.volume_key = NULL;
        if (result < 0)
            error_prefix(err, "'%s': ", format->image.spec);
    }
    secret_free(passphrase);
    secret_free(volume_key);
    return result;
}

static int make_volume(struct format *format, struct error *err)
{
    struct luks_format_result header;
    int result = make_header(&header, format, err);

    if (result != 0)
        return result;
    result = write_all(format, &header, err);
    (void)close(header.image_fd);
    if (result == 0) {
        print_result(format, &header);
        warn_of_weakness(&header.segment);
    }
    return result;
}

static int run(void *context, char **operands, struct error *err)
{
    struct format *format = context;
    int result = inspect_all(format, operands[0], err);

    if (result == 0)
        result = choose_sizes(format, err);
    if (result == 0)
        result = make_volume(format, err);
    close_target(&format->image);
    close_target(&format->header);
    return result;
}

static const struct format defaults = {
    .arguments = { .type = "luks2", .cipher = "aes-xts-plain64" },
};

const struct command command_format = {
    .name = "format",
    .help = "make an encrypted disk",
    .cryptsetup = "luksFormat",
    .about = "Makes an encrypted disk: writes a LUKS header with a new random key.",
    .operands = "IMAGE",
    .params = format_params,
    .arguments_bytes = sizeof(struct format),
    .defaults = &defaults,
    .check = set_options,
    .run = run,
};
