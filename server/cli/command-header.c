/* nbdcrypt header, nbdcrypt erase: see command-header.h. */
#include "server/cli/command-header.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crypto/luks/luks-backup.h"
#include "crypto/luks/luks-flags.h"
#include "crypto/luks/luks-keyslot.h"
#include "crypto/luks/luks-restore.h"
#include "crypto/luks/luks-zero-holes.h"
#include "server/cli/command-line.h"
#include "server/cli/confirm.h"
#include "server/block/lock-params.h"
#include "server/base/log.h"
#include "server/cli/output-file.h"
#include "server/base/size-text.h"
#include "server/volume/volume.h"

struct header_arguments {
    const char *header;
    struct lock_terms terms;
    bool force;
    bool yes;
    bool help;
};

#define FIELD(name) offsetof(struct header_arguments, name)

#define PARAM_HEADER \
    PARAM("header", STRING, "FILE", header, "the header is in this file, not in the image")
#define PARAMS_LOCK LOCK_ROWS(struct header_arguments, terms)
#define PARAM_HELP PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h')

static const struct param backup_params[] = {
    PARAM("force", FLAG, NULL, force, "replace FILE if it exists", .never_proposed = true),
    PARAM_HEADER,
    PARAM_HELP,
    { .name = NULL },
};

static const struct param restore_params[] = {
    PARAM("yes", FLAG, NULL, yes, "do not ask", .never_proposed = true),
    PARAM(
        "force", FLAG, NULL, force,
        "do not ask, and overwrite the header of another volume, or what is there instead of one"),
    PARAMS_LOCK,
    PARAM_HEADER,
    PARAM_HELP,
    { .name = NULL },
};

static const struct param discard_params[] = {
    PARAMS_LOCK,
    PARAM_HEADER,
    PARAM_HELP,
    { .name = NULL },
};

static const struct param zero_holes_params[] = {
    PARAM("yes", FLAG, NULL, yes, "do not ask", .never_proposed = true),
    PARAMS_LOCK,
    PARAM_HEADER,
    PARAM_HELP,
    { .name = NULL },
};

static const struct param erase_params[] = {
    PARAM("yes", FLAG, NULL, yes, "do not ask", .never_proposed = true),
    PARAMS_LOCK,
    PARAM_HEADER,
    PARAM_HELP,
    { .name = NULL },
};

/* ---- backup ---- */

static int write_backup(int fd, uint64_t bytes, const char *path, bool replace, struct error *err)
{
    void *data = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);
    int result;

    if (data == MAP_FAILED)
        return error_no_memory(err, "for the backup");
    result = output_file_write(path, data, (size_t)bytes, replace, err);
    (void)munmap(data, (size_t)bytes);
    return result;
}

static int run_backup(void *context, char **operands, struct error *err)
{
    const struct header_arguments *arguments = context;
    struct luks_store store;
    struct volume volume;
    uint64_t bytes = 0;
    int fd = -1;
    int result =
        volume_open_header(&volume, operands[0], arguments->header, VOLUME_READ, NULL, err);

    if (result == 0) {
        store = volume_store(&volume);
        result = luks_backup_make(&fd, &bytes, volume.header, store.read, store.context, err);
        if (result < 0)
            volume_prefix(&volume, err);
    }
    if (result == 0)
        result = write_backup(fd, bytes, operands[1], arguments->force, err);
    if (fd >= 0)
        (void)close(fd);
    if (result == 0)
        printf("The header of %s is in %s: %s.\n"
               "Keep it as safe as the keys: with it, keys that are removed later still open the "
               "volume.\n",
               operands[0], operands[1], size_text(bytes).text);
    volume_close(&volume);
    return result;
}

/* ---- restore ---- */

#define THERE_BYTES 128u

/* Another format's mark: more than a header is lost. */
static int check_content(const struct volume *volume, struct error *err)
{
    struct format_signature content;
    int result = volume_signature(&content, volume, err);

    if (result < 0 || content.text[0] == '\0')
        return result;
    return error_set(err, -EEXIST, "it holds %s; give --force to overwrite the start of that",
                     content.text);
}

static int compare_uuid(const char *uuid, const struct luks_header *backup, struct error *err)
{
    const char *of_backup = luks_segment(backup)->uuid;

    if (strcmp(uuid, of_backup) == 0)
        return 0;
    return error_set(err, -EPERM,
                     "it is the volume %s, and the backup is of the volume %s; give --force to "
                     "overwrite its header, without which its data is lost",
                     uuid, of_backup);
}

/* No header and no mark: data, which may be that of a volume whose header is apart.  Zeros, and
 * what an interrupted restore or a lost header left, are no loss. */
static int check_no_data(struct volume *target, struct volume *backup, struct error *err)
{
    struct luks_store from = volume_store(backup), to = volume_store(target);
    uint64_t differs_bytes;
    int result = luks_backup_compare(&differs_bytes, backup->header, &from, &to, err);

    if (result < 0 || differs_bytes == UINT64_MAX)
        return result;
    return error_set(
        err, -EEXIST,
        "it has no LUKS header, and holds data (at byte %" PRIu64 "), perhaps that of a "
        "volume whose header is kept apart; give --force to overwrite the start of that",
        differs_bytes);
}

/* The header that is there may be too damaged to be loaded: then its UUID is all that can be
 * compared, if there is one. */
static int check_remains(char there[THERE_BYTES], struct volume *target, struct volume *backup,
                         struct error *err)
{
    struct luks_store store = volume_store(target);
    char uuid[40];
    int result =
        luks_backup_uuid(uuid, store.read, store.context, target->stage->limits.size_bytes, err);

    if (result == -EMEDIUMTYPE) {
        (void)snprintf(there, THERE_BYTES, "it has no header");
        result = check_content(target, err);
        return result < 0 ? result : check_no_data(target, backup, err);
    }
    if (result < 0)
        return result;
    (void)snprintf(there, THERE_BYTES, "it has a damaged header of the volume %s", uuid);
    result = compare_uuid(uuid, backup->header, err);
    return result < 0 ? result : check_content(target, err);
}

static int check_header(char there[THERE_BYTES], struct volume *target, struct volume *backup,
                        struct error *err)
{
    const char *uuid = luks_segment(target->header)->uuid;
    int result = compare_uuid(uuid, backup->header, err);

    (void)snprintf(there, THERE_BYTES, "it has the header of the volume %s", uuid);
    return result < 0 ? result : check_content(target, err);
}

/* Not damaged, but of a volume that others can open: with a feature that we lack, or in
 * re-encryption, whose header says where the data is encrypted by which key. */
static bool is_refused(int load_result)
{
    return load_result == -EPERM || load_result == -ENOTSUP;
}

/* `there` says what there is, for the question. */
static int check_target(char there[THERE_BYTES], struct volume *target, struct volume *backup,
                        bool force, struct error *err)
{
    struct error why = { "" };
    int load_result = volume_load(target, &why), result = 0;

    if (is_refused(load_result) && !force)
        return error_set(
            err, load_result,
            "%s; the backup would overwrite this header, without which the data may be "
            "lost: give --force to do that",
            why.text);
    if (!force)
        result = load_result == 0 ? check_header(there, target, backup, err)
                                  : check_remains(there, target, backup, err);
    if (result == 0 && load_result == 0)
        result = luks_backup_fits(target->header, backup->header, err);
    if (result < 0)
        volume_prefix(target, err);
    return result;
}

/* For an image of this size. */
static int load_backup(struct volume *backup, const char *path, const struct volume *target,
                       struct error *err)
{
    int result = volume_open(backup, path, NULL, VOLUME_READ, NULL, err);

    if (result < 0)
        return result;
    backup->data_bytes = target->data_bytes;
    backup->detached = target->detached;
    result = luks_load(&backup->header, volume_store(backup).read, backup->io,
                       backup->stage->limits.size_bytes, backup->data_bytes, backup->detached, err);
    if (result < 0)
        error_prefix(err, "backup '%s': ", path);
    return result;
}

/* A backup made elsewhere may reach further than the image or the header file. */
static int check_room(const struct volume *target, const struct volume *backup, struct error *err)
{
    uint64_t room_bytes = target->stage->limits.size_bytes;

    if (backup->stage->limits.size_bytes <= room_bytes)
        return 0;
    return error_set(err, -ENOSPC, "'%s' has %" PRIu64 " bytes, and the backup has %" PRIu64,
                     target->spec, room_bytes, backup->stage->limits.size_bytes);
}

static int ask_to_restore(const char *there, const struct volume *target, struct error *err)
{
    char what[256];

    (void)snprintf(what, sizeof what,
                   "%s; what is there is replaced by the header of the backup and all its keys",
                   there);
    return confirm(what, target->spec, "restore", err);
}

static int restore_planned(struct luks_restore *plan, struct volume *target, const char *there,
                           const struct header_arguments *arguments, struct error *err)
{
    struct luks_store store = volume_store(target);
    enum luks_outcome outcome;
    int result = 0;

    if (luks_restore_risk(plan))
        log_warning("'%s': %s: if the restore is interrupted, no key opens the volume until it is "
                    "repeated",
                    target->spec, luks_restore_risk(plan));
    if (!arguments->yes && !arguments->force)
        result = ask_to_restore(there, target, err);
    if (result < 0)
        return result;
    result = luks_restore_run(plan, &store, &outcome, err);
    if (result < 0) {
        volume_explain(target, outcome, NULL, NULL, err);
        volume_prefix(target, err);
    }
    return result;
}

static int set_zero_holes(void *context, struct luks_header *header, struct luks_change *change,
                          struct error *err)
{
    const bool *recorded = context;

    (void)change;
    return luks_zero_holes_record(header, *recorded, err);
}

/* The data stays, and with it the meaning of its holes, though the backup may be older. */
static int keep_zero_holes(struct volume *target, struct error *err)
{
    bool recorded = true;
    int result;

    luks_free(target->header);
    target->header = NULL;
    result = volume_load(target, err);
    if (result == 0)
        result = volume_change(target, set_zero_holes, &recorded, err);
    if (result < 0)
        error_prefix(err, "the header is restored, but no longer says that holes are zeros "
                          "(`nbdcrypt header zero-holes IMAGE on` lets it): ");
    return result;
}

static bool must_keep_zero_holes(const struct volume *target, const struct volume *backup)
{
    return target->header != NULL && luks_zero_holes_recorded(target->header) &&
           !luks_zero_holes_recorded(backup->header) &&
           luks_segment(backup->header)->type == LUKS_TYPE_2 &&
           strcmp(luks_segment(target->header)->uuid, luks_segment(backup->header)->uuid) == 0;
}

static int restore(struct volume *target, struct volume *backup,
                   const struct header_arguments *arguments, struct error *err)
{
    struct luks_store from = volume_store(backup), to = volume_store(target);
    struct luks_restore *plan = NULL;
    char there[THERE_BYTES] = "";
    int result = check_room(target, backup, err);

    if (result == 0)
        result = check_target(there, target, backup, arguments->force, err);
    if (result < 0)
        return result;
    result =
        luks_restore_plan(&plan, backup->header, from.read, from.context, target->header, &to, err);
    if (result < 0)
        volume_prefix(target, err);
    else
        result = restore_planned(plan, target, there, arguments, err);
    luks_restore_free(plan);
    if (result == 0 && must_keep_zero_holes(target, backup))
        result = keep_zero_holes(target, err);
    return result;
}

static int run_restore(void *context, char **operands, struct error *err)
{
    const struct header_arguments *arguments = context;
    struct volume target, backup = { 0 };
    int result = volume_open(&target, operands[0], arguments->header, VOLUME_REPLACE,
                             &arguments->terms, err);

    if (result == 0)
        result = load_backup(&backup, operands[1], &target, err);
    if (result == 0)
        result = restore(&target, &backup, arguments, err);
    volume_close(&backup);
    volume_close(&target);
    if (result == 0)
        printf("The header of %s is that of %s.\n", operands[0], operands[1]);
    return result;
}

/* ---- erase ---- */

static int remove_all_keys(void *count, struct luks_header *header, struct luks_change *change,
                           struct error *err)
{
    (void)change;
    return luks_keyslot_remove_all(count, header, err);
}

static int run_erase(void *context, char **operands, struct error *err)
{
    const struct header_arguments *arguments = context;
    struct volume volume;
    unsigned count = 0;
    int result = volume_open_header(&volume, operands[0], arguments->header, VOLUME_REPLACE,
                                    &arguments->terms, err);

    if (result == 0 && !arguments->yes)
        result = confirm("all its keys are wiped, and nobody can read its data again without a "
                         "backup of its header",
                         volume.spec, "erase", err);
    if (result == 0)
        result = volume_change(&volume, remove_all_keys, &count, err);
    volume_close(&volume);
    if (result == 0)
        printf("The keys of %s are wiped (%u).\n", operands[0], count);
    return result;
}

/* ---- discard ---- */

static int set_discard(void *context, struct luks_header *header, struct luks_change *change,
                       struct error *err)
{
    const bool *allow = context;

    (void)change;
    return luks_flags_allow_discards(header, *allow, err);
}

static int check_on_off(void *context, char **operands, struct error *err)
{
    (void)context;
    if (strcmp(operands[1], "on") == 0 || strcmp(operands[1], "off") == 0)
        return 0;
    return error_set(err, -EINVAL, "'%s' is neither on nor off", operands[1]);
}

/* IMAGE on|off */
struct header_switch {
    volume_edit_fn *set;  /* its context is a bool */
    const char *on, *off; /* what IMAGE does then */
    const char *off_loss; /* what is lost when it was on; NULL: nothing, and a server may go on */
};

static int ask_to_lose(const struct header_switch *what, bool on, const struct volume *volume,
                       const struct header_arguments *arguments, struct error *err)
{
    if (on || what->off_loss == NULL || arguments->yes || !luks_zero_holes_recorded(volume->header))
        return 0;
    return confirm(what->off_loss, volume->spec, "off", err);
}

static int run_switch(const struct header_switch *what, const struct header_arguments *arguments,
                      char **operands, struct error *err)
{
    bool on = strcmp(operands[1], "on") == 0;
    enum volume_use use = !on && what->off_loss != NULL ? VOLUME_REPLACE : VOLUME_CHANGE_KEYS;
    struct volume volume;
    int result =
        volume_open_header(&volume, operands[0], arguments->header, use, &arguments->terms, err);

    if (result == 0)
        result = ask_to_lose(what, on, &volume, arguments, err);
    if (result == 0)
        result = volume_change(&volume, what->set, &on, err);
    volume_close(&volume);
    if (result == 0)
        printf("%s %s.\n", operands[0], on ? what->on : what->off);
    return result;
}

static int run_discard(void *context, char **operands, struct error *err)
{
    static const struct header_switch what = {
        .set = set_discard,
        .on = "passes TRIM on from now on, whoever opens it",
        .off = "passes TRIM on only when it is opened with --discard",
    };

    return run_switch(&what, context, operands, err);
}

static int run_zero_holes(void *context, char **operands, struct error *err)
{
    static const struct header_switch what = {
        .set = set_zero_holes,
        .on = "is served with --zero-holes only, from now on",
        .off =
            "is served without --zero-holes, too: holes and zeros that were written read as noise "
            "from now on, until the data is copied back",
        .off_loss =
            "zeros that were written while it was served with --zero-holes read as noise then, "
            "so that all of its data has to be copied elsewhere before and back afterwards",
    };

    return run_switch(&what, context, operands, err);
}

/* ---- the commands ---- */

static const struct command header_backup = {
    .name = "header backup",
    .help = "copy the header to a file",
    .cryptsetup = "luksHeaderBackup",
    .about = "Copies the LUKS header with its keyslots to FILE, in the format of cryptsetup.\n"
             "Whoever has the copy and a key of today can open the volume for ever, also after\n"
             "that key was removed.",
    .operands = "IMAGE FILE",
    .params = backup_params,
    .arguments_bytes = sizeof(struct header_arguments),
    .run = run_backup,
};

static const struct command header_restore = {
    .name = "header restore",
    .help = "write it back",
    .cryptsetup = "luksHeaderRestore",
    .about = "Overwrites the LUKS header with its keyslots by a backup: afterwards the keys\n"
             "of then open the volume, and no others.",
    .operands = "IMAGE FILE",
    .params = restore_params,
    .arguments_bytes = sizeof(struct header_arguments),
    .run = run_restore,
};

static const struct command header_discard = {
    .name = "header discard",
    .help = "set or clear the flag that lets TRIM through",
    .about = "Sets or clears the persistent flag allow-discards of a LUKS2 volume: whoever\n"
             "opens it, this program or cryptsetup, passes TRIM on to the storage, which then\n"
             "sees which blocks are in use.",
    .operands = "IMAGE on|off",
    .params = discard_params,
    .arguments_bytes = sizeof(struct header_arguments),
    .check = check_on_off,
    .run = run_discard,
};

static const struct command header_zero_holes = {
    .name = "header zero-holes",
    .help = "record that holes are zeros, or no longer",
    .about = "Lets a LUKS2 header say, or no longer say, that holes in the volume are zeros,\n"
             "as serve --zero-holes does. Without that option such a volume is not served.",
    .operands = "IMAGE on|off",
    .params = zero_holes_params,
    .arguments_bytes = sizeof(struct header_arguments),
    .check = check_on_off,
    .run = run_zero_holes,
};

const struct command command_erase = {
    .name = "erase",
    .help = "wipe all keys of an image",
    .cryptsetup = "luksErase",
    .about = "Wipes all keys: nobody can read the data again without a backup of the header,\n"
             "or the volume key. Storage that keeps old blocks (flash, snapshots) may still\n"
             "have the keys. It asks on the terminal first.",
    .operands = "IMAGE",
    .params = erase_params,
    .arguments_bytes = sizeof(struct header_arguments),
    .run = run_erase,
};

static const struct command *const header_commands[] = { &header_backup, &header_restore,
                                                         &header_discard, &header_zero_holes,
                                                         NULL };

const struct command command_header = {
    .name = "header",
    .help = "back up and restore the header of an image",
    .commands = header_commands,
};
