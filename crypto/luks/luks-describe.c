/* Headers as JSON: see luks-describe.h. */
#include "crypto/luks/luks-describe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cipher/cipher.h"
#include "crypto/luks/luks-demands.h"
#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks-zero-holes.h"

static void add_text(struct json_object *to, const char *key, const char *text)
{
    json_object_object_add(to, key, text != NULL ? json_object_new_string(text) : NULL);
}

static void add_number(struct json_object *to, const char *key, uint64_t number)
{
    json_object_object_add(to, key, json_object_new_uint64(number));
}

static void add_flag(struct json_object *to, const char *key, bool flag)
{
    json_object_object_add(to, key, json_object_new_boolean(flag));
}

/* Members of a header that passed the policy; NULL or 0 when there are none. */
static struct json_object *member(struct json_object *object, const char *key)
{
    struct json_object *found = NULL;

    (void)json_object_object_get_ex(object, key, &found);
    return found;
}

static const char *member_text(struct json_object *object, const char *key)
{
    struct json_object *found = member(object, key);

    return json_object_is_type(found, json_type_string) ? json_object_get_string(found) : NULL;
}

static uint64_t member_number(struct json_object *object, const char *key)
{
    return json_object_get_uint64(member(object, key)); /* text is converted too */
}

/* ---- LUKS1 ---- */

static struct json_object *luks1_keyslot(const struct luks_header *header, unsigned slot)
{
    struct json_object *out = json_object_new_object();
    struct json_object *pbkdf = json_object_new_object();

    add_number(out, "slot", slot);
    add_text(out, "priority", "normal");
    add_number(out, "key-bits", header->segment.cipher.key_bits);
    add_flag(out, "volume-key", true);
    add_text(out, "cipher", header->segment.cipher.name);
    add_text(pbkdf, "type", "pbkdf2");
    add_text(pbkdf, "hash", header->luks1.hash);
    add_number(pbkdf, "iterations", header->luks1.keyslots[slot].iterations);
    json_object_object_add(out, "pbkdf", pbkdf);
    return out;
}

static struct json_object *luks1_keyslots(const struct luks_header *header)
{
    struct json_object *out = json_object_new_array();

    for (unsigned slot = 0; slot < LUKS1_KEYSLOTS; slot++)
        if (header->luks1.keyslots[slot].active)
            json_object_array_add(out, luks1_keyslot(header, slot));
    return out;
}

/* ---- LUKS2 ---- */

static const char *priority_name(struct json_object *keyslot)
{
    if (member(keyslot, "priority") == NULL)
        return "normal";
    switch (member_number(keyslot, "priority")) {
    case 0:
        return "ignore";
    case 2:
        return "prefer";
    default:
        return "normal";
    }
}

static struct json_object *luks2_pbkdf(struct json_object *kdf)
{
    struct json_object *out = json_object_new_object();
    const char *type = member_text(kdf, "type");

    add_text(out, "type", type);
    if (type != NULL && strcmp(type, "pbkdf2") == 0) {
        add_text(out, "hash", member_text(kdf, "hash"));
        add_number(out, "iterations", member_number(kdf, "iterations"));
    } else {
        add_number(out, "time", member_number(kdf, "time"));
        add_number(out, "memory-kib", member_number(kdf, "memory"));
        add_number(out, "cpus", member_number(kdf, "cpus"));
    }
    return out;
}

static struct json_object *luks2_keyslot(struct crypt_device *device, int slot,
                                         struct json_object *keyslot)
{
    struct json_object *out = json_object_new_object();
    crypt_keyslot_info status = crypt_keyslot_status(device, slot);

    add_number(out, "slot", (uint64_t)slot);
    add_text(out, "priority", priority_name(keyslot));
    add_number(out, "key-bits", member_number(keyslot, "key_size") * 8);
    add_flag(out, "volume-key", status == CRYPT_SLOT_ACTIVE || status == CRYPT_SLOT_ACTIVE_LAST);
    add_text(out, "cipher", member_text(member(keyslot, "area"), "encryption"));
    json_object_object_add(out, "pbkdf", luks2_pbkdf(member(keyslot, "kdf")));
    return out;
}

/* In the order of their numbers, whatever the order in the header. */
static struct json_object *luks2_keyslots(const struct luks_header *header)
{
    struct json_object *out = json_object_new_array();
    struct json_object *keyslots = member(header->json, "keyslots");

    for (int slot = 0; slot < (int)LUKS2_KEYSLOTS_MAX; slot++) {
        struct json_object *keyslot;
        char name[12];

        (void)snprintf(name, sizeof name, "%d", slot);
        keyslot = member(keyslots, name);
        if (keyslot)
            json_object_array_add(out, luks2_keyslot(header->library->device, slot, keyslot));
    }
    return out;
}

static struct json_object *token_keyslots(struct json_object *token)
{
    struct json_object *out = json_object_new_array();
    struct json_object *names = member(token, "keyslots");
    size_t count =
        json_object_is_type(names, json_type_array) ? json_object_array_length(names) : 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t slot = json_object_get_uint64(json_object_array_get_idx(names, i));

        json_object_array_add(out, json_object_new_uint64(slot));
    }
    return out;
}

/* Types only: what else a token holds may be of use to an attacker. */
static struct json_object *luks2_tokens(const struct luks_header *header)
{
    struct json_object *out = json_object_new_array();
    struct json_object *tokens = member(header->json, "tokens");

    for (unsigned number = 0; number < 32; number++) {
        struct json_object *token, *item;
        char name[12];

        (void)snprintf(name, sizeof name, "%u", number);
        token = member(tokens, name);
        if (token == NULL)
            continue;
        item = json_object_new_object();
        add_number(item, "token", number);
        add_text(item, "type", member_text(token, "type"));
        json_object_object_add(item, "keyslots", token_keyslots(token));
        json_object_array_add(out, item);
    }
    return out;
}

static struct json_object *luks2_flags(const struct luks_header *header)
{
    struct json_object *out = json_object_new_array();
    struct json_object *flags = member(member(header->json, "config"), "flags");
    size_t count =
        json_object_is_type(flags, json_type_array) ? json_object_array_length(flags) : 0;

    for (size_t i = 0; i < count; i++)
        json_object_array_add(out, json_object_get(json_object_array_get_idx(flags, i)));
    return out;
}

/* ---- both ---- */

static const char *text_or_null(const char *text)
{
    return text != NULL && *text ? text : NULL;
}

static void add_segment(struct json_object *to, const struct luks_segment *segment)
{
    const char *implementation = NULL;
    bool is_there = cipher_choose(&implementation, &segment->cipher, NULL) == 0;

    add_text(to, "cipher", segment->cipher.name);
    add_text(to, "cipher-implementation", is_there ? implementation : NULL);
    add_number(to, "key-bits", segment->cipher.key_bits);
    add_number(to, "sector-size", segment->sector_bytes);
    add_number(to, "payload-offset", segment->payload_offset_bytes);
    add_number(to, "size", segment->payload_bytes);
    add_number(to, "iv-offset", segment->iv_offset_sectors);
}

static void describe(struct json_object *out, const struct luks_header *header)
{
    bool luks2 = header->segment.type == LUKS_TYPE_2;
    struct crypt_device *device = header->library->device;
    struct luks_header_digest digest;
    bool has_digest = luks_header_digest(&digest, header, LUKS_DIGEST, NULL) == 0;

    add_text(out, "type", luks2 ? "luks2" : "luks1");
    add_text(out, "uuid", header->segment.uuid);
    add_text(out, "label", luks2 ? text_or_null(crypt_get_label(device)) : NULL);
    add_text(out, "subsystem", luks2 ? text_or_null(crypt_get_subsystem(device)) : NULL);
    add_segment(out, &header->segment);
    add_text(out, "header-digest", has_digest ? digest.text : NULL);
    add_flag(out, "detached", header->sizes.detached);
    add_text(out, "damaged-header-copy", header->damaged_copy);
    json_object_object_add(out, "flags", luks2 ? luks2_flags(header) : json_object_new_array());
    add_flag(out, "zero-holes", luks_zero_holes_recorded(header));
    json_object_object_add(out, "keyslots",
                           luks2 ? luks2_keyslots(header) : luks1_keyslots(header));
    json_object_object_add(out, "tokens", luks2 ? luks2_tokens(header) : json_object_new_array());
}

int luks_describe_json(struct json_object **out, const struct luks_header *header,
                       struct error *err)
{
    struct json_object *object = json_object_new_object();

    if (object == NULL)
        return error_no_memory(err, "to describe a LUKS header");
    describe(object, header);
    *out = object;
    return 0;
}
