/* nbdcrypt key: see command-key.h. */
#include "server/cli/command-key.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "crypto/luks/luks-describe.h"
#include "crypto/luks/luks-keyslot.h"
#include "server/cli/command-line.h"
#include "server/volume/header-demands.h"
#include "server/cli/header-text.h"
#include "server/keys/key-source.h"
#include "server/block/lock-params.h"
#include "server/base/log.h"
#include "server/volume/volume-key.h"
#include "server/volume/volume-keys.h"
#include "server/volume/volume.h"

struct key_arguments {
    struct key_source key;
    struct key_source new_key;
    struct volume_keys_options options;
    const char *header;
    struct lock_terms terms;
    struct header_demands demands;
    bool json;
    bool help;
};

#define FIELD(name) offsetof(struct key_arguments, name)

#define PARAMS_KEY \
    KEY_SOURCE_ROWS("", struct key_arguments, key, "a passphrase that opens the volume")
#define PARAMS_NEW_KEY KEY_SOURCE_ROWS("new-", struct key_arguments, new_key, "the new passphrase")
#define PARAM_SLOT(help) VOLUME_KEYS_SLOT_ROW(struct key_arguments, options, help)
#define PARAM_PRIORITY(help) VOLUME_KEYS_PRIORITY_ROW(struct key_arguments, options, help)
#define PARAMS_PBKDF VOLUME_KEYS_PBKDF_ROWS(struct key_arguments, options)
#define PARAM_HEADER \
    PARAM("header", STRING, "FILE", header, "the header is in this file, not in the image")
#define PARAMS_LOCK LOCK_ROWS(struct key_arguments, terms)
#define PARAM_HELP PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h')

static const struct param add_params[] = {
    PARAMS_KEY,
    KEY_SOURCE_VOLUME_KEY_ROWS(struct key_arguments, key),
    PARAMS_NEW_KEY,
    PARAM_SLOT("try only this keyslot with the passphrase that opens the volume"),
    VOLUME_KEYS_NEW_SLOT_ROW(struct key_arguments, options),
    PARAM_PRIORITY("prefer, normal or ignore: whether this key is tried first, or only when its "
                   "keyslot is named (luks2; default: normal)"),
    PARAMS_PBKDF,
    PARAMS_LOCK,
    PARAM_HEADER,
    HEADER_DEMAND_ROWS(struct key_arguments, demands),
    PARAM_HELP,
    { .name = NULL },
};

static const struct param change_params[] = {
    PARAMS_KEY,
    PARAMS_NEW_KEY,
    PARAM_SLOT("change the key in this keyslot (default: the one that the old key opens)"),
    PARAM_PRIORITY("prefer, normal or ignore (luks2; default: as it was)"),
    PARAMS_PBKDF,
    PARAMS_LOCK,
    PARAM_HEADER,
    HEADER_DEMAND_ROWS(struct key_arguments, demands),
    PARAM_HELP,
    { .name = NULL },
};

static const struct param remove_params[] = {
    KEY_SOURCE_ROWS("", struct key_arguments, key,
                    "remove this passphrase (without it and --slot the terminal asks)"),
    PARAM_SLOT("remove the key in this keyslot, for which no passphrase is needed"),
    VOLUME_KEYS_FORCE_ROW(struct key_arguments, options),
    PARAMS_LOCK,
    PARAM_HEADER,
    HEADER_DEMAND_ROWS(struct key_arguments, demands),
    PARAM_HELP,
    { .name = NULL },
};

static const struct param test_params[] = {
    PARAMS_KEY,
    KEY_SOURCE_VOLUME_KEY_ROWS(struct key_arguments, key),
    PARAM_SLOT("try only this keyslot"),
    PARAM_HEADER,
    HEADER_DEMAND_ROWS(struct key_arguments, demands),
    PARAM_HELP,
    { .name = NULL },
};

static const struct param priority_params[] = {
    PARAM_SLOT("the keyslot that is meant"),           PARAMS_LOCK, PARAM_HEADER,
    HEADER_DEMAND_ROWS(struct key_arguments, demands), PARAM_HELP,  { .name = NULL },
};

static const struct param list_params[] = {
    PARAM("json", FLAG, NULL, json, "print JSON, in a form that scripts can rely on"),
    PARAM_HEADER,
    PARAM_HELP,
    { .name = NULL },
};

/* ---- what they share ---- */

static int check_old_key(void *context, char **operands, struct error *err)
{
    const struct key_arguments *arguments = context;
    int result = key_source_check(&arguments->key, "--", err);

    (void)operands;
    if (result == 0)
        result =
            volume_key_check_slot(&arguments->key, volume_keys_slot(arguments->options.slot), err);
    return result < 0 ? result : header_demands_check(&arguments->demands, err);
}

/* Of add and change. */
static int check_new_key(void *context, char **operands, struct error *err)
{
    const struct key_arguments *arguments = context;
    int result = check_old_key(context, operands, err);

    if (result < 0)
        return result;
    result = key_source_check(&arguments->new_key, "--new-", err);
    if (result < 0)
        return result;
    if (key_source_is_stdin(&arguments->key) && key_source_is_stdin(&arguments->new_key))
        return error_set(err, -EINVAL,
                         "--key-file and --new-key-file can't both be standard input");
    return volume_keys_check(&arguments->options, err);
}

static struct volume_keys keys_of(const struct key_arguments *arguments, const char *image)
{
    return (struct volume_keys){
        .image = image,
        .header = arguments->header,
        .demands = header_demands_meaning(&arguments->demands),
        .terms = arguments->terms,
        .key = arguments->key,
        .new_key = arguments->new_key,
        .options = arguments->options,
    };
}

/* ---- add ---- */

static int run_add(void *arguments, char **operands, struct error *err)
{
    struct volume_keys keys = keys_of(arguments, operands[0]);
    int result = volume_keys_add(&keys, err);

    if (result == 0)
        printf("The new key is in keyslot %d of %s.\n", keys.changed_slot, operands[0]);
    /* Who means to replace a passphrase by another one may have given the same one twice. */
    if (result == 0 && keys.known_slot != LUKS_KEYSLOT_ANY)
        log_warning(
            "this passphrase opens keyslot %d, too, and did before: to take it away, remove "
            "both keyslots",
            keys.known_slot);
    return result;
}

/* ---- change ---- */

static int run_change(void *arguments, char **operands, struct error *err)
{
    struct volume_keys keys = keys_of(arguments, operands[0]);
    int result = volume_keys_change(&keys, err);

    if (result == 0)
        printf("The new key is in keyslot %d of %s; the old one opens it no more.\n",
               keys.changed_slot, operands[0]);
    return result;
}

/* ---- remove ---- */

static int run_remove(void *arguments, char **operands, struct error *err)
{
    struct volume_keys keys = keys_of(arguments, operands[0]);
    int result = volume_keys_remove(&keys, err);

    if (result == 0)
        printf("The key in keyslot %d of %s is removed.\n", keys.changed_slot, operands[0]);
    return result;
}

/* ---- priority ---- */

static int check_priority(void *context, char **operands, struct error *err)
{
    struct key_arguments *arguments = context;

    arguments->options.priority = operands[1];
    int result = volume_keys_check(&arguments->options, err);
    if (result == 0 && arguments->options.slot == VOLUME_KEYS_SLOT_NOT_GIVEN)
        result = error_set(err, -EINVAL, "which one? --slot N tells; key list shows the keyslots");
    return result == 0 ? header_demands_check(&arguments->demands, err) : result;
}

static int run_priority(void *context, char **operands, struct error *err)
{
    struct volume_keys keys = keys_of(context, operands[0]);
    int result = volume_keys_set_priority(&keys, err);

    if (result == 0)
        printf("Keyslot %d of %s has the priority %s.\n", keys.changed_slot, operands[0],
               operands[1]);
    return result;
}

/* ---- test ---- */

static int run_test(void *context, char **operands, struct error *err)
{
    const struct key_arguments *arguments = context;
    struct secret *volume_key = NULL;
    struct luks_demands demands = header_demands_meaning(&arguments->demands);
    struct volume volume;
    int slot = volume_keys_slot(arguments->options.slot);
    int result = volume_open_demanded(&volume, operands[0], arguments->header, &demands,
                                      VOLUME_READ, &arguments->terms, err);

    if (result == 0)
        result =
            volume_key_read(&volume_key, &slot, volume.header, &arguments->key, operands[0], err);
    secret_free(volume_key);
    volume_close(&volume);
    if (result == 0 && slot == LUKS_KEYSLOT_ANY)
        printf("This is the volume key of %s.\n", operands[0]);
    else if (result == 0)
        printf("This key opens keyslot %d of %s.\n", slot, operands[0]);
    return result;
}

/* ---- list ---- */

static void print_keyslots(struct json_object *info)
{
    struct json_object *keyslots = header_text_member(info, "keyslots");

    for (size_t i = 0; i < json_object_array_length(keyslots); i++)
        header_text_print_keyslot(json_object_array_get_idx(keyslots, i));
}

static void print_list(struct json_object *info, bool as_json)
{
    struct json_object *list;

    if (!as_json) {
        print_keyslots(info);
        return;
    }
    list = json_object_new_object();
    json_object_object_add(list, "keyslots", json_object_get(header_text_member(info, "keyslots")));
    header_text_print_json(list);
    json_object_put(list);
}

static int run_list(void *context, char **operands, struct error *err)
{
    const struct key_arguments *arguments = context;
    struct json_object *info = NULL;
    struct volume volume;
    int result =
        volume_open_header(&volume, operands[0], arguments->header, VOLUME_READ, NULL, err);

    if (result == 0)
        result = luks_describe_json(&info, volume.header, err);
    volume_close(&volume);
    if (result == 0)
        print_list(info, arguments->json);
    json_object_put(info);
    return result;
}

/* ---- the commands ---- */

static const struct key_arguments defaults = {
    .options = { .slot = VOLUME_KEYS_SLOT_NOT_GIVEN, .new_slot = VOLUME_KEYS_SLOT_NOT_GIVEN },
};

static const struct command key_add = {
    .name = "key add",
    .help = "add a key",
    .cryptsetup = "luksAddKey",
    .about = "Adds a key: afterwards the old and the new passphrase open the volume.",
    .operands = "IMAGE",
    .params = add_params,
    .arguments_bytes = sizeof(struct key_arguments),
    .defaults = &defaults,
    .check = check_new_key,
    .run = run_add,
};

static const struct command key_change = {
    .name = "key change",
    .help = "replace a key by another one",
    .cryptsetup = "luksChangeKey luksConvertKey",
    .about = "Replaces a key by another one, which is there before the old one goes.",
    .operands = "IMAGE",
    .params = change_params,
    .arguments_bytes = sizeof(struct key_arguments),
    .defaults = &defaults,
    .check = check_new_key,
    .run = run_change,
};

static const struct command key_remove = {
    .name = "key remove",
    .help = "remove a key",
    .cryptsetup = "luksRemoveKey luksKillSlot",
    .about = "Removes a key and wipes what the header kept of it. A backup of the header still\n"
             "has it.",
    .operands = "IMAGE",
    .params = remove_params,
    .arguments_bytes = sizeof(struct key_arguments),
    .defaults = &defaults,
    .check = check_old_key,
    .run = run_remove,
};

static const struct command key_priority = {
    .name = "key priority",
    .help = "say when a keyslot is tried",
    .cryptsetup = "config",
    .about = "Says when a keyslot of LUKS2 is tried: prefer (first), normal, or ignore\n"
             "(only when it is named).  No key is needed.",
    .operands = "IMAGE PRIORITY",
    .params = priority_params,
    .arguments_bytes = sizeof(struct key_arguments),
    .defaults = &defaults,
    .check = check_priority,
    .run = run_priority,
};

static const struct command key_test = {
    .name = "key test",
    .help = "does a key open the volume?",
    .about = "Tells whether a key opens the volume, and which keyslot it opens.",
    .operands = "IMAGE",
    .params = test_params,
    .arguments_bytes = sizeof(struct key_arguments),
    .defaults = &defaults,
    .check = check_old_key,
    .run = run_test,
};

static const struct command key_list = {
    .name = "key list",
    .help = "show the keyslots",
    .about = "Shows which keyslots are in use.  No key is needed, and none is shown.",
    .operands = "IMAGE",
    .params = list_params,
    .arguments_bytes = sizeof(struct key_arguments),
    .defaults = &defaults,
    .run = run_list,
};

static const struct command *const key_commands[] = { &key_add,      &key_change, &key_remove,
                                                      &key_priority, &key_test,   &key_list,
                                                      NULL };

const struct command command_key = {
    .name = "key",
    .help = "add, remove, change, test and list the keys of an image",
    .commands = key_commands,
};
