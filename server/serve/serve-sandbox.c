#include "server/serve/serve-sandbox.h"

#include <stdlib.h>
#include <string.h>

#include "server/base/spawner.h"
#include "server/serve/drop-in.h"
#include "server/serve/sandbox-images.h"

#define DNS_PORT 53u

int serve_sandbox_prepare(const struct serve_options *options, struct captive *captive,
                          struct error *err)
{
    enum sandbox_mode mode = sandbox_options_mode(&options->sandbox);
    int result = user_check(&options->user, err);

    if (result == 0 && options->run != NULL)
        result = captive_hold(captive, err);
    sandbox_prepare(mode);
    if (result == 0 && (mode != SANDBOX_OFF || options->user.given))
        result = spawner_start_now(mode != SANDBOX_OFF, err);
    if (result == 0)
        user_prepare(&options->user);
    return result;
}

/* ---- what stays within reach ---- */

static int add_key_files(struct sandbox_lists *lists, const struct key_source *key,
                         struct error *err)
{
    const char *const files[] = { key->file, key->command_input, key->volume_key_file,
                                  key->token_plugins };
    int result = 0;

    /* With its folder: it may be replaced by a new one. */
    for (size_t i = 0; i < sizeof files / sizeof files[0] && result == 0; i++) {
        result = sandbox_lists_add_path(lists, files[i], SANDBOX_READ, err);
        if (result == 0 && files[i] != NULL && strcmp(files[i], "-") != 0)
            result = sandbox_lists_add_folder_of(lists, files[i], SANDBOX_READ, err);
    }
    return result;
}

static int add_export(struct sandbox_lists *lists, const struct export_settings *settings,
                      enum sandbox_folders folders, struct error *err)
{
    int result = sandbox_images_add(lists, settings->image, folders, err);

    if (result == 0 && settings->header != NULL)
        result = sandbox_images_add(lists, settings->header, folders, err);
    return result == 0 ? add_key_files(lists, &settings->key, err) : result;
}

static int add_exports(struct sandbox_lists *lists, const struct serve_options *options,
                       struct error *err)
{
    enum sandbox_folders folders = options->sandbox.image_paths.count > 0 ? SANDBOX_FOLDERS_NONE
                                   : sandbox_options_mode(&options->sandbox) == SANDBOX_STRICT
                                       ? SANDBOX_FOLDERS_ALL
                                       : SANDBOX_FOLDERS_OF_USERS;
    int result = 0;

    for (size_t i = 0; i < options->export_count && result == 0; i++)
        result = add_export(lists, &options->exports[i], folders, err);
    return result;
}

/* Where ctl add --persist writes, if that is there. */
static int add_drop_ins(struct sandbox_lists *lists, const struct serve_options *options,
                        struct error *err)
{
    struct error ignored = { "" };
    char *file = NULL;

    if (options->config == NULL || drop_in_path(&file, options, "export", &ignored) < 0)
        return 0;
    int result = sandbox_lists_add_folder_of(lists, file, SANDBOX_FILES, err);
    free(file);
    return result;
}

/* For a reload, and what is read again. */
static int add_configuration(struct sandbox_lists *lists, const struct serve_options *options,
                             struct error *err)
{
    int result = sandbox_lists_add_path(lists, getenv("CREDENTIALS_DIRECTORY"), SANDBOX_READ, err);

    if (result == 0) /* of librados */
        result = sandbox_lists_add_folder_of(lists, getenv("CEPH_CONF"), SANDBOX_READ, err);
    if (result == 0)
        result = sandbox_lists_add_folder_of(lists, options->config, SANDBOX_READ, err);
    for (size_t i = 0; i < options->config_dirs.count && result == 0; i++)
        result = sandbox_lists_add_path(lists, options->config_dirs.items[i], SANDBOX_READ, err);
    if (result == 0)
        result = add_drop_ins(lists, options, err);
    if (result == 0)
        result = sandbox_lists_add_path(lists, options->tls.certificates, SANDBOX_READ, err);
    if (result == 0)
        result = sandbox_lists_add_path(lists, options->metrics.certificates, SANDBOX_READ, err);
    if (result == 0)
        result = sandbox_lists_add_folder_of(lists, options->tls.psk, SANDBOX_READ, err);
    return result;
}

/* What systemd sets aside, with a colon between one folder and the next: systemd.exec(5). */
static int add_state_folders(struct sandbox_lists *lists, struct error *err)
{
    const char *state = getenv("STATE_DIRECTORY");
    char *text = state == NULL ? NULL : strdup(state), *rest = text, *path;
    int result = 0;

    if (state != NULL && text == NULL)
        return error_no_memory(err, "for the sandbox");
    while (result == 0 && (path = strsep(&rest, ":")) != NULL)
        result = *path == '\0' ? 0 : sandbox_lists_add_path(lists, path, SANDBOX_FILES, err);
    free(text);
    return result;
}

/* Sockets are removed at the end. */
static int add_sockets(struct sandbox_lists *lists, const struct serve_options *options,
                       struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < options->address_count && result == 0; i++) {
        const struct listen_address *address = &options->addresses[i];

        if (address->address.any.sa_family == AF_UNIX)
            result = sandbox_lists_add_folder_of(lists, address->address.local.sun_path,
                                                 SANDBOX_NAMES, err);
        else
            result = sandbox_lists_add_bind(lists, ntohs(address->address.v4.sin_port), err);
    }
    return result;
}

static int gather(struct sandbox_lists *lists, const struct serve_options *options,
                  const char *private_directory, const char *control_path, struct error *err)
{
    int result = sandbox_lists_add_paths(lists, &options->sandbox.image_paths, err);

    if (result == 0)
        result = sandbox_lists_add_ports(lists, &options->sandbox.connect, err);
    if (result == 0)
        result = sandbox_lists_add_connect(lists, DNS_PORT, DNS_PORT, err);
    if (result == 0)
        result = add_exports(lists, options, err);
    if (result == 0)
        result = add_configuration(lists, options, err);
    if (result == 0)
        result = add_sockets(lists, options, err);
    if (result == 0)
        result = sandbox_lists_add_folder_of(lists, control_path, SANDBOX_NAMES, err);
    if (result == 0)
        result = sandbox_lists_add_path(lists, options->report.directory, SANDBOX_FILES, err);
    if (result == 0 && options->audit_file != NULL)
        result = sandbox_lists_add_folder_of(lists, options->audit_file, SANDBOX_FILES, err);
    if (result == 0)
        result = add_state_folders(lists, err);
    if (result == 0)
        result = sandbox_lists_add_folder_of(lists, options->metrics.unix_path, SANDBOX_NAMES, err);
    if (result == 0 && private_directory[0] != '\0')
        result = sandbox_lists_add_folder_of(lists, private_directory, SANDBOX_NAMES, err);
    return result;
}

/* ---- what is taken ---- */

static bool has_image(const struct serve_options *options, bool (*is)(const char *image))
{
    for (size_t i = 0; i < options->export_count; i++)
        if (is(options->exports[i].image) ||
            (options->exports[i].header != NULL && is(options->exports[i].header)))
            return true;
    return false;
}

static bool plugins_are_free(const struct sandbox_options *options)
{
    return options->plugins != NULL ? strcmp(options->plugins, "free") == 0
                                    : sandbox_options_mode(options) == SANDBOX_AUTO;
}

/* Nobody can bring another image, and all that there are can be named now: a file that comes later
 * may be on a file system that is not there yet. */
static bool images_are_known(const struct serve_options *options, bool controlled)
{
    if (options->config != NULL || controlled)
        return false;
    for (size_t i = 0; i < options->export_count; i++) {
        const struct export_settings *export = &options->exports[i];

        if (!sandbox_images_is_known(export->image) || export->key.token_plugins != NULL ||
            (export->header != NULL && !sandbox_images_is_known(export->header)))
            return false;
    }
    return true;
}

static enum sandbox_reach reach_of(const struct serve_options *options, bool free_plugins,
                                   bool controlled)
{
    if (free_plugins)
        return SANDBOX_REACH_ALL;
    if (sandbox_options_mode(&options->sandbox) == SANDBOX_STRICT ||
        options->sandbox.image_paths.count > 0)
        return SANDBOX_REACH_PATHS;
    return images_are_known(options, controlled) ? SANDBOX_REACH_WRITES : SANDBOX_REACH_SYSTEM;
}

/* To our own service manager. */
static bool reaches_out(void)
{
    const char *manager = getenv("NOTIFY_SOCKET");

    return manager != NULL && manager[0] == '@';
}

int serve_sandbox_enter(const struct serve_options *options, const char *private_directory,
                        const struct serve_control *control, struct error *err)
{
    const struct sandbox_options *asked = &options->sandbox;
    enum sandbox_mode mode = sandbox_options_mode(asked);
    bool free_plugins = plugins_are_free(asked) && has_image(options, sandbox_images_is_plugin);
    bool strict = mode == SANDBOX_STRICT;
    struct sandbox_lists lists = { 0 };
    int result = mode == SANDBOX_OFF
                     ? 0
                     : gather(&lists, options, private_directory, serve_control_path(control), err);

    if (result == 0) {
        const struct sandbox_settings settings = {
            .mode = mode,
            .programs = free_plugins,
            .reach = reach_of(options, free_plugins, control != NULL),
            .only_ports = asked->connect.count > 0 ||
                          (strict && !has_image(options, sandbox_images_connects_anywhere)),
            .only_bind = options->config == NULL, /* a reload may have others */
            .outsiders = reaches_out() || free_plugins,
            .paths = lists.paths,
            .path_count = lists.path_count,
            .connect_ports = lists.connect,
            .connect_count = lists.connect_count,
            .bind_ports = lists.bind,
            .bind_count = lists.bind_count,
        };

        result = sandbox_enter(&settings, err);
    }
    sandbox_lists_free(&lists);
    return result;
}
