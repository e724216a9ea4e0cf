#include "server/cli/qcow2-text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks/luks-describe.h"
#include "server/base/size-text.h"
#include "server/base/utf8.h"
#include "server/cli/header-text.h"

/* ---- JSON ---- */

/* Who made the image chose it. */
static void add_text(struct json_object *to, const char *key, const char *text)
{
    char *clean = text[0] != '\0' ? utf8_clean(text, strlen(text)) : NULL;

    json_object_object_add(to, key, clean != NULL ? json_object_new_string(clean) : NULL);
    free(clean);
}

static void add_number(struct json_object *to, const char *key, uint64_t number)
{
    json_object_object_add(to, key, json_object_new_uint64(number));
}

static void add_flag(struct json_object *to, const char *key, bool flag)
{
    json_object_object_add(to, key, json_object_new_boolean(flag));
}

static int add_luks(struct json_object *to, const struct luks_header *luks, struct error *err)
{
    struct json_object *inside = NULL;
    int result = luks != NULL ? luks_describe_json(&inside, luks, err) : 0;

    if (result < 0)
        return result;
    if (inside != NULL) {
        json_object_object_del(inside, "payload-offset");
        json_object_object_del(inside, "size");
        json_object_object_del(inside, "detached");
    }
    json_object_object_add(to, "luks", inside);
    return 0;
}

int qcow2_text_json(struct json_object **out, const struct qcow2_header *header,
                    const struct luks_header *luks, struct error *err)
{
    static const char *const encryptions[] = {
        [QCOW2_CRYPT_NONE] = "none", [QCOW2_CRYPT_AES] = "aes", [QCOW2_CRYPT_LUKS] = "luks"
    };
    struct json_object *info = json_object_new_object();

    add_text(info, "type", "qcow2");
    add_number(info, "version", header->version);
    add_number(info, "size", header->size_bytes);
    add_number(info, "cluster-size", UINT64_C(1) << header->cluster_bits);
    add_text(info, "compression", header->zstd ? "zstd" : "zlib");
    add_text(info, "encryption", encryptions[header->crypt]);
    add_text(info, "backing-file", header->backing);
    add_text(info, "backing-format", header->backing_format);
    add_number(info, "snapshot-count", header->snapshots);
    add_flag(info, "dirty", header->dirty);
    add_flag(info, "corrupt", header->corrupt);
    int result = add_luks(info, luks, err);
    if (result < 0)
        json_object_put(info);
    else
        *out = info;
    return result;
}

/* ---- text ---- */

static void print_line(const char *name, const char *value)
{
    printf("%-17s", name);
    header_text_print_untrusted(value);
    (void)putchar('\n');
}

static void print_luks(struct json_object *luks)
{
    struct json_object *keyslots = header_text_member(luks, "keyslots");

    print_line("UUID:", header_text_string(luks, "uuid"));
    printf("%-17s%s, %" PRIu64 "-bit key\n", "Cipher:", header_text_string(luks, "cipher"),
           header_text_number(luks, "key-bits"));
    print_line("Header digest:", header_text_string(luks, "header-digest"));
    for (size_t i = 0; i < json_object_array_length(keyslots); i++)
        header_text_print_keyslot(json_object_array_get_idx(keyslots, i));
}

static void print_encryption(struct json_object *info)
{
    static const char *const words[][2] = {
        { "none", "none: the disk is as the image has it" },
        { "aes", "AES of QEMU, which is weak" },
        { "luks", "LUKS inside of qcow2" },
    };
    const char *encryption = header_text_string(info, "encryption");

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(encryption, words[i][0]) == 0)
            print_line("Encryption:", words[i][1]);
}

void qcow2_text_print(struct json_object *info)
{
    struct json_object *luks = header_text_member(info, "luks");
    uint64_t snapshots = header_text_number(info, "snapshot-count");

    printf("%-17sqcow2, version %" PRIu64 "\n", "Type:", header_text_number(info, "version"));
    print_line("Size:", size_text(header_text_number(info, "size")).text);
    print_line("Cluster size:", size_text(header_text_number(info, "cluster-size")).text);
    print_encryption(info);
    if (luks != NULL)
        print_luks(luks);
    if (header_text_string(info, "backing-file") != NULL)
        print_line("Backing file:", header_text_string(info, "backing-file"));
    if (header_text_string(info, "backing-format") != NULL)
        print_line("Backing format:", header_text_string(info, "backing-format"));
    if (snapshots > 0)
        printf("%-17s%" PRIu64 "\n", "Snapshots:", snapshots);
    if (json_object_get_boolean(header_text_member(info, "corrupt")))
        print_line("Mark:", "corrupt");
}
