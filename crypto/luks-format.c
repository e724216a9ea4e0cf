/* Making LUKS headers: see luks-format.h. */
#include "crypto/luks-format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks-library.h"
#include "crypto/luks-policy.h"
#include "crypto/luks2-binary.h"

#define LABEL_BYTES_MAX 47u

/* ---- options ---- */

static int check_sector(const struct luks_format_options *options, struct error *err)
{
    uint32_t sector_bytes = options->sector_bytes;

    if (options->type == LUKS_TYPE_1 && sector_bytes != 512)
        return error_set(err, -EINVAL, "LUKS1 has sectors of 512 bytes only");
    if (sector_bytes != 512 && sector_bytes != 1024 && sector_bytes != 2048 && sector_bytes != 4096)
        return error_set(err, -EINVAL,
                         "sector size %" PRIu32 " is not one of 512, 1024, 2048 and 4096",
                         sector_bytes);
    return 0;
}

static int check_names(const struct luks_format_options *options, struct error *err)
{
    if (!options->label)
        return 0;
    if (options->type == LUKS_TYPE_1)
        return error_set(err, -EINVAL, "LUKS1 has no label");
    if (strlen(options->label) > LABEL_BYTES_MAX)
        return error_set(err, -EINVAL, "the label '%s' is longer than %u bytes", options->label,
                         LABEL_BYTES_MAX);
    return 0;
}

static int check_room(const struct luks_format_options *options, struct error *err)
{
    uint64_t area_bytes =
        options->type == LUKS_TYPE_1 ? LUKS_FORMAT_AREA_BYTES_LUKS1 : LUKS_FORMAT_AREA_BYTES_LUKS2;
    uint64_t least_bytes = (options->detached ? 0 : area_bytes) + options->sector_bytes;

    if (options->data_bytes >= least_bytes)
        return 0;
    if (options->detached)
        return error_set(err, -EINVAL,
                         "the image has %" PRIu64
                         " bytes, which is less than one sector of %" PRIu32,
                         options->data_bytes, options->sector_bytes);
    return error_set(err, -EINVAL,
                     "the image has %" PRIu64 " bytes, but a LUKS%d header takes %" PRIu64
                     " of them; give --size, or a larger image%s",
                     options->data_bytes, (int)options->type, area_bytes,
                     options->type == LUKS_TYPE_2 ? ", or --type luks1 (2 MiB)" : "");
}

int luks_format_check(const struct luks_format_options *options, struct error *err)
{
    struct cipher_spec spec;
    int result = cipher_spec_parse(&spec, options->cipher, options->key_bits, err);

    if (result == 0)
        result = check_sector(options, err);
    if (result == 0)
        result = luks_pbkdf_check(&options->pbkdf, options->type, err);
    if (result == 0)
        result = check_names(options, err);
    return result;
}

static int check_options(const struct luks_format_options *options, const struct secret *passphrase,
                         struct error *err)
{
    int result = luks_format_check(options, err);

    if (result == 0)
        result = check_room(options, err);
    if (result == 0 && passphrase->length_bytes == 0)
        result = error_set(err, -EINVAL, "the passphrase is empty");
    return result;
}

/* ---- the library's work ---- */

static int make_header(struct luks_library *library, const struct luks_format_options *options,
                       struct error *err)
{
    const char *mode = strchr(options->cipher, '-') + 1; /* the name has been checked */
    char cipher[32];
    struct crypt_params_luks2 luks2 = {
        .sector_size = options->sector_bytes,
        .label = options->label,
    };
    struct crypt_params_luks1 luks1 = { .hash = "sha256" };
    bool is_luks1 = options->type == LUKS_TYPE_1;
    int result;

    (void)snprintf(cipher, sizeof(cipher), "%.*s", (int)(mode - 1 - options->cipher),
                   options->cipher);
    result = crypt_format(library->device, is_luks1 ? CRYPT_LUKS1 : CRYPT_LUKS2, cipher, mode,
                          options->uuid, NULL, options->key_bits / 8,
                          is_luks1 ? (void *)&luks1 : (void *)&luks2);
    if (result < 0)
        return luks_library_error(library, result, "libcryptsetup can't make the header", err);
    return 0;
}

static int add_keyslot(struct luks_library *library, const struct secret *passphrase,
                       struct error *err)
{
    int slot =
        crypt_keyslot_add_by_volume_key(library->device, CRYPT_ANY_SLOT, NULL, 0,
                                        (const char *)passphrase->data, passphrase->length_bytes);

    if (slot < 0)
        return luks_library_error(library, slot, "libcryptsetup can't make the keyslot", err);
    return 0;
}

/* Where things lie in the image. */
static int measure(struct luks_format_result *out, struct luks_library *library,
                   const struct luks_format_options *options, struct error *err)
{
    uint64_t metadata_bytes = 0, keyslots_bytes = 0;
    int result;

    if (options->type == LUKS_TYPE_1) {
        out->copies = 1;
        out->copy_bytes = 4096;
        out->header_bytes = LUKS_FORMAT_AREA_BYTES_LUKS1;
        return 0;
    }
    result = crypt_get_metadata_size(library->device, &metadata_bytes, &keyslots_bytes);
    if (result < 0)
        return luks_library_error(library, result, "the header has no size", err);
    out->copies = 2;
    out->copy_bytes = metadata_bytes;
    out->header_bytes = 2 * metadata_bytes + keyslots_bytes;
    return 0;
}

static int build(struct luks_format_result *out, struct luks_library *library,
                 const struct luks_format_options *options, const struct secret *passphrase,
                 struct error *err)
{
    int result = luks_pbkdf_set(library, &options->pbkdf, options->type, err);

    if (result == 0)
        result = make_header(library, options, err);
    if (result == 0)
        result = add_keyslot(library, passphrase, err);
    if (result == 0)
        result = measure(out, library, options, err);
    return result;
}

/* A detached header needs something to stand for the data: a second sparse file. */
static int format_image(struct luks_format_result *out, const struct luks_format_options *options,
                        const struct secret *passphrase, struct error *err)
{
    uint64_t area_bytes =
        options->type == LUKS_TYPE_1 ? LUKS_FORMAT_AREA_BYTES_LUKS1 : LUKS_FORMAT_AREA_BYTES_LUKS2;
    uint64_t least_bytes = area_bytes + options->sector_bytes;
    uint64_t image_bytes = options->detached ? area_bytes : options->data_bytes;
    struct luks_library *library = NULL;
    int data_fd = -1;
    int result = luks_image_create(&out->image_fd, image_bytes, least_bytes, err);

    if (result == 0 && options->detached)
        result = luks_image_create(&data_fd, options->data_bytes, least_bytes, err);
    if (result == 0)
        result = luks_library_open_detached(&library, out->image_fd, data_fd, err);
    if (result == 0) {
        luks_library_lock();
        result = build(out, library, options, passphrase, err);
        luks_library_unlock();
    }
    luks_library_close(library);
    if (data_fd >= 0)
        (void)close(data_fd);
    return result;
}

/* ---- the proof ---- */

static int read_image(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
                      struct error *err)
{
    const int *image_fd = context;
    ssize_t got = pread(*image_fd, out, length_bytes, (off_t)offset_bytes);

    if (got != (ssize_t)length_bytes)
        return error_set(err, -EIO, "the new header can't be read back");
    return 0;
}

/* What is handed out is a volume by our own rules, too. */
static int prove(struct luks_format_result *out, const struct luks_format_options *options,
                 struct error *err)
{
    struct luks_header *header = NULL;
    int result = luks_load(&header, read_image, &out->image_fd, out->header_bytes,
                           options->data_bytes, options->detached, err);

    if (result < 0)
        return result;
    out->segment = *luks_segment(header);
    luks_free(header);
    return 0;
}

int luks_format(struct luks_format_result *out, const struct luks_format_options *options,
                const struct secret *passphrase, struct error *err)
{
    int result = check_options(options, passphrase, err);

    *out = (struct luks_format_result){ .image_fd = -1 };
    if (result < 0)
        return result;
    result = format_image(out, options, passphrase, err);
    if (result == 0)
        result = prove(out, options, err);
    if (result == 0)
        return 0;
    if (out->image_fd >= 0)
        (void)close(out->image_fd);
    out->image_fd = -1;
    return result;
}
