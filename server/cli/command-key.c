/* nbdcrypt key: see command-key.h.
 *
 *     look at the header -> passphrases -> lock it -> change it in memory -> try the new key ->
 * write
 *
 * A person may take long to type: the header is locked and read again afterwards. */
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
#include "server/volume/volume.h"
#include "server/keys/wait-notice.h"

#define SLOT_MAX 31u
#define SLOT_NOT_GIVEN UINT32_MAX

struct key_arguments {
    struct key_source key;
    struct key_source new_key;
    unsigned slot;
    unsigned new_slot;
    const char *priority;
    struct luks_pbkdf pbkdf;
    const char *header;
    struct lock_terms terms;
    struct header_demands demands;
    bool force;
    bool json;
    bool help;

    enum luks_priority priority_meant;
};

#define FIELD(name) offsetof(struct key_arguments, name)

#define PARAMS_KEY \
    KEY_SOURCE_ROWS("", struct key_arguments, key, "a passphrase that opens the volume")
#define PARAMS_NEW_KEY KEY_SOURCE_ROWS("new-", struct key_arguments, new_key, "the new passphrase")
#define PARAM_SLOT(help) PARAM("slot", UINT, "N", slot, help, .max = SLOT_MAX)
#define PARAM_PRIORITY(help) \
    PARAM("priority", STRING, "PRIORITY", priority, help, .choices = "prefer|normal|ignore")
#define PARAMS_PBKDF                                                                           \
    PARAM("pbkdf", STRING, "KDF", pbkdf.name,                                                  \
          "argon2id, argon2i or pbkdf2 (default: argon2id, of luks1 pbkdf2)",                  \
          .choices = "argon2id|argon2i|pbkdf2"),                                               \
        PARAM("pbkdf-iterations", UINT, "N", pbkdf.iterations,                                 \
              "fixed cost (default: what takes 2 seconds here)", .min = 1, .max = UINT32_MAX), \
        PARAM("pbkdf-memory-kib", UINT, "KIB", pbkdf.memory_kib,                               \
              "memory of Argon2 at most (default: 1048576)", .min = 1, .max = UINT32_MAX),     \
        PARAM("pbkdf-parallel", UINT, "N", pbkdf.parallel,                                     \
              "threads of Argon2 (default: 4, or the CPUs if less)", .min = 1, .max = 4)
#define PARAM_HEADER \
    PARAM("header", STRING, "FILE", header, "the header is in this file, not in the image")
#define PARAMS_LOCK LOCK_ROWS(struct key_arguments, terms)
#define PARAM_HELP PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h')

static const struct param add_params[] = {
    PARAMS_KEY,
    KEY_SOURCE_VOLUME_KEY_ROWS(struct key_arguments, key),
    PARAMS_NEW_KEY,
    PARAM_SLOT("try only this keyslot with the passphrase that opens the volume"),
    PARAM("new-slot", UINT, "N", new_slot,
          "put the new key there (default: the first that is free)", .max = SLOT_MAX),
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
    PARAM("force", FLAG, NULL, force, "remove the last key too, after which the data is lost",
          .never_proposed = true),
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

static int slot_of(unsigned slot)
{
    return slot == SLOT_NOT_GIVEN ? LUKS_KEYSLOT_ANY : (int)slot;
}

static int check_old_key(void *context, char **operands, struct error *err)
{
    const struct key_arguments *arguments = context;
    int result = key_source_check(&arguments->key, "--", err);

    (void)operands;
    if (result == 0)
        result = volume_key_check_slot(&arguments->key, slot_of(arguments->slot), err);
    return result < 0 ? result : header_demands_check(&arguments->demands, err);
}

/* Of add and change. */
static int check_new_key(void *context, char **operands, struct error *err)
{
    struct key_arguments *arguments = context;
    int result = check_old_key(context, operands, err);

    if (result < 0)
        return result;
    result = key_source_check(&arguments->new_key, "--new-", err);
    if (result < 0)
        return result;
    if (key_source_is_stdin(&arguments->key) && key_source_is_stdin(&arguments->new_key))
        return error_set(err, -EINVAL,
                         "--key-file and --new-key-file can't both be standard input");
    if (arguments->priority == NULL)
        return 0;
    return luks_priority_parse(&arguments->priority_meant, arguments->priority, err);
}

static struct luks_new_key new_key_of(const struct key_arguments *arguments,
                                      const struct secret *passphrase)
{
    return (struct luks_new_key){
        .passphrase = passphrase,
        .pbkdf = arguments->pbkdf,
        .priority = arguments->priority_meant,
    };
}

/* The volume that is meant, or none.  volume_close() in every case. */
static int open_volume(struct volume *out, const char *image, const struct key_arguments *arguments,
                       enum volume_use use, struct error *err)
{
    struct luks_demands demands = header_demands_meaning(&arguments->demands);

    return volume_open_demanded(out, image, arguments->header, &demands, use, &arguments->terms,
                                err);
}

/* A change of the header, from the lock to the end. */
struct key_work {
    const struct key_arguments *arguments;
    struct secret *old_key; /* NULL: none is needed */
    struct secret *new_key; /* NULL: there is none */
    int slot;               /* out: of the new key, or of the one that was removed */
    int known_slot;         /* out, of add: what the new key opened before */
    bool tried,
        new_opens; /* out, where storage failed: what is stored was tried, and it opens that */
    int (*change)(struct key_work *work, struct luks_header *header, struct error *err);
};

/* Whether it makes sense to ask for passphrases at all; then the old key is read. */
static int look(struct key_work *work, const char *image, bool with_old_key, bool with_new_key,
                struct error *err)
{
    const struct key_arguments *arguments = work->arguments;
    struct luks_new_key new_key = new_key_of(arguments, NULL);
    struct volume volume;
    int result = open_volume(&volume, image, arguments, VOLUME_READ, err);

    if (result == 0 && with_new_key)
        result = luks_new_key_check(&new_key, volume.header, err);
    if (result == 0 && with_old_key)
        result = volume_key_ask(&work->old_key, slot_of(arguments->slot), volume.header,
                                &arguments->key, image, err);
    volume_close(&volume);
    return result;
}

static int change_and_try(void *context, struct luks_header *header, struct luks_change *change,
                          struct error *err)
{
    struct key_work *work = context;
    struct wait_notice notice;
    int result = work->change(work, header, err);

    if (result < 0 || work->new_key == NULL)
        return result;
    wait_notice_begin(&notice, "Trying the new key");
    result = luks_change_check(change, work->slot, work->new_key, err);
    wait_notice_end(&notice);
    return result;
}

static bool opens(const struct key_work *work, struct volume *volume, bool new)
{
    static const struct key_source passphrase;
    const struct key_source *source = new ? &passphrase : &work->arguments->key;
    struct secret *volume_key = NULL;
    int slot = LUKS_KEYSLOT_ANY;
    int result = volume_key_open(&volume_key, &slot, volume->header, source,
                                 new ? work->new_key : work->old_key, NULL);

    secret_free(volume_key);
    return result == 0;
}

/* Tries the keys on what is stored. */
static void tell_keys(void *context, struct volume *volume, struct error *err)
{
    struct key_work *work = context;
    const char *old = "", *new = "";

    if (work->old_key != NULL || work->arguments->key.token)
        old = opens(work, volume, false) ? "; now the old key opens it"
                                         : "; now the old key does not open it";
    work->tried = true;
    work->new_opens = work->new_key != NULL && opens(work, volume, true);
    if (work->new_key)
        new = work->new_opens ? ", the new key opens it" : ", the new key does not";
    if (*old || *new)
        (void)error_set(err, 0, "%s%s%s", err->text, old, new);
    else
        (void)error_set(err, 0, "%s; keyslot %d is %s use now", err->text, work->slot,
                        luks_keyslot_is_in_use(work->slot, volume->header) ? "in" : "not in");
}

/* A new key that is in force, durably, is what was asked for: it was read back before.  What is
 * missing is told; where nothing can be read any more, it was not tried once more. */
static int accept_new_key(const struct key_work *work, enum luks_outcome outcome, int result,
                          const struct error *err)
{
    if (outcome != LUKS_OUTCOME_AFTER || work->new_key == NULL || (work->tried && !work->new_opens))
        return result;
    log_warning("%s", err->text);
    return 0;
}

static int change_header(struct key_work *work, const char *image, struct error *err)
{
    struct volume volume;
    enum luks_outcome outcome = LUKS_OUTCOME_UNTOUCHED;
    int result = open_volume(&volume, image, work->arguments, VOLUME_CHANGE_KEYS, err);

    if (result == 0) {
        result = volume_change_telling(&volume, change_and_try, tell_keys, work, &outcome, err);
        if (result < 0)
            result = accept_new_key(work, outcome, result, err);
    }
    volume_close(&volume);
    return result;
}

static int run_with_new_key(struct key_work *work, const char *image, struct error *err)
{
    const struct key_arguments *arguments = work->arguments;
    int result = look(work, image, true, true, err);

    if (result == 0)
        result = key_source_read(&work->new_key, &arguments->new_key, image, true, err);
    if (result == 0)
        result = change_header(work, image, err);
    secret_free(work->old_key);
    secret_free(work->new_key);
    return result;
}

/* ---- add ---- */

/* LUKS_KEYSLOT_ANY: none. */
static int slot_that_opens(struct luks_header *header, const struct secret *passphrase)
{
    struct wait_notice notice;
    struct secret *volume_key = NULL;
    int slot = LUKS_KEYSLOT_ANY;

    wait_notice_begin(&notice, "Trying the new key");
    int result = luks_keyslot_open(&volume_key, &slot, header, passphrase, NULL);
    wait_notice_end(&notice);
    secret_free(volume_key);
    return result == 0 ? slot : LUKS_KEYSLOT_ANY;
}

static int add_key(struct key_work *work, struct luks_header *header, struct error *err)
{
    struct luks_new_key new_key = new_key_of(work->arguments, work->new_key);
    struct secret *volume_key = NULL;
    int slot = slot_of(work->arguments->slot);
    int result =
        volume_key_open(&volume_key, &slot, header, &work->arguments->key, work->old_key, err);

    if (result < 0)
        return result;
    struct wait_notice notice;

    work->known_slot = slot_that_opens(header, work->new_key);
    work->slot = slot_of(work->arguments->new_slot);
    wait_notice_begin(&notice, "Making the keyslot");
    result = luks_keyslot_add(&work->slot, header, volume_key, &new_key, err);
    wait_notice_end(&notice);
    secret_free(volume_key);
    return result;
}

static int run_add(void *arguments, char **operands, struct error *err)
{
    struct key_work work = { .arguments = arguments, .change = add_key };
    int result = run_with_new_key(&work, operands[0], err);

    if (result == 0)
        printf("The new key is in keyslot %d of %s.\n", work.slot, operands[0]);
    /* Who means to replace a passphrase by another one may have given the same one twice. */
    if (result == 0 && work.known_slot != LUKS_KEYSLOT_ANY)
        log_warning(
            "this passphrase opens keyslot %d, too, and did before: to take it away, remove "
            "both keyslots",
            work.known_slot);
    return result;
}

/* ---- change ---- */

static int change_key(struct key_work *work, struct luks_header *header, struct error *err)
{
    struct luks_new_key new_key = new_key_of(work->arguments, work->new_key);

    struct wait_notice notice;

    work->slot = slot_of(work->arguments->slot);
    wait_notice_begin(&notice, "Changing the keyslot");
    int result = luks_keyslot_change(&work->slot, header, work->old_key, &new_key, err);
    wait_notice_end(&notice);
    return result;
}

static int run_change(void *arguments, char **operands, struct error *err)
{
    struct key_work work = { .arguments = arguments, .change = change_key };
    int result = run_with_new_key(&work, operands[0], err);

    if (result == 0)
        printf("The new key is in keyslot %d of %s; the old one opens it no more.\n", work.slot,
               operands[0]);
    return result;
}

/* ---- remove ---- */

static int remove_key(struct key_work *work, struct luks_header *header, struct error *err)
{
    struct secret *volume_key = NULL;
    int result = 0;

    work->slot = slot_of(work->arguments->slot);
    if (work->old_key)
        result = luks_keyslot_open(&volume_key, &work->slot, header, work->old_key, err);
    secret_free(volume_key);
    if (result < 0)
        return result;
    return luks_keyslot_remove(work->slot, header, work->arguments->force, err);
}

static int run_remove(void *context, char **operands, struct error *err)
{
    const struct key_arguments *arguments = context;
    struct key_work work = { .arguments = arguments, .change = remove_key };
    bool by_key = key_source_given(&arguments->key) != NULL || arguments->slot == SLOT_NOT_GIVEN;
    int result = look(&work, operands[0], by_key, false, err);

    if (result == 0)
        result = change_header(&work, operands[0], err);
    secret_free(work.old_key);
    if (result == 0)
        printf("The key in keyslot %d of %s is removed.\n", work.slot, operands[0]);
    return result;
}

/* ---- priority ---- */

static int check_priority(void *context, char **operands, struct error *err)
{
    struct key_arguments *arguments = context;
    int result = luks_priority_parse(&arguments->priority_meant, operands[1], err);

    if (result == 0 && arguments->slot == SLOT_NOT_GIVEN)
        result = error_set(err, -EINVAL, "which one? --slot N tells; key list shows the keyslots");
    return result == 0 ? header_demands_check(&arguments->demands, err) : result;
}

static int set_priority(struct key_work *work, struct luks_header *header, struct error *err)
{
    return luks_keyslot_set_priority(work->slot, header, work->arguments->priority_meant, err);
}

static int run_priority(void *context, char **operands, struct error *err)
{
    const struct key_arguments *arguments = context;
    struct key_work work = { .arguments = arguments,
                             .slot = (int)arguments->slot,
                             .change = set_priority };
    int result = change_header(&work, operands[0], err);

    if (result == 0)
        printf("Keyslot %d of %s has the priority %s.\n", work.slot, operands[0], operands[1]);
    return result;
}

/* ---- test ---- */

static int run_test(void *context, char **operands, struct error *err)
{
    const struct key_arguments *arguments = context;
    struct secret *volume_key = NULL;
    struct volume volume;
    int slot = slot_of(arguments->slot);
    int result = open_volume(&volume, operands[0], arguments, VOLUME_READ, err);

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
    .slot = SLOT_NOT_GIVEN,
    .new_slot = SLOT_NOT_GIVEN,
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
