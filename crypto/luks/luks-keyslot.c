/* Keyslots of a header in memory: see luks-keyslot.h. */
#include "crypto/luks/luks-keyslot.h"

#include <errno.h>
#include <string.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks-own-keyslot.h"
#include "crypto/luks/luks-turns.h"
#include "crypto/luks/luks1-own-keyslot.h"

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

/* Does it hold the volume key?  A keyslot of LUKS2 may hold another key, of nothing that is
 * here. */
static bool is_bound(int slot, const struct luks_header *header)
{
    crypt_keyslot_info info = crypt_keyslot_status(header->library->device, slot);

    return info == CRYPT_SLOT_ACTIVE || info == CRYPT_SLOT_ACTIVE_LAST;
}

bool luks_keyslot_any(const struct luks_header *header)
{
    for (int slot = 0; slot < keyslot_count(header); slot++)
        if (is_bound(slot, header))
            return true;
    return false;
}

/* One that is tried where none is named? */
static bool any_is_tried(const struct luks_header *header)
{
    if (header->segment.type == LUKS_TYPE_1)
        return luks_keyslot_any(header);
    for (int slot = 0; slot < keyslot_count(header); slot++)
        if (is_bound(slot, header) &&
            crypt_keyslot_get_priority(header->library->device, slot) != CRYPT_SLOT_PRIORITY_IGNORE)
            return true;
    return false;
}

bool luks_keyslot_is_in_use(int slot, const struct luks_header *header)
{
    return slot >= 0 && slot < keyslot_count(header) &&
           is_in_use(crypt_keyslot_status(header->library->device, slot));
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

/* Before its passphrase is tried: what it opens would be taken for the volume key, by which data is
 * encrypted. */
static int check_bound(int slot, const struct luks_header *header, struct error *err)
{
    int result = check_in_use(slot, header, err);

    if (result < 0 || is_bound(slot, header))
        return result;
    return error_set(err, -EACCES, "keyslot %d holds another key than that of the volume", slot);
}

static int refuse_passphrase(int slot, const struct secret *passphrase, struct error *err)
{
    bool newline =
        passphrase->length_bytes > 0 && passphrase->data[passphrase->length_bytes - 1] == '\n';
    int result = slot == LUKS_KEYSLOT_ANY
                     ? error_set(err, -EACCES, "no keyslot opens with this key")
                     : error_set(err, -EACCES, "keyslot %d does not open with this key", slot);

    if (newline && err != NULL)
        (void)error_set(err, result,
                        "%s: it ends with a newline, which counts (as for cryptsetup --key-file); "
                        "if the passphrase was typed when the volume was made, remove the newline "
                        "from the key file",
                        err->text);
    return result;
}

/* No keyslot was tried, or (the library says the same) the last one holds another key. */
static int explain_none(const struct luks_header *header, const struct secret *passphrase,
                        struct error *err)
{
    if (any_is_tried(header))
        return refuse_passphrase(LUKS_KEYSLOT_ANY, passphrase, err);
    if (luks_keyslot_any(header))
        return error_set(err, -EACCES,
                         "all keyslots have the priority ignore, so none is tried: name one with "
                         "--slot, or give one another priority (nbdcrypt key priority)");
    return error_set(err, -EACCES, "no keyslot is in use: no key can open this volume");
}

/* What the library says when it can't open a keyslot. */
static int explain(int result, int slot, const struct luks_header *header,
                   const struct secret *passphrase, struct error *err)
{
    if (result == -EPERM)
        return refuse_passphrase(slot, passphrase, err);
    if (result == -ENOENT)
        return explain_none(header, passphrase, err);
    return cryptsetup_library_error(header->library, result, "the keyslots can't be opened", err);
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

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i].text) == 0) {
            *out = names[i].priority;
            return 0;
        }
    return error_set(err, -EINVAL, "priority '%s' is none of prefer, normal and ignore", text);
}

static int refuse_priority(struct error *err)
{
    return error_set(err, -ENOTSUP, "the keyslots of LUKS1 have no priority");
}

int luks_new_key_check(const struct luks_new_key *new_key, const struct luks_header *header,
                       struct error *err)
{
    enum luks_type type = header->segment.type;

    if (type == LUKS_TYPE_1 && new_key->priority != LUKS_PRIORITY_DEFAULT)
        return refuse_priority(err);
    return luks_pbkdf_check(&new_key->pbkdf, type, err);
}

/* ---- opening ---- */

/* A negative errno of the library's, or the keyslot that opened. */
static int open_by_library(struct secret *key, int slot, struct luks_header *header,
                           const struct secret *passphrase)
{
    size_t got_bytes = key->length_bytes;
    int result = crypt_volume_key_get(header->library->device, slot, (char *)key->data, &got_bytes,
                                      (const char *)passphrase->data, passphrase->length_bytes);

    /* The key of something else. */
    return result >= 0 && got_bytes != key->length_bytes ? -EPERM : result;
}

/* The same, or -EACCES when the passphrase does not fit. */
static int open_one(struct secret **volume_key, int slot, struct luks_header *header,
                    const struct secret *passphrase, struct error *err)
{
    struct secret *key = NULL;
    int result;

    if (luks_own_keyslot_is_ours_at(header, slot))
        return luks_own_keyslot_open(volume_key, slot, header, passphrase, err);
    result = secret_create(&key, header->segment.cipher.key_bits / 8, err);
    if (result < 0)
        return result;
    result = open_by_library(key, slot, header, passphrase);
    if (result >= 0) {
        *volume_key = key;
        return 0;
    }
    secret_free(key);
    if (result == -EPERM || result == -ENOENT) {
        header->library->log[0] = '\0';
        return -EACCES;
    }
    return explain(result, slot, header, passphrase, err);
}

/* Those to prefer, then the others, but none that is to be ignored: the library's order. */
static int open_any(struct secret **volume_key, int *slot, struct luks_header *header,
                    const struct secret *passphrase, struct error *err)
{
    struct crypt_device *device = header->library->device;

    for (int priority = CRYPT_SLOT_PRIORITY_PREFER; priority > CRYPT_SLOT_PRIORITY_IGNORE;
         priority--)
        for (int i = 0; i < keyslot_count(header); i++) {
            bool is_due = header->segment.type == LUKS_TYPE_1
                              ? priority == CRYPT_SLOT_PRIORITY_NORMAL
                              : (int)crypt_keyslot_get_priority(device, i) == priority;
            int result = -EACCES;

            if (is_due && is_bound(i, header))
                result = open_one(volume_key, i, header, passphrase, err);
            if (result != -EACCES) {
                *slot = i;
                return result;
            }
        }
    return -EACCES;
}

/* Where there are keyslots that are not for the library, it must not try them. */
static int open_one_by_one(struct secret **volume_key, int *slot, struct luks_header *header,
                           const struct secret *passphrase, struct error *err)
{
    int result;

    if (*slot == LUKS_KEYSLOT_ANY && !any_is_tried(header))
        return explain_none(header, passphrase, err);
    result = *slot == LUKS_KEYSLOT_ANY ? open_any(volume_key, slot, header, passphrase, err)
                                       : open_one(volume_key, *slot, header, passphrase, err);
    return result == -EACCES ? refuse_passphrase(*slot, passphrase, err) : result;
}

/* One after the other, or all of them by the library. */
static int open_keyslots(struct secret **volume_key, int *slot, struct luks_header *header,
                         const struct secret *passphrase, struct error *err)
{
    struct secret *key = NULL;
    int result;

    if (luks_own_keyslot_any_is_ours(header))
        return open_one_by_one(volume_key, slot, header, passphrase, err);
    result = secret_create(&key, header->segment.cipher.key_bits / 8, err);
    if (result < 0)
        return result;
    result = open_by_library(key, *slot, header, passphrase);
    if (result >= 0) {
        *volume_key = key;
        *slot = result;
        return 0;
    }
    secret_free(key);
    return explain(result, *slot, header, passphrase, err);
}

/* Two headers have two contexts of the library, which has been started when the first one was
 * loaded, so that no lock is needed here. */
int luks_keyslot_open(struct secret **volume_key, int *slot, struct luks_header *header,
                      const struct secret *passphrase, struct error *err)
{
    uint64_t memory_bytes = luks_own_keyslot_memory_bytes(header);
    int result = *slot == LUKS_KEYSLOT_ANY ? 0 : check_bound(*slot, header, err);
    int only = *slot;
    struct luks_turn turn;

    if (result < 0)
        return result;
    luks_turns_begin(&turn, memory_bytes);
    result = open_keyslots(volume_key, slot, header, passphrase, err);
    luks_turns_end(&turn);
    if (result >= 0 || result == -EACCES || !turn.shared || memory_bytes == 0)
        return result;
    /* Memory, or the library's threads, may not have been enough for several. */
    *slot = only;
    luks_turns_begin_alone(&turn, memory_bytes);
    result = open_keyslots(volume_key, slot, header, passphrase, err);
    luks_turns_end(&turn);
    return result;
}

int luks_keyslot_check_volume_key(struct luks_header *header, const struct secret *volume_key,
                                  struct error *err)
{
    size_t expected_bytes = header->segment.cipher.key_bits / 8;
    struct luks_turn turn;
    int result;

    if (volume_key->length_bytes != expected_bytes)
        return error_set(err, -EINVAL, "it has %zu bytes, but this volume has a key of %zu",
                         volume_key->length_bytes, expected_bytes);
    luks_turns_begin(&turn, 0); /* digests are made by PBKDF2 */
    result = crypt_volume_key_verify(header->library->device, (const char *)volume_key->data,
                                     volume_key->length_bytes);
    luks_turns_end(&turn);
    if (result == -EPERM) {
        header->library->log[0] = '\0';
        return error_set(err, -EACCES, "it is not the one of this volume");
    }
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "it can't be checked", err);
    return 0;
}

/* ---- adding and changing ---- */

static int set_priority(int slot, struct luks_header *header, crypt_keyslot_priority priority,
                        struct error *err)
{
    int result = crypt_keyslot_set_priority(header->library->device, slot, priority);

    if (result < 0)
        return cryptsetup_library_error(header->library, result, "the priority can't be set", err);
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

int luks_keyslot_set_priority(int slot, struct luks_header *header, enum luks_priority priority,
                              struct error *err)
{
    int result = check_in_use(slot, header, err);

    if (result == 0 && header->segment.type == LUKS_TYPE_1)
        result = refuse_priority(err);
    if (result < 0)
        return result;
    cryptsetup_library_lock();
    result = apply_priority(slot, header,
                            priority == LUKS_PRIORITY_DEFAULT ? LUKS_PRIORITY_NORMAL : priority,
                            CRYPT_SLOT_PRIORITY_NORMAL, err);
    cryptsetup_library_unlock();
    return result;
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

static int first_free(const struct luks_header *header)
{
    int slot = 0;

    while (is_in_use(crypt_keyslot_status(header->library->device, slot)))
        slot++;
    return slot;
}

/* LUKS1 has one cipher for data and keyslots. */
static int add_luks1_keyslot(int *slot, struct luks_header *header, const struct secret *volume_key,
                             const struct secret *passphrase, struct error *err)
{
    struct cryptsetup_library *library = header->library;
    uint32_t iterations = 0;
    int result = luks_pbkdf_measure(&iterations, library, volume_key->length_bytes, err);

    if (*slot == LUKS_KEYSLOT_ANY)
        *slot = first_free(header);
    if (result == 0)
        result = luks1_own_keyslot_add(header->image_fd, (unsigned)*slot, volume_key, passphrase,
                                       iterations, err);
    if (result < 0)
        return result;
    result = crypt_load(library->device, CRYPT_LUKS1, NULL);
    if (result < 0)
        return cryptsetup_library_error(library, result, "libcryptsetup refuses the header", err);
    return 0;
}

/* The key derivation has been set. */
static int add_keyslot(int *slot, struct luks_header *header, const struct secret *volume_key,
                       const struct secret *passphrase, struct error *err)
{
    struct cryptsetup_library *library = header->library;
    int result;

    if (luks_own_keyslot_is_ours(&header->segment.cipher)) {
        if (header->segment.type == LUKS_TYPE_1)
            return add_luks1_keyslot(slot, header, volume_key, passphrase, err);
        result = cryptsetup_library_set_keyslot_cipher(library, err);
        if (result < 0)
            return result;
    }
    result = crypt_keyslot_add_by_volume_key(
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): who calls this has it */
        library->device, *slot, (const char *)volume_key->data, volume_key->length_bytes,
        (const char *)passphrase->data, passphrase->length_bytes);
    if (result < 0)
        return cryptsetup_library_error(library, result, "libcryptsetup can't make the keyslot",
                                        err);
    *slot = result;
    return 0;
}

int luks_keyslot_add(int *slot, struct luks_header *header, const struct secret *volume_key,
                     const struct luks_new_key *new_key, struct error *err)
{
    int result =
        *slot == LUKS_KEYSLOT_ANY ? check_any_free(header, err) : check_free(*slot, header, err);

    if (result == 0)
        result = luks_new_key_check(new_key, header, err);
    if (result < 0)
        return result;
    cryptsetup_library_lock();
    result = luks_pbkdf_set(header->library, &new_key->pbkdf, header->segment.type, err);
    if (result == 0)
        result = add_keyslot(slot, header, volume_key, new_key->passphrase, err);
    if (result == 0)
        result = apply_priority(*slot, header, new_key->priority, CRYPT_SLOT_PRIORITY_NORMAL, err);
    cryptsetup_library_unlock();
    return result;
}

/* What belongs to keyslot `from` belongs to `to` from now on. */
static int move_tokens(int from, int to, struct luks_header *header, struct error *err)
{
    struct crypt_device *device = header->library->device;
    int result = 0;

    if (header->segment.type == LUKS_TYPE_1)
        return 0;
    for (int token = 0; token < crypt_token_max(CRYPT_LUKS2) && result >= 0; token++)
        if (crypt_token_is_assigned(device, token, from) == 0)
            result = crypt_token_assign_keyslot(device, token, to);
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "the tokens can't be moved", err);
    return 0;
}

/* A keyslot that the library can't open is replaced by another one. */
static int replace_keyslot(int *slot, struct luks_header *header, const struct secret *passphrase,
                           const struct luks_new_key *new_key, struct error *err)
{
    struct crypt_device *device = header->library->device;
    crypt_keyslot_priority kept = CRYPT_SLOT_PRIORITY_NORMAL;
    struct secret *volume_key = NULL;
    int old_slot = *slot, new_slot = LUKS_KEYSLOT_ANY;
    int result = open_one_by_one(&volume_key, &old_slot, header, passphrase, err);

    if (result != 0)
        return result;
    if (header->segment.type == LUKS_TYPE_2)
        kept = crypt_keyslot_get_priority(device, old_slot);
    result = add_keyslot(&new_slot, header, volume_key, new_key->passphrase, err);
    secret_free(volume_key);
    if (result == 0)
        result = move_tokens(old_slot, new_slot, header, err);
    if (result == 0)
        result = apply_priority(new_slot, header, new_key->priority, kept, err);
    if (result < 0)
        return result;
    result = crypt_keyslot_destroy(device, old_slot);
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "the old keyslot can't be removed",
                                        err);
    *slot = new_slot;
    return 0;
}

static int change_keyslot(int *slot, struct luks_header *header, const struct secret *passphrase,
                          const struct luks_new_key *new_key, struct error *err)
{
    struct crypt_device *device = header->library->device;
    crypt_keyslot_priority kept[LUKS2_KEYSLOTS_MAX];
    int result = luks_pbkdf_set(header->library, &new_key->pbkdf, header->segment.type, err);

    if (result == 0 && luks_own_keyslot_is_ours(&header->segment.cipher) &&
        header->segment.type == LUKS_TYPE_2)
        result = cryptsetup_library_set_keyslot_cipher(header->library, err);
    if (result < 0)
        return result;
    if (*slot == LUKS_KEYSLOT_ANY ? luks_own_keyslot_any_is_ours(header)
                                  : luks_own_keyslot_is_ours_at(header, *slot))
        return replace_keyslot(slot, header, passphrase, new_key, err);
    for (int i = 0; i < keyslot_count(header); i++)
        kept[i] = crypt_keyslot_get_priority(device, i);
    result = crypt_keyslot_change_by_passphrase(
        device, *slot, CRYPT_ANY_SLOT, (const char *)passphrase->data, passphrase->length_bytes,
        (const char *)new_key->passphrase->data, new_key->passphrase->length_bytes);
    if (result < 0)
        return explain(result, *slot, header, passphrase, err);
    *slot = result;
    return apply_priority(result, header, new_key->priority, kept[result], err);
}

int luks_keyslot_change(int *slot, struct luks_header *header, const struct secret *passphrase,
                        const struct luks_new_key *new_key, struct error *err)
{
    int result = *slot == LUKS_KEYSLOT_ANY ? 0 : check_bound(*slot, header, err);

    if (result == 0)
        result = luks_new_key_check(new_key, header, err);
    if (result == 0)
        result = check_any_free(header, err);
    if (result < 0)
        return result;
    cryptsetup_library_lock();
    result = change_keyslot(slot, header, passphrase, new_key, err);
    cryptsetup_library_unlock();
    return result;
}

/* ---- removing ---- */

static int destroy(int slot, struct luks_header *header, struct error *err)
{
    int result;

    cryptsetup_library_lock();
    result = crypt_keyslot_destroy(header->library->device, slot);
    cryptsetup_library_unlock();
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "the keyslot can't be removed",
                                        err);
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
