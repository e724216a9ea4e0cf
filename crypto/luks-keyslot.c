/* Keyslots of a header in memory: see luks-keyslot.h. */
#include "crypto/luks-keyslot.h"

#include <errno.h>
#include <string.h>

#include "crypto/luks-header.h"
#include "crypto/luks-policy.h"

/* ---- what can be said about a keyslot ---- */

static int keyslot_count(const struct luks_header *header)
{
    return header->segment.type == LUKS_TYPE_1 ? (int)LUKS1_KEYSLOTS : (int)LUKS2_KEYSLOTS_MAX;
}

static bool is_in_use(crypt_keyslot_info info)
{
    return info == CRYPT_SLOT_ACTIVE || info == CRYPT_SLOT_ACTIVE_LAST ||
           info == CRYPT_SLOT_UNBOUND;
}

bool luks_keyslot_any(const struct luks_header *header)
{
    for (int slot = 0; slot < keyslot_count(header); slot++)
        if (is_in_use(crypt_keyslot_status(header->library->device, slot)))
            return true;
    return false;
}

static int check_number(int slot, const struct luks_header *header, struct error *err)
{
    if (slot >= 0 && slot < keyslot_count(header))
        return 0;
    return error_set(err, -EINVAL, "there is no keyslot %d: LUKS%d has keyslots 0 to %d", slot,
                     (int)header->segment.type, keyslot_count(header) - 1);
}

static int check_in_use(int slot, const struct luks_header *header, struct error *err)
{
    int result = check_number(slot, header, err);

    if (result < 0 || is_in_use(crypt_keyslot_status(header->library->device, slot)))
        return result;
    return error_set(err, -ENOENT, "keyslot %d is not in use", slot);
}

static int refuse_passphrase(int slot, const struct secret *passphrase, struct error *err)
{
    bool newline =
        passphrase->length_bytes > 0 && passphrase->data[passphrase->length_bytes - 1] == '\n';
    int code = slot == LUKS_KEYSLOT_ANY
                   ? error_set(err, -EACCES, "no keyslot opens with this key")
                   : error_set(err, -EACCES, "keyslot %d does not open with this key", slot);

    if (newline && err)
        (void)error_set(err, code,
                        "%s: it ends with a newline, which counts (as for cryptsetup --key-file); "
                        "if the passphrase was typed when the volume was made, remove the newline "
                        "from the key file",
                        err->text);
    return code;
}

/* What the library says when it can't open a keyslot. */
static int explain(int result, int slot, struct luks_library *library,
                   const struct secret *passphrase, struct error *err)
{
    if (result == -EPERM)
        return refuse_passphrase(slot, passphrase, err);
    if (result == -ENOENT)
        return error_set(err, -EACCES, "no keyslot is in use: no key can open this volume");
    return luks_library_error(library, result, "the keyslots can't be opened", err);
}

int luks_priority_parse(enum luks_priority *out, const char *text, struct error *err)
{
    static const struct {
        const char *text;
        enum luks_priority priority;
    } names[] = {
        { "ignore", LUKS_PRIORITY_IGNORE },
        { "normal", LUKS_PRIORITY_NORMAL },
        { "prefer", LUKS_PRIORITY_PREFER },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i].text) == 0) {
            *out = names[i].priority;
            return 0;
        }
    return error_set(err, -EINVAL, "priority '%s' is none of prefer, normal and ignore", text);
}

int luks_new_key_check(const struct luks_new_key *new_key, const struct luks_header *header,
                       struct error *err)
{
    enum luks_type type = header->segment.type;

    if (type == LUKS_TYPE_1 && new_key->priority != LUKS_PRIORITY_DEFAULT)
        return error_set(err, -ENOTSUP, "the keyslots of LUKS1 have no priority");
    return luks_pbkdf_check(&new_key->pbkdf, type, err);
}

/* ---- opening ---- */

int luks_keyslot_open(struct secret **volume_key, int *slot, struct luks_header *header,
                      const struct secret *passphrase, struct error *err)
{
    struct luks_library *library = header->library;
    size_t key_bytes = header->segment.cipher.key_bits / 8;
    size_t got_bytes = key_bytes;
    struct secret *key = NULL;
    int result = *slot == LUKS_KEYSLOT_ANY ? 0 : check_in_use(*slot, header, err);

    if (result == 0)
        result = secret_create(&key, key_bytes, err);
    if (result < 0)
        return result;
    luks_library_lock();
    result = crypt_volume_key_get(library->device, *slot, (char *)key->data, &got_bytes,
                                  (const char *)passphrase->data, passphrase->length_bytes);
    luks_library_unlock();
    if (result >= 0 && got_bytes == key_bytes) {
        *volume_key = key;
        *slot = result;
        return 0;
    }
    secret_free(key);
    if (result >= 0)
        return error_set(err, -EPERM, "the volume key has %zu bytes, expected %zu", got_bytes,
                         key_bytes);
    return explain(result, *slot, library, passphrase, err);
}

/* ---- adding and changing ---- */

static int set_priority(int slot, struct luks_header *header, crypt_keyslot_priority priority,
                        struct error *err)
{
    int result = crypt_keyslot_set_priority(header->library->device, slot, priority);

    if (result < 0)
        return luks_library_error(header->library, result, "the priority can't be set", err);
    return 0;
}

/* `kept` is for LUKS_PRIORITY_DEFAULT. */
static int apply_priority(int slot, struct luks_header *header, enum luks_priority priority,
                          crypt_keyslot_priority kept, struct error *err)
{
    switch (priority) {
    case LUKS_PRIORITY_IGNORE:
        return set_priority(slot, header, CRYPT_SLOT_PRIORITY_IGNORE, err);
    case LUKS_PRIORITY_NORMAL:
        return set_priority(slot, header, CRYPT_SLOT_PRIORITY_NORMAL, err);
    case LUKS_PRIORITY_PREFER:
        return set_priority(slot, header, CRYPT_SLOT_PRIORITY_PREFER, err);
    case LUKS_PRIORITY_DEFAULT:
        break;
    }
    if (header->segment.type == LUKS_TYPE_1 || kept == CRYPT_SLOT_PRIORITY_NORMAL)
        return 0;
    return set_priority(slot, header, kept, err);
}

static int check_free(int slot, const struct luks_header *header, struct error *err)
{
    int result = check_number(slot, header, err);

    if (result == 0 && is_in_use(crypt_keyslot_status(header->library->device, slot)))
        result = error_set(err, -EEXIST,
                           "keyslot %d is in use: take another one, or remove its key first", slot);
    return result;
}

static int check_any_free(const struct luks_header *header, struct error *err)
{
    for (int slot = 0; slot < keyslot_count(header); slot++)
        if (!is_in_use(crypt_keyslot_status(header->library->device, slot)))
            return 0;
    return error_set(err, -ENOSPC, "all %d keyslots are in use; remove a key that is not needed",
                     keyslot_count(header));
}

int luks_keyslot_add(int *slot, struct luks_header *header, const struct secret *volume_key,
                     const struct luks_new_key *new_key, struct error *err)
{
    const struct secret *passphrase = new_key->passphrase;
    struct luks_library *library = header->library;
    int result =
        *slot == LUKS_KEYSLOT_ANY ? check_any_free(header, err) : check_free(*slot, header, err);

    if (result == 0)
        result = luks_new_key_check(new_key, header, err);
    if (result < 0)
        return result;
    luks_library_lock();
    result = luks_pbkdf_set(library, &new_key->pbkdf, header->segment.type, err);
    if (result == 0) {
        result = crypt_keyslot_add_by_volume_key(
            library->device, *slot, (const char *)volume_key->data, volume_key->length_bytes,
            (const char *)passphrase->data, passphrase->length_bytes);
        if (result < 0)
            (void)luks_library_error(library, result, "libcryptsetup can't make the keyslot", err);
    }
    if (result >= 0) {
        *slot = result;
        result = apply_priority(*slot, header, new_key->priority, CRYPT_SLOT_PRIORITY_NORMAL, err);
    }
    luks_library_unlock();
    return result;
}

static int change_keyslot(int *slot, struct luks_header *header, const struct secret *passphrase,
                          const struct luks_new_key *new_key, struct error *err)
{
    struct crypt_device *device = header->library->device;
    crypt_keyslot_priority kept[LUKS2_KEYSLOTS_MAX];
    int result = luks_pbkdf_set(header->library, &new_key->pbkdf, header->segment.type, err);

    if (result < 0)
        return result;
    for (int i = 0; i < keyslot_count(header); i++)
        kept[i] = crypt_keyslot_get_priority(device, i);
    result = crypt_keyslot_change_by_passphrase(
        device, *slot, CRYPT_ANY_SLOT, (const char *)passphrase->data, passphrase->length_bytes,
        (const char *)new_key->passphrase->data, new_key->passphrase->length_bytes);
    if (result < 0)
        return explain(result, *slot, header->library, passphrase, err);
    *slot = result;
    return apply_priority(result, header, new_key->priority, kept[result], err);
}

int luks_keyslot_change(int *slot, struct luks_header *header, const struct secret *passphrase,
                        const struct luks_new_key *new_key, struct error *err)
{
    int result = *slot == LUKS_KEYSLOT_ANY ? 0 : check_in_use(*slot, header, err);

    if (result == 0)
        result = luks_new_key_check(new_key, header, err);
    if (result == 0)
        result = check_any_free(header, err);
    if (result < 0)
        return result;
    luks_library_lock();
    result = change_keyslot(slot, header, passphrase, new_key, err);
    luks_library_unlock();
    return result;
}

/* ---- removing ---- */

static int destroy(int slot, struct luks_header *header, struct error *err)
{
    int result;

    luks_library_lock();
    result = crypt_keyslot_destroy(header->library->device, slot);
    luks_library_unlock();
    if (result < 0)
        return luks_library_error(header->library, result, "the keyslot can't be removed", err);
    return 0;
}

int luks_keyslot_remove(int slot, struct luks_header *header, bool last_too, struct error *err)
{
    int result = check_in_use(slot, header, err);

    if (result < 0)
        return result;
    if (!last_too && crypt_keyslot_status(header->library->device, slot) == CRYPT_SLOT_ACTIVE_LAST)
        return error_set(
            err, -EPERM,
            "keyslot %d holds the last key: without it nobody can read the data again; "
            "give --force to remove it all the same",
            slot);
    return destroy(slot, header, err);
}

int luks_keyslot_remove_all(unsigned *count, struct luks_header *header, struct error *err)
{
    int result = 0;

    *count = 0;
    for (int slot = 0; slot < keyslot_count(header) && result == 0; slot++) {
        if (!is_in_use(crypt_keyslot_status(header->library->device, slot)))
            continue;
        result = destroy(slot, header, err);
        ++*count;
    }
    return result;
}
