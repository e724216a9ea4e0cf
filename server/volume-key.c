#include "server/volume-key.h"

#include <errno.h>

#include "crypto/luks-keyslot.h"

static int accept_volume_key(struct secret **out, struct luks_header *header, const char *path,
                             const struct secret *key, struct error *err)
{
    int result = luks_keyslot_check_volume_key(header, key, err);

    if (result == -EACCES)
        return error_set(err, result, "the volume key of '%s' is not the one of this volume", path);
    if (result < 0) {
        error_prefix(err, "the volume key of '%s': ", path);
        return result;
    }
    return secret_copy(out, key->data, key->length_bytes, err);
}

int volume_key_open(struct secret **out, int *slot, struct luks_header *header,
                    const struct key_source *source, const struct secret *key, struct error *err)
{
    if (source->volume_key_file)
        return accept_volume_key(out, header, source->volume_key_file, key, err);
    return luks_keyslot_open(out, slot, header, key, err);
}

int volume_key_read(struct secret **out, struct luks_header *header,
                    const struct key_source *source, const char *image, struct error *err)
{
    struct secret *key = NULL;
    int slot = LUKS_KEYSLOT_ANY;
    int result = key_source_read(&key, source, image, false, err);

    if (result < 0)
        return result;
    result = volume_key_open(out, &slot, header, source, key, err);
    if (result < 0)
        error_prefix(err, "image '%s': ", image);
    secret_free(key);
    return result;
}

int volume_key_check_slot(const struct key_source *source, int slot, struct error *err)
{
    if (source->volume_key_file && slot != LUKS_KEYSLOT_ANY)
        return error_set(err, -EINVAL, "--volume-key-file needs no keyslot: leave out --slot");
    return 0;
}
