/* Making LUKS headers: see luks-format.h. */
#include "crypto/luks/luks-format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gnutls/crypto.h>

#include "crypto/cipher/cipher.h"
#include "crypto/luks/cryptsetup-library.h"
#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks-own-keyslot.h"
#include "crypto/luks/luks1-own-keyslot.h"
#include "crypto/luks/luks2-binary.h"
#include "crypto/luks/luks2-rewrite.h"

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

static int check_name(const char *what, const char *name, const struct luks_format_options *options,
                      struct error *err)
{
    if (name == NULL)
        return 0;
    if (options->type == LUKS_TYPE_1)
        return error_set(err, -EINVAL, "LUKS1 has no %s", what);
    if (strlen(name) > LABEL_BYTES_MAX)
        return error_set(err, -EINVAL, "the %s '%s' is longer than %u bytes", what, name,
                         LABEL_BYTES_MAX);
    return 0;
}

static int check_names(const struct luks_format_options *options, struct error *err)
{
    int result = check_name("label", options->label, options, err);

    return result < 0 ? result : check_name("subsystem", options->subsystem, options, err);
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

static int check_cipher(const struct luks_format_options *options, struct error *err)
{
    struct cipher_spec spec;
    const char *implementation;
    int result = cipher_spec_parse(&spec, options->cipher, options->key_bits, err);

    if (result == 0)
        result = cipher_choose(&implementation, &spec, err);
    if (result == 0 && spec.mode == CIPHER_XTS && cipher_spec_block_key_bits(&spec) == 192)
        result = error_set(err, -ENOTSUP,
                           "cipher '%s' with a key of 384 bits can be served, but not made: take "
                           "256 or 512 bits",
                           spec.name);
    return result;
}

int luks_format_check(const struct luks_format_options *options, struct error *err)
{
    int result = check_cipher(options, err);

    if (result == 0)
        result = check_sector(options, err);
    if (result == 0)
        result = luks_pbkdf_check(&options->pbkdf, options->type, err);
    if (result == 0)
        result = check_names(options, err);
    return result;
}

static int check_volume_key(const struct luks_format_options *options, struct error *err)
{
    const struct secret *key = options->volume_key;
    struct cipher_spec spec;
    int result;

    if (key == NULL)
        return 0;
    if (key->length_bytes != options->key_bits / 8)
        return error_set(
            err, -EINVAL,
            "the volume key has %zu bytes, but %u bits are %u: give --key-bits %zu, or "
            "another key",
            key->length_bytes, options->key_bits, options->key_bits / 8, key->length_bytes * 8);
    result = cipher_spec_parse(&spec, options->cipher, options->key_bits, err);
    if (result < 0 || spec.mode != CIPHER_XTS)
        return result;
    if (gnutls_memcmp(key->data, key->data + key->length_bytes / 2, key->length_bytes / 2) == 0)
        return error_set(err, -EINVAL,
                         "the two halves of the volume key are the same, which makes XTS weak");
    return 0;
}

static int check_options(const struct luks_format_options *options, const struct secret *passphrase,
                         struct error *err)
{
    int result = luks_format_check(options, err);

    if (result == 0)
        result = check_room(options, err);
    if (result == 0 && passphrase->length_bytes == 0)
        result = error_set(err, -EINVAL, "the passphrase is empty");
    if (result == 0)
        result = check_volume_key(options, err);
    return result;
}

/* ---- the library's work ---- */

/* What a header is made with. */
struct maker {
    struct cryptsetup_library *library;
    int image_fd;
    const struct luks_format_options *options;
    const struct secret *passphrase;
    struct secret *volume_key;
    char algorithm[32]; /* "serpent" */
    const char *mode;   /* "xts-plain64" */
    bool is_ours;       /* luks-own-keyslot.h */
};

int luks_format_volume_key(struct secret **out, unsigned key_bits, struct error *err)
{
    int result = secret_create(out, key_bits / 8, err);

    if (result == 0 && gnutls_rnd(GNUTLS_RND_KEY, (*out)->data, (*out)->length_bytes) < 0) {
        secret_free(*out);
        *out = NULL;
        result = error_set(err, -EIO, "there are no random numbers for a volume key");
    }
    return result;
}

static int prepare(struct maker *maker, struct error *err)
{
    const struct luks_format_options *options = maker->options;
    struct cipher_spec spec;
    int result = cipher_spec_parse(&spec, options->cipher, options->key_bits, err);

    if (result < 0)
        return result;
    maker->mode = strchr(options->cipher, '-') + 1;
    (void)snprintf(maker->algorithm, sizeof maker->algorithm, "%.*s",
                   (int)(maker->mode - 1 - options->cipher), options->cipher);
    maker->is_ours = luks_own_keyslot_is_ours(&spec);
    if (options->volume_key)
        return secret_copy(&maker->volume_key, options->volume_key->data,
                           options->volume_key->length_bytes, err);
    return luks_format_volume_key(&maker->volume_key, options->key_bits, err);
}

/* The library tries the cipher, and for some that takes the kernel.  Then AES stands in for it
 * until the header is there. */
static int make_header(struct maker *maker, struct error *err)
{
    const struct luks_format_options *options = maker->options;
    struct crypt_params_luks2 luks2 = {
        .sector_size = options->sector_bytes,
        .label = options->label,
        .subsystem = options->subsystem,
    };
    struct crypt_params_luks1 luks1 = {
        .hash = options->pbkdf.hash != NULL ? options->pbkdf.hash : "sha256",
    };
    bool is_luks1 = options->type == LUKS_TYPE_1;
    int result = 0;

    /* With short keys the library would begin the payload earlier. */
    if (is_luks1 && !options->detached)
        result = crypt_set_data_offset(maker->library->device, LUKS_FORMAT_AREA_BYTES_LUKS1 / 512);
    if (result == 0)
        result = crypt_format(maker->library->device, is_luks1 ? CRYPT_LUKS1 : CRYPT_LUKS2,
                              maker->is_ours ? "aes" : maker->algorithm, maker->mode, options->uuid,
                              (const char *)maker->volume_key->data, options->key_bits / 8,
                              is_luks1 ? (void *)&luks1 : (void *)&luks2);

    if (result < 0)
        return cryptsetup_library_error(maker->library, result,
                                        "libcryptsetup can't make the header", err);
    if (options->allow_discards)
        result = crypt_persistent_flags_set(maker->library->device, CRYPT_FLAGS_ACTIVATION,
                                            CRYPT_ACTIVATE_ALLOW_DISCARDS);
    if (result < 0)
        return cryptsetup_library_error(maker->library, result, "the flags can't be set", err);
    return 0;
}

static int add_keyslot(const struct maker *maker, struct error *err)
{
    int slot = crypt_keyslot_add_by_volume_key(
        maker->library->device, CRYPT_ANY_SLOT, (const char *)maker->volume_key->data,
        maker->volume_key->length_bytes, (const char *)maker->passphrase->data,
        maker->passphrase->length_bytes);

    if (slot < 0)
        return cryptsetup_library_error(maker->library, slot,
                                        "libcryptsetup can't make the keyslot", err);
    return 0;
}

static int add_token(const struct maker *maker, struct error *err)
{
    int token =
        crypt_token_json_set(maker->library->device, CRYPT_ANY_TOKEN, maker->options->token);

    if (token < 0)
        return cryptsetup_library_error(maker->library, token, "the token can't be stored", err);
    return 0;
}

static int finish_luks1(const struct maker *maker, struct error *err)
{
    uint32_t iterations = 0;
    int result;

    if (!maker->is_ours)
        return add_keyslot(maker, err);
    result = luks_pbkdf_measure(&iterations, maker->library, maker->volume_key->length_bytes, err);
    if (result == 0)
        result = luks1_own_keyslot_rename_cipher(maker->image_fd, maker->algorithm, err);
    if (result == 0)
        result = luks1_own_keyslot_add(maker->image_fd, 0, maker->volume_key, maker->passphrase,
                                       iterations, err);
    return result;
}

static int finish_luks2(const struct maker *maker, const struct luks_format_result *measured,
                        struct error *err)
{
    int result = 0;

    if (maker->is_ours)
        result = cryptsetup_library_set_keyslot_cipher(maker->library, err);
    if (result == 0)
        result = add_keyslot(maker, err);
    if (result == 0 && maker->options->token != NULL)
        result = add_token(maker, err);
    if (result == 0 && maker->is_ours)
        result = luks2_rewrite_cipher(maker->image_fd, measured->copy_bytes, maker->options->cipher,
                                      err);
    return result;
}

/* Where things lie in the image. */
static int measure(struct luks_format_result *out, struct cryptsetup_library *library,
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
        return cryptsetup_library_error(library, result, "the header has no size", err);
    out->copies = 2;
    out->copy_bytes = metadata_bytes;
    out->header_bytes = 2 * metadata_bytes + keyslots_bytes;
    return 0;
}

static int build(struct luks_format_result *out, struct cryptsetup_library *library,
                 const struct luks_format_options *options, const struct secret *passphrase,
                 struct error *err)
{
    struct maker maker = {
        .library = library,
        .image_fd = out->image_fd,
        .options = options,
        .passphrase = passphrase,
    };
    int result = prepare(&maker, err);

    if (result == 0)
        result = luks_pbkdf_set(library, &options->pbkdf, options->type, err);
    if (result == 0)
        result = make_header(&maker, err);
    if (result == 0)
        result = measure(out, library, options, err);
    if (result == 0)
        result = options->type == LUKS_TYPE_1 ? finish_luks1(&maker, err)
                                              : finish_luks2(&maker, out, err);
    secret_free(maker.volume_key);
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
    struct cryptsetup_library *library = NULL;
    int data_fd = -1;
    int result = cryptsetup_image_create(&out->image_fd, image_bytes, least_bytes, err);

    if (result == 0 && options->detached)
        result = cryptsetup_image_create(&data_fd, options->data_bytes, least_bytes, err);
    if (result == 0)
        result = cryptsetup_library_open_detached(&library, out->image_fd, data_fd, err);
    if (result == 0) {
        cryptsetup_library_lock();
        result = build(out, library, options, passphrase, err);
        cryptsetup_library_unlock();
    }
    cryptsetup_library_close(library);
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
