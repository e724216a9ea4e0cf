/* nbdcrypt info: see command-info.h.  The text is made from the same JSON that --json prints
 * (crypto/luks/luks-describe.h), so that both tell the same. */
#include "server/cli/command-info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "crypto/luks/luks-backup.h"
#include "crypto/luks/luks-describe.h"
#include "crypto/luks/luks.h"
#include "server/volume/header-demands.h"
#include "server/volume/foreign-header.h"
#include "server/volume/qcow2-found.h"
#include "server/volume/qcow2-key.h"
#include "server/cli/header-text.h"
#include "server/cli/qcow2-text.h"
#include "server/block/image.h"
#include "server/block/qcow2-stage.h"
#include "server/base/log.h"
#include "server/volume/volume-header.h"
#include "server/base/size-text.h"

struct info_arguments {
    const char *header;
    struct header_demands demands;
    bool json;
    bool help;
};

#define FIELD(name) offsetof(struct info_arguments, name)

static const struct param info_params[] = {
    PARAM("header", STRING, "FILE", header, "the header is in this file, not in the image"),
    HEADER_DEMAND_ROWS(struct info_arguments, demands),
    PARAM("json", FLAG, NULL, json, "print JSON, in a form that scripts can rely on"),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { .name = NULL },
};

/* ---- text ---- */

static void print_line(const char *name, const char *value)
{
    if (value == NULL)
        return;
    printf("%-17s", name);
    header_text_print_untrusted(value);
    (void)putchar('\n');
}

static void print_flags(struct json_object *flags)
{
    size_t count = json_object_array_length(flags);

    if (count == 0)
        return;
    printf("%-17s", "Flags:");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            printf(", ");
        header_text_print_untrusted(json_object_get_string(json_object_array_get_idx(flags, i)));
    }
    (void)putchar('\n');
}

static void print_header(struct json_object *info)
{
    const char *damaged = header_text_string(info, "damaged-header-copy");

    printf("%-17s%s", "Header:",
           json_object_get_boolean(header_text_member(info, "detached")) ? "detached"
                                                                         : "in the image");
    if (damaged)
        printf("; its %s copy is damaged, the other one is good (cryptsetup repair restores it)",
               damaged);
    (void)putchar('\n');
}

static void print_text(struct json_object *info)
{
    struct json_object *keyslots = header_text_member(info, "keyslots"),
                       *tokens = header_text_member(info, "tokens");

    print_line("Type:", strcmp(header_text_string(info, "type"), "luks1") == 0 ? "LUKS1" : "LUKS2");
    print_line("UUID:", header_text_string(info, "uuid"));
    print_line("Label:", header_text_string(info, "label"));
    print_line("Subsystem:", header_text_string(info, "subsystem"));
    printf("%-17s%s, %" PRIu64 "-bit key\n", "Cipher:", header_text_string(info, "cipher"),
           header_text_number(info, "key-bits"));
    print_line("Implementation:", header_text_string(info, "cipher-implementation"));
    printf("%-17s%" PRIu64 " bytes\n", "Sector size:", header_text_number(info, "sector-size"));
    print_line("Payload offset:", size_text(header_text_number(info, "payload-offset")).text);
    print_line("Usable size:", header_text_member(info, "size") != NULL
                                   ? size_text(header_text_number(info, "size")).text
                                   : "not known: the data is elsewhere, or was cut off");
    if (header_text_number(info, "iv-offset") != 0)
        printf("%-17s%" PRIu64 " units of 512 bytes\n",
               "IV offset:", header_text_number(info, "iv-offset"));
    print_line("Header digest:", header_text_string(info, "header-digest"));
    print_header(info);
    print_flags(header_text_member(info, "flags"));
    if (json_object_get_boolean(header_text_member(info, "zero-holes")))
        print_line("Holes:", "read as zeros, with serve --zero-holes");
    for (size_t i = 0; i < json_object_array_length(keyslots); i++)
        header_text_print_keyslot(json_object_array_get_idx(keyslots, i));
    for (size_t i = 0; i < json_object_array_length(tokens); i++)
        header_text_print_token(json_object_array_get_idx(tokens, i));
}

/* ---- reading ---- */

static void warn_of_foreign_header(const struct luks_header *luks, struct stage *image,
                                   const char *spec)
{
    struct error why = { "" };

    if (foreign_header_find(luks, image, &why) != 0)
        log_warning("image '%s': %s", spec, why.text);
}

/* The data of a backup may have any size. */
#define DATA_BYTES_OF_BACKUP ((uint64_t)INT64_MAX)
#define BACKUP_BLOCK_BYTES 4096u

/* What an image holds that ends where the data would begin.  One that ends elsewhere was cut off:
 * -ENODATA. */
static int load_backup(struct luks_header **luks, struct stage *image, struct error *err)
{
    uint64_t image_bytes = image->limits.size_bytes, header_bytes = 0;
    int result = luks_image_load_alone(luks, image, DATA_BYTES_OF_BACKUP, err);

    if (result == 0)
        result = luks_backup_area_bytes(&header_bytes, *luks, err);
    if (result == 0 && image_bytes - header_bytes >= BACKUP_BLOCK_BYTES)
        result = -ENODATA;
    return result;
}

/* *alone: it is a backup, without data behind it. */
static int load(struct luks_header **luks, bool *alone, struct format_signature *content,
                struct stage *image, const char *header_spec, struct error *err)
{
    int result = volume_header_load(luks, image, header_spec, content, err);

    *alone = result == -ENODATA && header_spec == NULL && load_backup(luks, image, NULL) == 0;
    if (*alone)
        return 0;
    if (result == -EMEDIUMTYPE)
        volume_header_tell_content(
            content, header_spec != NULL ? LUKS_IMAGE_OF_HEADER : LUKS_IMAGE_LOOKED_AT, err);
    return result;
}

static int describe_luks(struct json_object **info, struct format_signature *content,
                         struct stage *image, const char *spec,
                         const struct info_arguments *arguments, struct error *err)
{
    struct luks_demands demands = header_demands_meaning(&arguments->demands);
    const char *header_spec = arguments->header;
    struct luks_header *luks = NULL;
    bool alone = false;
    int result = load(&luks, &alone, content, image, header_spec, err);

    if (result == 0) {
        result = luks_demands_check(&demands, luks, err);
        if (result == 0)
            result = luks_describe_json(info, luks, err);
        if (result < 0 && header_spec != NULL)
            error_prefix(err, "header '%s': ", header_spec);
    }
    if (result == 0 && header_spec != NULL)
        warn_of_foreign_header(luks, image, spec);
    if (result == 0 && alone && !luks_segment(luks)->fixed_size)
        json_object_object_add(*info, "size", NULL);
    luks_free(luks);
    return result;
}

/* One that QEMU encrypted; or whose disk has no LUKS header, or can't be looked at. */
static int describe_qcow2(struct json_object **info, struct stage *image,
                          const struct info_arguments *arguments, struct error *err)
{
    struct luks_demands demands = header_demands_meaning(&arguments->demands);
    const struct qcow2_header *header = qcow2_stage_header(image);
    struct luks_header *luks = NULL;
    int result = 0;

    if (header->crypt == QCOW2_CRYPT_LUKS)
        result = qcow2_key_header(&luks, image, &demands, err);
    if (header->crypt == QCOW2_CRYPT_AES)
        result = qcow2_key_check_aes(&demands, err);
    if (result == 0)
        result = qcow2_text_json(info, header, luks, err);
    luks_free(luks);
    return result;
}

/* ---- both ---- */

struct looked {
    const char *spec;
    bool named; /* as a qcow2 image */
    bool found; /* it is to be looked at as one */
};

/* The disk can't be one that holds LUKS.  -EMEDIUMTYPE, or 0. */
static int check_disk(struct stage *image, struct error *err)
{
    if (!qcow2_stage_lacks_backing(image))
        return 0;
    return error_set(err, -EMEDIUMTYPE,
                     "no LUKS header found: the disk in it has a backing file, which was not "
                     "opened");
}

/* Of a part of its disk there is nothing to tell. */
static bool is_told_of(struct stage *image, const struct looked *looked,
                       const struct info_arguments *arguments)
{
    return looked->named && image == qcow2_stage_of(image) &&
           header_demands_given(&arguments->demands) == NULL && arguments->header == NULL;
}

static int describe(struct json_object **info, struct looked *looked, struct stage *image,
                    const struct info_arguments *arguments, struct error *err)
{
    struct luks_demands demands = header_demands_meaning(&arguments->demands);
    struct format_signature content = { .text = "" };
    bool detached = arguments->header != NULL;

    if (!detached && qcow2_stage_crypt(image) != QCOW2_CRYPT_NONE)
        return describe_qcow2(info, image, arguments, err);
    int result = detached ? 0 : check_disk(image, err);
    if (result == 0)
        result = describe_luks(info, &content, image, looked->spec, arguments, err);
    if (result == -EMEDIUMTYPE && is_told_of(image, looked, arguments))
        return describe_qcow2(info, image, arguments, err);
    looked->found = result == -EMEDIUMTYPE && !detached && qcow2_stage_of(image) == NULL &&
                    qcow2_found(&content, looked->spec, &demands);
    return result;
}

static int look(struct json_object **info, struct looked *looked,
                const struct info_arguments *arguments, struct error *err)
{
    const struct image_options options = { .read_only = true, .without_backing = true };
    struct stage *image = NULL;
    int result = looked->found ? qcow2_found_open(&image, looked->spec, &options, err)
                               : image_open(&image, looked->spec, &options, err);

    if (result < 0)
        return result;
    looked->found = false;
    result = describe(info, looked, image, arguments, err);
    if (result < 0 && arguments->header == NULL)
        error_prefix(err, "image '%s': ", looked->spec);
    stage_close(image);
    return result;
}

static int check(void *context, char **operands, struct error *err)
{
    const struct info_arguments *arguments = context;

    (void)operands;
    return header_demands_check(&arguments->demands, err);
}

static int run(void *context, char **operands, struct error *err)
{
    const struct info_arguments *arguments = context;
    struct looked looked = { .spec = operands[0], .named = image_names_a_format(operands[0]) };
    struct json_object *info = NULL;
    int result = look(&info, &looked, arguments, err);

    if (looked.found) {
        result = look(&info, &looked, arguments, err);
        if (result == -EMEDIUMTYPE)
            result = qcow2_found_refuse_plain(operands[0], err);
    }
    if (result == 0 && arguments->json)
        header_text_print_json(info);
    else if (result == 0 && strcmp(header_text_string(info, "type"), "qcow2") == 0)
        qcow2_text_print(info);
    else if (result == 0)
        print_text(info);
    json_object_put(info);
    return result;
}

const struct command command_info = {
    .name = "info",
    .help = "show what an image holds",
    .cryptsetup = "luksDump luksUUID isLuks",
    .about = "Shows what a LUKS header says, or a qcow2 image.  No key is needed, and none\n"
             "is shown.",
    .operands = "IMAGE",
    .params = info_params,
    .arguments_bytes = sizeof(struct info_arguments),
    .check = check,
    .run = run,
};
