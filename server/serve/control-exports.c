#include "server/serve/control-exports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/block/image.h"
#include "server/serve/added-export.h"
#include "server/serve/config-keys.h"
#include "server/serve/control-added.h"
#include "server/serve/control-clients.h"
#include "server/serve/control-keys.h"
#include "server/serve/control-limits.h"
#include "server/serve/drop-in.h"
#include "server/serve/export-opening.h"
#include "server/serve/export-options.h"
#include "server/serve/limit-options.h"
#include "server/serve/reload-config.h"

#define DRAIN_SECONDS_DEFAULT 60
#define DRAIN_SECONDS_MAX 86400

/* There is one server in a process. */
static struct exports *server_exports;
static struct reload_config *server_config;

void control_export_use(struct exports *exports, struct reload_config *config)
{
    server_exports = exports;
    server_config = config;
    control_limits_use(config);
    control_keys_use(exports);
}

/* One change for one caller. */
struct call {
    struct exports_change change;
    struct exports_addition addition;
    struct exports *exports;
    struct control_client *client;
    struct loop *loop;
    const char *removed; /* `name`; NULL: it is an addition, or a replacement */
    int key_fd;          /* -1: none */
    struct key_source key;
    char *file, *text; /* of the drop-in file that is written, or goes where there is no text */
    bool is_written, is_unwritten; /* it was, and is not any more */
    bool is_there;                 /* what is asked for was before, as it is asked for */
    char name[];
};

static bool is_from(const struct export *ex, const char *call)
{
    return ex->settings->added &&
           strcmp(container_of(ex->settings, struct added, settings)->call, call) == 0;
}

/* ---- the answers ---- */

static void refuse_busy(struct control_client *client, const char *name, unsigned clients)
{
    struct json_object *parameters = json_object_new_object();

    control_add_text(parameters, "name", name);
    control_add_number(parameters, "clients", clients);
    control_fail(client, CONTROL_EXPORT_BUSY, parameters);
}

static bool is_served(const char *name)
{
    bool served = exports_find(exports_lock(server_exports), name) != NULL;

    exports_unlock(server_exports);
    return served;
}

static void reply_unchanged(struct control_client *client)
{
    struct json_object *reply = json_object_new_object();

    control_add_flag(reply, "changed", false);
    control_add_number(reply, "revision", atomic_load(&client->control->revision));
    varlink_reply(&client->varlink, reply, false);
}

static void reply_changed(struct control_client *client, const struct call *call, bool is_changed)
{
    const struct exports_change *change = &call->change;
    struct json_object *reply = NULL;

    if (!is_changed) {
        reply_unchanged(client);
        return;
    }
    if (change->added_count > 0 || change->removed_count > 0)
        control_add_flag(reply = json_object_new_object(), "changed", true);
    control_changed(client, reply);
}

static void answer(struct control_client *client)
{
    struct call *call = client->data;
    const struct exports_change *change = &call->change;
    bool is_changed = !call->is_there && (!change->absent || call->is_unwritten);

    if (change->code == 0)
        reply_changed(client, call, is_changed);
    if (change->code == -EBUSY && change->clients > 0)
        refuse_busy(client, call->removed, change->clients);
    else if (change->code == -ENOENT && call->removed != NULL && !is_served(call->removed))
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", call->removed);
    else if (change->code != 0)
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", change->error.text);
}

static int check_group(const struct export_settings *settings, struct error *err)
{
    int result = limit_options_find(reload_config_lock(server_config), settings->limit_group, err);

    reload_config_unlock(server_config);
    if (result < 0)
        error_prefix(err, "limit-group: ");
    return result;
}

/* On the thread of the exports, as the next two: the opening may have taken long. */
static int check_again(struct exports_change *change)
{
    const struct call *call = container_of(change, struct call, change);

    return check_group(call->addition.settings, &change->error);
}

static int check_inherited(struct exports_change *change)
{
    struct call *call = container_of(change, struct call, change);
    const struct added *added = container_of(call->addition.settings, struct added, settings);
    const struct export *ex = exports_find(exports_lock(server_exports), call->name);
    bool still = ex == NULL || added_inherits_still(added, ex);

    exports_unlock(server_exports);
    if (still)
        return check_again(change);
    return error_set(&change->error, -EBUSY,
                     "the rules of export '%s' were changed while its new image was opened: call "
                     "it once more",
                     call->name);
}

/* As the last thing that can fail. */
static int record(struct exports_change *change)
{
    struct call *call = container_of(change, struct call, change);
    int result;

    if (call->text != NULL) {
        result = check_again(change);
        if (result < 0)
            return result;
        result = drop_in_write(call->file, call->text, &change->error);
        call->is_written = result == 0;
        return result == -EEXIST && drop_in_says(call->file, call->text) ? 0 : result;
    }
    call->is_unwritten = drop_in_is_there(call->file);
    if (change->absent && !call->is_unwritten)
        return 0;
    if (!call->is_unwritten)
        return error_set(&change->error, -ENOENT,
                         "'%s' is not there, or was not written by `nbdcrypt ctl add --persist`: "
                         "take the export out of the configuration files, and reload",
                         call->file);
    return drop_in_remove(call->file, &change->error);
}

static bool is_open(const char *name)
{
    const struct export *ex = exports_find(exports_lock(server_exports), name);
    bool open = ex != NULL && export_is_open(ex);

    exports_unlock(server_exports);
    return open;
}

/* The same call has written it down, before the server was started. */
static void look_whether_it_is_there(struct call *call)
{
    struct exports_change *change = &call->change;

    if (!drop_in_says(call->file, call->text))
        return;
    call->is_there = is_open(call->name);
    if (call->is_there)
        change->code = 0;
    else
        error_set(&change->error, -EEXIST,
                  "there is an export '%s' already, as it is asked for, but it can't be opened: "
                  "the log says why",
                  call->name);
}

/* On the thread of the exports. */
static void made(struct exports_change *change)
{
    struct call *call = container_of(change, struct call, change);

    if (change->code == -EEXIST && call->text != NULL)
        look_whether_it_is_there(call);
    if (call->key_fd >= 0)
        close(call->key_fd);
    if (call->is_written && change->code < 0 && drop_in_remove(call->file, NULL) < 0)
        log_error("export '%s' was not added, but is written in '%s': remove that file", call->name,
                  call->file);
    free(call->file);
    free(call->text);
    loop_post(call->loop, &call->client->job.offload.done);
}

static void submit(struct control_client *client, struct call *call)
{
    call->client = client;
    call->loop = client->control->host.loop;
    call->change.done = made;
    client->data = call;
    control_wait_for(client, answer);
    exports_submit(server_exports, &call->change);
}

/* A call that speaks of the export of that name; NULL: it was refused. */
static struct call *call_of_name(struct control_client *client)
{
    const char *name = control_text(client->varlink.call.parameters, "name");
    struct call *call = calloc(1, sizeof *call + strlen(name) + 1);

    if (call == NULL) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "not enough memory");
        return NULL;
    }
    memcpy(call->name, name, strlen(name) + 1);
    call->key_fd = -1;
    call->removed = call->name;
    return call;
}

/* ---- AddExport ---- */

static int inherit_access(struct added *added, struct json_object *options, struct error *err)
{
    const struct export *ex = exports_find(exports_lock(server_exports), added->settings.name);
    int result = ex != NULL ? added_inherit(added, ex) : 0;

    added->inherits_tls_only = ex != NULL && control_member(options, "tls-only") == NULL;
    if (added->inherits_tls_only)
        added->settings.tls_only = ex->tls_only;
    exports_unlock(server_exports);
    return result == 0 ? 0 : error_no_memory(err, "for an export");
}

/* What only whoever started the server could give it is not there any more; and an image that is
 * opened by what is not made for several threads is opened before there are several. */
static int check_opening(const struct export_settings *settings, struct error *err)
{
    if (image_opens_in_order(settings->image) ||
        (settings->header != NULL && image_opens_in_order(settings->header)))
        return error_set(err, -EINVAL,
                         "export '%s' can't be opened while the server runs: images of its kind "
                         "are opened at the start only; name it there and restart the server",
                         settings->name);
    if (settings->key.fd_is_lent || !export_opens_in_order(settings))
        return 0;
    return error_set(err, -EINVAL,
                     "export '%s' can't be opened while the server runs: its key is asked for on "
                     "the terminal, or comes from standard input or a descriptor of the start; "
                     "give --key-fd, key-file, key-command, key-credential or key-keyring",
                     settings->name);
}

/* Nobody would find it, and a configuration that has it is refused. */
static int check_tls_only(const struct export_settings *settings, struct error *err)
{
    bool none = reload_config_lock(server_config)->tls_mode == TLS_OFF;

    reload_config_unlock(server_config);
    if (!settings->tls_only || !none)
        return 0;
    return error_set(err, -EINVAL,
                     "export '%s' is tls-only, and the server has no TLS: leave that out, or start "
                     "the server with TLS",
                     settings->name);
}

static int finish(struct added *added, struct error *err)
{
    int key_fd = added->key_fd;
    struct export_settings *settings = &added->settings;

    if (added->image_fd >= 0 && settings->persisted)
        return error_set(err, -EINVAL,
                         "image_fd and persist can't both be used: a descriptor is "
                         "not there after the next start");
    if (added->image_fd >= 0)
        settings->options.fd = (unsigned)added->image_fd;

    if (key_fd >= 0 && key_source_given(&settings->key) != NULL)
        return error_set(err, -EINVAL, "key_fd and %s can't both be used: leave out one of the two",
                         key_source_given(&settings->key));
    if (key_fd >= 0) {
        settings->key.fd = (unsigned)key_fd;
        settings->key.fd_is_lent = true;
    }
    int result = export_options_finish(settings, added->common, err);
    if (result == 0)
        result = added_set_access(added, err);
    if (result == 0)
        result = check_tls_only(settings, err);
    if (result == 0)
        result = check_group(settings, err);
    return result == 0 ? check_opening(settings, err) : result;
}

/* It is there by this very call: then that is the answer. */
static bool is_from_call(struct control_client *client, const char *name, const char *text)
{
    const struct export *ex = exports_find(exports_lock(server_exports), name);
    bool same = ex != NULL && is_from(ex, text);

    exports_unlock(server_exports);
    if (same)
        reply_unchanged(client);
    return same;
}

/* The name of an export that is there, by this very call or not. */
static bool is_there(struct control_client *client, const char *name, const char *text)
{
    struct error err;

    if (is_from_call(client, name, text))
        return true;
    if (!is_served(name) || control_flag(client->varlink.call.parameters, "persist"))
        return false; /* what is persisted may be from before: made() */
    error_set(&err, -EEXIST, "there is an export '%s' already", name);
    control_error(client, CONTROL_NOT_POSSIBLE, "reason", err.text);
    return true;
}

/* The export of that name is open and locks what the other one is to have. */
static bool has_image(const char *name, const struct added *added)
{
    const struct export *ex = exports_find(exports_lock(server_exports), name);
    bool has = ex != NULL && export_is_open(ex) &&
               strcmp(ex->settings->image, added->settings.image) == 0 &&
               !ex->settings->options.read_only;

    exports_unlock(server_exports);
    return has;
}

/* Then `file` would be read on top of what the configuration says of it: rules of both would let
 * clients in.  What it has from that file itself is no matter: that is there, or has gone. */
static bool is_configured(const char *name, const char *file)
{
    const struct serve_options *options = reload_config_lock(server_config);
    bool is = false;

    for (size_t i = 0; i < options->export_count && !is; i++) {
        const char *from = options->export_places != NULL ? options->export_places[i].file : NULL;

        is = strcmp(options->exports[i].name, name) == 0 &&
             (from == NULL || strcmp(from, file) != 0);
    }
    reload_config_unlock(server_config);
    return is;
}

/* What it is to be after the next start. */
static int prepare_record(struct call *call, const struct added *added,
                          struct json_object *parameters, struct error *err)
{
    const char *name = added->settings.name;

    if (added->settings.key.fd_is_lent)
        return error_set(err, -EINVAL,
                         "a key that comes by a descriptor is not there after the next start: to "
                         "persist, give key-file, key-command, key-credential or key-keyring");
    int result = drop_in_path(&call->file, server_config->first, name, err);
    if (result == 0 && is_configured(name, call->file) && !is_served(name))
        result = error_set(err, -EEXIST,
                           "the configuration has an export '%s' already, which this would be "
                           "added to at the next start: take it out of the files, reload, and call "
                           "it once more",
                           name);
    if (result == 0)
        result = drop_in_text(&call->text, name, added->settings.image,
                              control_member(parameters, "options"),
                              control_member(parameters, "allow"), err);
    if (result < 0) {
        free(call->file);
        return result;
    }
    call->change.record = record;
    return 0;
}

/* On the thread of the exports, as `made`: it has what it needs of them. */
static void opened(struct exports_change *change)
{
    struct call *call = container_of(change, struct call, change);

    added_close_files(container_of(call->addition.settings, struct added, settings));
}

/* `replaced`: the one of that name goes, and its clients with it. */
static void submit_added(struct control_client *client, struct added *added, bool replaced)
{
    const char *name = added->settings.name;
    struct call *call = calloc(1, sizeof *call + strlen(name) + 1);
    struct error err = { "" };
    struct json_object *parameters = client->varlink.call.parameters;
    int result = call == NULL ? error_no_memory(&err, "for an export") : 0;

    if (result == 0 && replaced)
        result = inherit_access(added, control_member(parameters, "options"), &err);
    if (result == 0)
        result = finish(added, &err);

    if (result == 0 && added->settings.persisted)
        result = prepare_record(call, added, parameters, &err);
    if (result < 0) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", err.text);
        added_free(&added->settings);
        free(call);
        return;
    }
    memcpy(call->name, name, strlen(name) + 1);
    call->key_fd = -1;
    if (call->change.record == NULL)
        call->change.record = check_again;
    call->change.published = opened;
    call->addition = (struct exports_addition){ &added->settings, added_free };
    call->change.added = &call->addition;
    call->change.added_count = 1;
    if (replaced) {
        call->change.removed = &added->settings.name;
        call->change.removed_count = 1;
        call->change.farewell = EXPORTS_NOW;
        call->change.record = check_inherited;
    }
    submit(client, call);
}

/* What is told before anything is read of the options: it is there, or is not there to be replaced,
 * or is in use.  False: it was answered. */
static bool may_come(struct control_client *client, const struct added *added, bool replaced)
{
    const char *name = added->settings.name;
    struct error err;

    if (!replaced)
        return !is_there(client, name, added->call);
    if (!is_served(name)) {
        control_error(client, CONTROL_NO_SUCH_EXPORT, "name", name);
        return false;
    }
    if (is_from_call(client, name, added->call))
        return false;
    if (!has_image(name, added))
        return true;
    error_set(&err, -EBUSY,
              "export '%s' can't be opened anew while it has the same image in use itself: remove "
              "it, and then add it",
              name);
    control_error(client, CONTROL_NOT_POSSIBLE, "reason", err.text);
    return false;
}

static void add_or_replace(struct control_client *client, bool replaced)
{
    struct json_object *parameters = client->varlink.call.parameters;
    struct added *added = added_create(parameters, &reload_config_lock(server_config)->common);

    reload_config_unlock(server_config);
    if (added == NULL) {
        control_error(client, CONTROL_NOT_POSSIBLE, "reason", "not enough memory for an export");
        return;
    }
    /* Errors repeat the image. */
    const char *secret = config_value_has_password(added->settings.image);
    if (secret != NULL)
        control_refuse_option(client, "image", secret);
    if (secret != NULL || !may_come(client, added, replaced) ||
        !control_set_options(client, added, control_member(parameters, "options"),
                             control_member(parameters, "allow"))) {
        added_free(&added->settings);
        return;
    }
    added->key_fd = control_take_fd(client, "key_fd");
    added->image_fd = control_take_fd(client, "image_fd");
    added->image_was_lent = added->image_fd >= 0;
    if (added->key_fd == -2 || added->image_fd == -2) {
        control_refuse(client, added->key_fd == -2 ? "key_fd" : "image_fd");
        added_free(&added->settings);
        return;
    }
    submit_added(client, added, replaced);
}

static void add_export(struct control_client *client)
{
    add_or_replace(client, false);
}

static void replace_export(struct control_client *client)
{
    add_or_replace(client, true);
}

/* ---- RemoveExport ---- */

static bool take_mode(struct control_client *client, struct exports_change *change)
{
    static const struct {
        const char *name;
        enum exports_farewell farewell;
    } modes[] = { { "safe", EXPORTS_SAFE }, { "drain", EXPORTS_DRAIN }, { "now", EXPORTS_NOW } };
    struct json_object *parameters = client->varlink.call.parameters;
    const char *name = control_text(parameters, "mode");
    int64_t seconds = control_number(parameters, "seconds", DRAIN_SECONDS_DEFAULT);

    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(name != NULL ? name : "safe", modes[i].name) != 0)
            continue;
        change->farewell = modes[i].farewell;
        change->drain_seconds = (unsigned)seconds;
        if (seconds >= 0 && seconds <= DRAIN_SECONDS_MAX)
            return true;
        control_refuse(client, "seconds");
        return false;
    }
    control_refuse(client, "mode");
    return false;
}

static void remove_export(struct control_client *client)
{
    struct call *call = call_of_name(client);

    if (call == NULL)
        return;
    if (!take_mode(client, &call->change)) {
        free(call);
        return;
    }
    if (control_flag(client->varlink.call.parameters, "persist")) {
        struct error err = { "" };

        if (drop_in_path(&call->file, server_config->first, call->name, &err) < 0) {
            control_error(client, CONTROL_NOT_POSSIBLE, "reason", err.text);
            free(call);
            return;
        }
        call->change.record = record;
    }
    call->change.if_present = control_flag(client->varlink.call.parameters, "if_present");
    call->change.removed = &call->removed;
    call->change.removed_count = 1;
    submit(client, call);
}

/* ---- Suspend, Resume ---- */

static void suspend_export(struct control_client *client)
{
    struct call *call = call_of_name(client);

    if (call == NULL)
        return;
    call->change.suspended = call->name;
    submit(client, call);
}

static void resume_export(struct control_client *client)
{
    struct call *call = call_of_name(client);

    if (call == NULL)
        return;
    call->key_fd = control_take_fd(client, "key_fd");
    if (call->key_fd == -2) {
        control_refuse(client, "key_fd");
        free(call);
        return;
    }
    call->change.resumed = call->name;
    if (call->key_fd >= 0) {
        call->key = (struct key_source){ .fd = (unsigned)call->key_fd, .fd_is_lent = true };
        call->change.key = &call->key;
    }
    submit(client, call);
}

/* ---- the table ---- */

const struct control_method control_export_methods[] = {
    { .name = "org.nbdcrypt.AddExport",
      .role = CONTROL_ADMIN,
      .changes = true,
      .gives = true,
      .params = { { "name", json_type_string, true },
                  { "image", json_type_string, true },
                  { "options", json_type_object, false },
                  { "allow", json_type_array, false },
                  { "key_fd", json_type_int, false },
                  { "image_fd", json_type_int, false },
                  { "persist", json_type_boolean, false } },
      .run = add_export },
    { .name = "org.nbdcrypt.ReplaceExport",
      .role = CONTROL_ADMIN,
      .changes = true,
      .gives = true,
      .params = { { "name", json_type_string, true },
                  { "image", json_type_string, true },
                  { "options", json_type_object, false },
                  { "allow", json_type_array, false },
                  { "key_fd", json_type_int, false },
                  { "image_fd", json_type_int, false } },
      .run = replace_export },
    { .name = "org.nbdcrypt.Disconnect",
      .role = CONTROL_OPERATE,
      .changes = true,
      .params = { { "id", json_type_int, false },
                  { "export", json_type_string, false },
                  { "rule", json_type_string, false } },
      .run = control_clients_disconnect },
    { .name = "org.nbdcrypt.RemoveExport",
      .role = CONTROL_ADMIN,
      .changes = true,
      .params = { { "name", json_type_string, true },
                  { "mode", json_type_string, false },
                  { "seconds", json_type_int, false },
                  { "persist", json_type_boolean, false },
                  { "if_present", json_type_boolean, false } },
      .run = remove_export },
    { .name = "org.nbdcrypt.SetLimits",
      .role = CONTROL_OPERATE,
      .changes = true,
      .params = { { "name", json_type_string, true }, { "limits", json_type_object, true } },
      .run = control_limits_set },
    { .name = "org.nbdcrypt.SetGroupLimits",
      .role = CONTROL_OPERATE,
      .changes = true,
      .params = { { "name", json_type_string, true }, { "limits", json_type_object, true } },
      .run = control_limits_set_group },
    { .name = "org.nbdcrypt.Suspend",
      .role = CONTROL_OPERATE,
      .changes = true,
      .params = { { "name", json_type_string, true } },
      .run = suspend_export },
    { .name = "org.nbdcrypt.Resume",
      .role = CONTROL_ADMIN,
      .changes = true,
      .gives = true,
      .params = { { "name", json_type_string, true }, { "key_fd", json_type_int, false } },
      .run = resume_export },
    { .name = "org.nbdcrypt.AddKey",
      .role = CONTROL_ADMIN,
      .changes = true,
      .gives = true,
      .params = { { "name", json_type_string, true },
                  { "key_fd", json_type_int, true },
                  { "new_key_fd", json_type_int, true },
                  { "options", json_type_object, false } },
      .run = control_keys_add },
    { .name = "org.nbdcrypt.ChangeKey",
      .role = CONTROL_ADMIN,
      .changes = true,
      .gives = true,
      .params = { { "name", json_type_string, true },
                  { "key_fd", json_type_int, true },
                  { "new_key_fd", json_type_int, true },
                  { "options", json_type_object, false } },
      .run = control_keys_change },
    { .name = "org.nbdcrypt.RemoveKey",
      .role = CONTROL_ADMIN,
      .changes = true,
      .params = { { "name", json_type_string, true },
                  { "key_fd", json_type_int, false },
                  { "options", json_type_object, false } },
      .run = control_keys_remove },
    { 0 },
};
