#include "server/volume/qcow2-key.h"

#include <errno.h>
#include <string.h>

#include "crypto/cipher/cipher.h"
#include "crypto/luks/luks-keyslot.h"
#include "server/base/event.h"
#include "server/base/log.h"
#include "server/block/image-io.h"
#include "server/block/qcow2-stage.h"
#include "server/keys/key-terminal.h"
#include "server/volume/plausible-disk.h"
#include "server/volume/volume-key.h"

#define AES_KEY_BYTES 16u
#define AES_CIPHER "aes-cbc-plain64"

int qcow2_key_check_options(bool raw, bool has_header, const char *option_prefix, struct error *err)
{
    if (raw)
        return error_set(err, -EINVAL,
                         "its qcow2 image is encrypted, so leave out --raw, and give its "
                         "passphrase");
    if (has_header)
        return error_set(err, -EINVAL,
                         "its qcow2 image is encrypted, and has no other header than its own: "
                         "leave out --%sheader",
                         option_prefix);
    return 0;
}

/* ---- LUKS: a header of version 1 inside of the file ---- */

struct area {
    struct image_io *io;
    uint64_t offset_bytes;
};

static int read_area(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
                     struct error *err)
{
    const struct area *area = context;

    return image_io_read(area->io, area->offset_bytes + offset_bytes, out, length_bytes, err);
}

/* Where it says that data begins means nothing here, so any size will do. */
static int load_header(struct luks_header **out, struct stage *top, struct error *err)
{
    struct byte_range place = qcow2_stage_luks_area(top);
    struct area area = { .offset_bytes = place.offset_bytes };
    int result = image_io_create(&area.io, qcow2_stage_file(top), err);

    if (result < 0)
        return result;
    result = luks_load(out, read_area, &area, place.size_bytes, INT64_MAX, true, err);
    image_io_destroy(area.io);
    return result == -EMEDIUMTYPE ? -EINVAL : result; /* it is damaged, and not something else */
}

/* QEMU makes no others, and they would not be understood in the same way. */
static int check_header(const struct luks_header *header, const struct luks_demands *demands,
                        struct error *err)
{
    if (luks_segment(header)->type != LUKS_TYPE_1)
        return error_set(err, -ENOTSUP,
                         "its LUKS header is of version 2, which there is not in qcow2");
    return luks_demands_check(demands, header, err);
}

int qcow2_key_header(struct luks_header **out, struct stage *top,
                     const struct luks_demands *demands, struct error *err)
{
    struct luks_header *header = NULL;
    int result = load_header(&header, top, err);

    if (result == 0)
        result = check_header(header, demands, err);
    if (result == 0)
        *out = header;
    else
        luks_free(header);
    return result;
}

static int unlock_luks(struct luks_segment *segment, struct stage *top,
                       const struct qcow2_key_settings *settings, struct error *err)
{
    struct luks_header *header = NULL;
    struct secret *key = NULL;
    int slot = LUKS_KEYSLOT_ANY;
    int result = qcow2_key_header(&header, top, settings->demands, err);

    if (result < 0)
        error_prefix(err, "image '%s': ", settings->image);
    else
        result = volume_key_read(&key, &slot, header, settings->key, settings->image, err);
    if (result == 0) {
        *segment = *luks_segment(header);
        qcow2_stage_unlock(top, &segment->cipher, key);
    }
    luks_free(header);
    return result;
}

/* ---- AES: the passphrase is the key ---- */

int qcow2_key_check_aes(const struct luks_demands *demands, struct error *err)
{
    if (demands->uuid != NULL || demands->digest != NULL || demands->cipher_count > 0 ||
        demands->key_bits_min > AES_KEY_BYTES * 8)
        return error_set(err, -EPERM,
                         "it is encrypted by QEMU's AES, which has neither header nor UUID nor "
                         "another cipher, and so it is not the volume that is demanded");
    return 0;
}

static int check_demands(const struct qcow2_key_settings *settings, struct error *err)
{
    int result = qcow2_key_check_aes(settings->demands, err);

    if (result < 0)
        return result;
    if (settings->key->volume_key_file != NULL || settings->key->token != NULL)
        return error_set(err, -EINVAL,
                         "it is encrypted by QEMU's AES, whose key is a passphrase: give that by "
                         "--%skey-file or the like",
                         settings->option_prefix);
    return 0;
}

/* What is longer is cut, what is shorter is followed by zeros. */
static int make_key(struct secret **out, const struct secret *passphrase, struct error *err)
{
    size_t length_bytes =
        passphrase->length_bytes < AES_KEY_BYTES ? passphrase->length_bytes : AES_KEY_BYTES;
    int result = secret_create(out, AES_KEY_BYTES, err);

    if (result == 0)
        memcpy((*out)->data, passphrase->data, length_bytes);
    return result;
}

static int check_plausible(struct stage *top, const struct qcow2_key_settings *settings,
                           struct error *err)
{
    enum plausible plausible;
    int result = plausible_disk(&plausible, top, err);

    if (result < 0 || plausible == PLAUSIBLE_DISK)
        return result;
    if (plausible == PLAUSIBLE_EMPTY) {
        log_warning("image '%s': it has no data, so it can't be told whether the passphrase is "
                    "right",
                    settings->image);
        return 0;
    }
    if (settings->sure) {
        log_warning("image '%s': what its passphrase decrypts looks like noise; going on "
                    "(--%si-know-the-passphrase)",
                    settings->image, settings->option_prefix);
        return 0;
    }
    return error_set(err, -EACCES,
                     "what the passphrase decrypts is noise, without a partition table, a file "
                     "system or text: it is probably wrong (a newline at the end of a key file "
                     "counts); if it is right, --%si-know-the-passphrase goes on",
                     settings->option_prefix);
}

static int try_passphrase(struct stage *top, const struct cipher_spec *cipher,
                          const struct qcow2_key_settings *settings, struct error *err)
{
    struct secret *passphrase = NULL, *key = NULL;
    int result = key_source_read(&passphrase, settings->key, settings->image, false, err);

    if (result == 0)
        result = make_key(&key, passphrase, err);
    secret_free(passphrase);
    if (result < 0)
        return result;
    qcow2_stage_unlock(top, cipher, key);
    result = check_plausible(top, settings, err);
    if (result < 0)
        error_prefix(err, "image '%s': ", settings->image);
    return result;
}

/* One that is typed may be mistyped. */
static int try_passphrases(struct stage *top, const struct cipher_spec *cipher,
                           const struct qcow2_key_settings *settings, struct error *err)
{
    unsigned tries_left = key_source_is_typed(settings->key) ? KEY_TERMINAL_TRIES : 1;

    for (;;) {
        int result = try_passphrase(top, cipher, settings, err);

        if (result != -EACCES || --tries_left == 0)
            return result;
        log_warning("%s; try again", err->text);
    }
}

static int unlock_aes(struct luks_segment *segment, struct stage *top,
                      const struct qcow2_key_settings *settings, struct error *err)
{
    struct error why = { "" };
    int result = check_demands(settings, &why);

    *segment = (struct luks_segment){ .sector_bytes = 512 };
    if (result == 0)
        result = cipher_spec_parse(&segment->cipher, AES_CIPHER, AES_KEY_BYTES * 8, &why);
    if (result < 0)
        error_prefix(&why, "image '%s': ", settings->image);
    else
        result = try_passphrases(top, &segment->cipher, settings, &why);
    if (result < 0)
        (void)error_set(err, result, "%s", why.text);
    else
        log_warning("image '%s': it is encrypted by QEMU's AES, which has no key derivation and is "
                    "weak: move its data to a LUKS volume",
                    settings->image);
    EVENT(.type = result < 0 ? "key.failed" : "key.used",
          .reason = result < 0 ? why.text : settings->image);
    return result;
}

int qcow2_key_unlock(struct luks_segment *segment, struct stage *top,
                     const struct qcow2_key_settings *settings, struct error *err)
{
    return qcow2_stage_crypt(top) == QCOW2_CRYPT_LUKS ? unlock_luks(segment, top, settings, err)
                                                      : unlock_aes(segment, top, settings, err);
}
