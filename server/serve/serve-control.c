#include "server/serve/serve-control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/control/control-path.h"
#include "server/metrics/metrics.h"
#include "server/serve/control-clients.h"
#include "server/serve/control-exports.h"
#include "server/serve/exports.h"
#include "server/serve/listen.h"
#include "server/serve/listeners.h"
#include "server/serve/reload.h"
#include "server/serve/serve-metrics.h"

struct serve_control {
    struct control_rules rules;
    struct control *control; /* NULL: it has not been started */
    struct listener *listener;
    struct serve_control_host host;
};

/* ---- where ---- */

static bool folder_is_there(unsigned index)
{
    char folder[CONTROL_PATH_BYTES];
    struct stat status;

    if (!control_folder(folder, index))
        return false;
    if (index == CONTROL_FOLDER_OF_USER) /* it is in one that is the user's alone */
        (void)mkdir(folder, 0700);
    return stat(folder, &status) == 0 && S_ISDIR(status.st_mode) && access(folder, W_OK) == 0;
}

static bool find_path(char out[CONTROL_PATH_BYTES])
{
    for (unsigned i = 0; i < CONTROL_FOLDERS; i++)
        if (folder_is_there(i))
            return control_path(out, i);
    return false;
}

static bool is_served(const struct listen_address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool served = fd >= 0 && (connect(fd, &address->address.any, address->address_bytes) == 0 ||
                              errno == EAGAIN);

    if (fd >= 0)
        close(fd);
    return served;
}

static int listen_at(struct listener **out, const char *path, const struct control_options *options,
                     struct error *err)
{
    struct listen_address address;
    int result = listen_address_parse_unix(&address, path, err);

    if (result == 0)
        result = control_options_permissions(&address.permissions, options, err);
    if (result == 0)
        result = listen_open(out, &address, false, err);
    if (result < 0)
        error_prefix(err, "--control: ");
    return result;
}

/* Where nobody asked for it, it is no reason not to serve. */
static void listen_at_default(struct listener **out, const struct control_options *options)
{
    char path[CONTROL_PATH_BYTES];
    struct listen_address address;
    struct error err;

    if (!find_path(path)) {
        log_info("there is no control socket, because neither RUNTIME_DIRECTORY nor "
                 "XDG_RUNTIME_DIR names a folder for it, and /run/nbdcrypt is not there or can't "
                 "be written (--control PATH)");
        return;
    }
    int result = listen_address_parse_unix(&address, path, &err);
    if (result == 0 && is_served(&address)) {
        log_notice("the control socket '%s' is another server's, so that this one has none "
                   "(--control PATH)",
                   path);
        return;
    }
    if (result == 0)
        result = listen_at(out, path, options, &err);
    if (result < 0)
        log_notice("there is no control socket: %s", err.text);
}

int serve_control_open(struct serve_control **out, const struct control_options *options,
                       bool by_itself, struct listener **activated, struct error *err)
{
    bool none = options->socket != NULL && strcmp(options->socket, "none") == 0;
    struct serve_control *control = calloc(1, sizeof *control);
    int result;

    *out = NULL;
    if (control == NULL)
        return error_no_memory(err, "for the control socket");
    result = control_options_rules(&control->rules, options, err);
    if (result == 0 && *activated != NULL && !none) {
        control->listener = *activated;
        *activated = NULL;
    } else if (result == 0 && options->socket == NULL && !by_itself) {
        listen_at_default(&control->listener, options);
    } else if (result == 0 && options->socket != NULL && !none) {
        result = listen_at(&control->listener, options->socket, options, err);
    }
    if (result < 0 || control->listener == NULL)
        serve_control_free(control);
    else
        *out = control;
    return result;
}

const char *serve_control_path(const struct serve_control *control)
{
    return control != NULL ? listen_unix_path(control->listener) : NULL;
}

/* ---- while it serves ---- */

static void accepted(void *context, int fd, const struct peer *peer)
{
    struct serve_control *control = context;

    control_accept(control->control, fd, peer);
}

static const struct export_set *lock(void *context)
{
    struct serve_control *control = context;

    return exports_lock(control->host.exports);
}

static void unlock(void *context)
{
    struct serve_control *control = context;

    exports_unlock(control->host.exports);
}

/* A look at the images for one caller. */
struct look {
    struct exports_change change;
    struct loop *loop;
    struct loop_message *done;
};

/* On the thread of the exports. */
static void looked(struct exports_change *change)
{
    struct look *look = container_of(change, struct look, change);

    loop_post(look->loop, look->done);
    free(look);
}

/* Without memory nothing is looked at, and nothing has grown. */
static void rescan(void *context, struct loop_message *done)
{
    struct serve_control *control = context;
    struct look *look = malloc(sizeof *look);

    if (look == NULL) {
        loop_post(control->host.loop, done);
        return;
    }
    *look = (struct look){ .change = { .rescan = true, .done = looked },
                           .loop = control->host.loop,
                           .done = done };
    exports_submit(control->host.exports, &look->change);
}

static char *address_at(void *context, size_t index)
{
    struct serve_control *control = context;
    const struct serve_control_host *host = &control->host;

    if (index >= host->listeners->count)
        return NULL;
    const struct listener *listener = host->listeners->items[index].listener;
    bool tls = tls_is_demanded(host->tls->mode, listen_is_unix(listener));
    const struct export_set *set = exports_lock(host->exports);
    char *uri = listen_uri(listener, export_set_name_to_attach(set, tls), tls);
    exports_unlock(host->exports);
    return uri;
}

static int reload(void *context, const struct control_reload *asked, struct error *err)
{
    struct serve_control *control = context;
    const struct reload_wish wish = { .dry_run = asked->dry_run,
                                      .replace = asked->replace,
                                      .replace_count = asked->replace_count,
                                      .change = asked->change,
                                      .context = asked->context,
                                      .refused = asked->refused };

    return reload_files(control->host.reload, &wish, err);
}

static void connect_client(void *context, int fd, const struct peer *peer)
{
    struct serve_control *control = context;

    listen_widen(fd);
    control->host.connect(control->host.context, fd, peer);
}

static char *metrics(void *context, bool openmetrics, size_t *length_bytes)
{
    struct serve_control *control = context;

    return metrics_text(serve_metrics_source(control->host.metrics), openmetrics, length_bytes);
}

static void drain(void *context)
{
    struct serve_control *control = context;

    control->host.drain(control->host.context);
}

static void stopped(void *context)
{
    struct serve_control *control = context;

    control->host.ended(control->host.context);
}

int serve_control_start(struct serve_control *control, const struct serve_control_host *host,
                        struct error *err)
{
    struct control_host shown = {
        .methods = control_export_methods,
        .loop = host->loop,
        .admin = host->admin,
        .looks = serve_metrics_looks(host->metrics),
        .metrics = metrics,
        .rules = &control->rules,
        .lock = lock,
        .unlock = unlock,
        .rescan = rescan,
        .places = host->places,
        .board = host->board,
        .threads = host->threads,
        .tls = tls_mode_name(host->tls->mode),
        .log_level = host->log_level,
        .context = control,
        .address = address_at,
        .reload = reload,
        .connect = connect_client,
        .drain = drain,
        .stopped = stopped,
    };

    control->host = *host;
    control_export_use(host->exports, &host->reload->config);
    control_clients_use(host->workers, host->threads);
    int result = control_create(&control->control, &shown, err);
    if (result < 0)
        return result;
    listen_start(control->listener, host->loop, accepted, control);
    log_info("control socket: %s", listen_unix_path(control->listener));
    return 0;
}

void serve_control_use(struct serve_control *control, struct control_rules *rules,
                       enum log_level level)
{
    if (control == NULL || control->control == NULL) {
        control_rules_free(rules);
        log_set_level(level);
        return;
    }
    control_rules_free(&control->rules);
    control->rules = *rules;
    control_use_rules(control->control);
    control_use_tls(control->control, tls_mode_name(control->host.tls->mode));
    if (level != control->host.log_level)
        control_use_log_level(control->control, level);
    control->host.log_level = level;
}

void serve_control_tell_ending(struct serve_control *control)
{
    if (control != NULL && control->control != NULL)
        control_tell_ending(control->control);
}

void serve_control_stop(struct serve_control *control)
{
    listen_stop(control->listener);
    if (control->control != NULL)
        control_stop(control->control);
    else
        stopped(control);
}

void serve_control_remove_name(const struct serve_control *control)
{
    if (control != NULL)
        listen_remove_name(control->listener);
}

void serve_control_free(struct serve_control *control)
{
    if (control == NULL)
        return;
    control_free(control->control);
    listen_free(control->listener);
    control_rules_free(&control->rules);
    free(control);
}
