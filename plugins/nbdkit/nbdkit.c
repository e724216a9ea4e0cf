/* A plugin's life follows nbdkit-plugin(3): load, config..., config_complete, thread_model,
 * get_ready, after_fork, preconnect, default_export, open, what it can do; requests; close,
 * cleanup, unload.
 *
 * An export has one handle, whatever the thread model and the number of clients: so a FLUSH covers
 * everybody's writes.  Its calls run on a pool of its own, of one thread unless the plugin is
 * PARALLEL. */
#include "plugins/nbdkit/nbdkit.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "plugins/nbdkit/nbdkit-claims.h"
#include "plugins/nbdkit/nbdkit-files.h"
#include "plugins/nbdkit/nbdkit-guard.h"
#include "plugins/nbdkit/nbdkit-host.h"
#include "plugins/nbdkit/nbdkit-interpreter.h"
#include "plugins/nbdkit/nbdkit-version-1.h"
#include "server/base/descendants.h"
#include "server/block/group-sync.h"
#include "server/base/signals.h"
#include "server/report/report-tree.h"

#define PARALLEL_THREADS 16u
/* Of zeros, or of what is read to be cached; no least block is larger. */
#define PART_BYTES 65536u
#define CACHE_BYTES_MAX (32u << 20) /* by reading */
/* The first one is what configure found or was told. */
#define PLUGIN_FOLDERS                                                                         \
    NBDKIT_PLUGINDIR, "/usr/lib/x86_64-linux-gnu/nbdkit/plugins", "/usr/lib64/nbdkit/plugins", \
        "/usr/lib/aarch64-linux-gnu/nbdkit/plugins", "/usr/local/lib/nbdkit/plugins"

/* What we know of a plugin's structure: a newer one has more, an older one less. */
#define PLUGIN_BYTES offsetof(struct nbdkit_plugin, can_fua_1)

struct nbdkit_stage {
    struct stage stage;
    struct group_sync sync;      /* of a plugin that flushes */
    struct nbdkit_plugin plugin; /* our copy: what an older plugin lacks is NULL */
    struct nbdkit_caller caller;
    void *library;
    int copy_fd;      /* of a second use of the same file; -1: none */
    char *name;       /* as the operator wrote it */
    char *parameters; /* the plugin may keep pointers into them until it is unloaded */
    struct nbdkit_files files;
    bool loaded;
    void *handle;
    char said[NBDKIT_HELD_BYTES]; /* what caller.held points to */
    struct nbdkit_claims claims;
    struct offload *offload;
};

static unsigned open_count; /* of stages; what plugins have started does not tell whose it is */

/* ---- the file ---- */

static int find_plugin(char *path, size_t room, const char *name, struct error *err)
{
    const char *const folders[] = { getenv("NBDCRYPT_NBDKIT_PLUGINDIR"), PLUGIN_FOLDERS };

    if (name[0] == '\0')
        return error_set(err, -EINVAL, "the name or the path of an nbdkit plugin is missing");
    if (strchr(name, '/') != NULL) {
        snprintf(path, room, "%s", name);
        if (access(path, R_OK) == 0)
            return 0;
        return error_set(err, -errno, "the plugin can't be read: %s", strerror(errno));
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (folders[i] == NULL || folders[i][0] == '\0')
            continue;
        snprintf(path, room, "%s/nbdkit-%s-plugin.so", folders[i], name);
        if (access(path, R_OK) == 0)
            return 0;
    }
    return error_set(err, -ENOENT,
                     "there is no nbdkit plugin '%s'; Debian has them in the packages nbdkit and "
                     "nbdkit-plugin-..., NBDCRYPT_NBDKIT_PLUGINDIR may name another folder, and "
                     "'nbdkit:/PATH/TO/PLUGIN.so' any plugin",
                     name);
}

/* A plugin keeps its parameters in global variables.  A second export of the same file gets a copy
 * of it, and so variables of its own; the descriptor stays open, because the loader knows libraries
 * by name. */
static int copy_plugin(struct nbdkit_stage *nbdkit, char *path, size_t room)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t copied = 1;

    nbdkit->copy_fd = memfd_create("nbdkit-plugin", MFD_CLOEXEC);
    while (from >= 0 && nbdkit->copy_fd >= 0 && copied > 0)
        copied = sendfile(nbdkit->copy_fd, from, NULL, 1 << 20);
    if (from >= 0)
        close(from);
    snprintf(path, room, "/proc/self/fd/%d", nbdkit->copy_fd);
    return from >= 0 && nbdkit->copy_fd >= 0 && copied == 0 ? 0 : -1;
}

static int load_plugin(struct nbdkit_stage *nbdkit, const char *name, struct error *err)
{
    char path[4096];
    int result = find_plugin(path, sizeof path, name, err);

    if (result < 0)
        return result;
    void *loaded_before = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (loaded_before != NULL) {
        dlclose(loaded_before);
        if (copy_plugin(nbdkit, path, sizeof path) < 0)
            return error_set(err, -EIO,
                             "the plugin is in use by another export and could not be copied");
    }
    nbdkit_guard_start();
    nbdkit_host_enter(&nbdkit->caller, "its loading");
    nbdkit->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (nbdkit->library == NULL)
        return error_set(err, -ELIBBAD, "the plugin can't be loaded: %s", dlerror());
    result = nbdkit_interpreter_take(nbdkit->library, nbdkit->name, err);
    if (result < 0)
        return result;
    struct nbdkit_plugin *(*init)(void);
    *(void **)&init = dlsym(nbdkit->library, "plugin_init");
    if (init == NULL)
        return error_set(err, -ELIBBAD, "it is no nbdkit plugin: it has no function plugin_init");
    const struct nbdkit_plugin *plugin = init();
    if (plugin == NULL || (plugin->api_version != 1 && plugin->api_version != 2))
        return error_set(err, -ELIBBAD,
                         "the plugin has version %d of nbdkit's interface; "
                         "versions 1 and 2 are hosted",
                         plugin != NULL ? plugin->api_version : 0);
    memcpy(&nbdkit->plugin, plugin,
           plugin->struct_bytes < PLUGIN_BYTES ? plugin->struct_bytes : PLUGIN_BYTES);
    if (plugin->api_version == 1)
        nbdkit_version_1_adapt(&nbdkit->plugin);
    if (nbdkit->plugin.name == NULL || nbdkit->plugin.open == NULL ||
        nbdkit->plugin.get_size == NULL || nbdkit->plugin.pread == NULL)
        return error_set(err, -ELIBBAD,
                         "the plugin lacks a name or one of open, get_size and pread");
    nbdkit->caller.plugin = &nbdkit->plugin;
    return 0;
}

/* ---- its parameters ---- */

/* %XX, in place; false: bad digits, or a NUL. */
static bool decode(char *text)
{
    char *out = text;

    for (; *text != '\0'; text++) {
        if (*text == '%') {
            if (!isxdigit((unsigned char)text[1]) || !isxdigit((unsigned char)text[2]))
                return false;
            *out = (char)strtoul((char[]){ text[1], text[2], '\0' }, NULL, 16);
            if (*out == '\0')
                return false;
            text += 2;
        } else {
            *out = *text;
        }
        out++;
    }
    *out = '\0';
    return true;
}

static bool is_key(const char *text, size_t length)
{
    if (length == 0 || !isalpha((unsigned char)text[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("._-", text[i]) == NULL)
            return false;
    return true;
}

/* A value without a key goes to the magic key, or, the first one where there is none, to
 * "script". */
static int give_parameter(struct nbdkit_stage *nbdkit, char *text, bool first, struct error *err)
{
    char *equals = strchr(text, '=');
    const char *key = nbdkit->plugin.magic_config_key, *value = text;

    if (equals != NULL && is_key(text, (size_t)(equals - text))) {
        *equals = '\0';
        key = text;
        value = equals + 1;
    } else if (key == NULL && first) {
        key = "script";
    }
    if (!decode(equals != NULL && value == equals + 1 ? equals + 1 : text))
        return error_set(err, -EINVAL,
                         "a parameter has a '%%' without two digits behind it; write %%25");
    if (key == NULL)
        return error_set(err, -EINVAL, "the plugin takes no value without 'key=' in front");
    if (nbdkit->plugin.config == NULL)
        return error_set(err, -EINVAL, "the plugin takes no parameters");
    int result = nbdkit_files_lock(&nbdkit->files, nbdkit->plugin.name, key, value, err);
    if (result < 0)
        return result;
    nbdkit_host_enter(&nbdkit->caller, "config");
    return nbdkit->plugin.config(key, value) < 0 ? nbdkit_host_failed(&nbdkit->caller, err) : 0;
}

static int give_parameters(struct nbdkit_stage *nbdkit, const char *pairs, struct error *err)
{
    char *text = strdup(pairs != NULL ? pairs : ""), *rest = NULL;
    bool first = true;

    nbdkit->parameters = text;
    int result = text == NULL ? error_no_memory(err, NULL) : 0;

    for (char *pair = result == 0 ? strtok_r(text, "&", &rest) : NULL; pair != NULL && result == 0;
         pair = strtok_r(NULL, "&", &rest)) {
        result = give_parameter(nbdkit, pair, first, err);
        first = false;
    }
    return result;
}

/* ---- its life until it is open ---- */

/* A step that the plugin may leave out. */
#define STEP(name, ...)                                            \
    do {                                                           \
        nbdkit_host_enter(&nbdkit->caller, #name);                 \
        if (plugin->name != NULL && plugin->name(__VA_ARGS__) < 0) \
            return nbdkit_host_failed(&nbdkit->caller, err);       \
    } while (0)

static int start_plugin(struct nbdkit_stage *nbdkit, const struct stage_settings *settings,
                        struct error *err)
{
    struct nbdkit_plugin *plugin = &nbdkit->plugin;

    nbdkit_host_enter(&nbdkit->caller, "load");
    nbdkit->loaded = true;
    if (plugin->load != NULL)
        plugin->load();
    int result = give_parameters(nbdkit, settings->params->text, err);
    if (result < 0)
        return result;
    STEP(config_complete);
    if (plugin->thread_model_now != NULL) {
        nbdkit_host_enter(&nbdkit->caller, "thread_model");
        int model = plugin->thread_model_now();
        if (model < 0)
            return nbdkit_host_failed(&nbdkit->caller, err);
        if (model < plugin->thread_model)
            plugin->thread_model = model;
    }
    STEP(get_ready);
    STEP(after_fork);
    STEP(preconnect, settings->options.read_only);
    if (plugin->default_export != NULL) {
        nbdkit_host_enter(&nbdkit->caller, "default_export");
        nbdkit->caller.export_name = plugin->default_export(settings->options.read_only, 0);
        if (nbdkit->caller.export_name == NULL)
            return nbdkit_host_failed(&nbdkit->caller, err);
    }
    nbdkit_host_enter(&nbdkit->caller, "open");
    nbdkit->handle = plugin->open(settings->options.read_only);
    return nbdkit->handle == NULL ? nbdkit_host_failed(&nbdkit->caller, err) : 0;
}

/* ---- what it can do ---- */

/* All clients share the one handle: a FLUSH covers everybody's writes. */
static struct limits limits_of(const struct nbdkit_claims *claims)
{
    return (struct limits){
        .size_bytes = claims->size_bytes,
        .block_min_bytes = claims->block_min_bytes,
        .block_preferred_bytes = claims->block_preferred_bytes,
        .phase_bytes = 1,
        .ops = OP_BIT(REQUEST_READ) |
               (claims->write ? OP_BIT(REQUEST_WRITE) | OP_BIT(REQUEST_ZERO) : 0) |
               (claims->flush ? OP_BIT(REQUEST_FLUSH) : 0) |
               (claims->trim ? OP_BIT(REQUEST_TRIM) : 0) |
               (claims->extents ? OP_BIT(REQUEST_EXTENTS) : 0) |
               (claims->cache != NBDKIT_NONE ? OP_BIT(REQUEST_CACHE) : 0),
        .fua = claims->fua != NBDKIT_NONE,
        .read_only = !claims->write,
        .rotational = claims->rotational,
        .multi_conn = true,
    };
}

static int measure(struct nbdkit_stage *nbdkit, bool read_only, struct error *err)
{
    int result =
        nbdkit_claims_ask(&nbdkit->claims, &nbdkit->caller, nbdkit->handle, read_only, err);

    nbdkit->stage.limits = limits_of(&nbdkit->claims);
    return result;
}

static void nbdkit_close(struct stage *stage)
{
    struct nbdkit_stage *nbdkit = container_of(stage, struct nbdkit_stage, stage);
    const struct nbdkit_plugin *plugin = &nbdkit->plugin;
    sigset_t signals;

    offload_destroy(nbdkit->offload);
    signals_let_through(&signals);
    nbdkit_host_enter(&nbdkit->caller, "its end");
    if (nbdkit->handle != NULL && plugin->close != NULL)
        plugin->close(nbdkit->handle);
    if (nbdkit->handle != NULL && plugin->cleanup != NULL)
        plugin->cleanup();
    if (nbdkit->loaded && plugin->unload != NULL)
        plugin->unload();
    nbdkit_host_leave();
    if (nbdkit->library != NULL)
        dlclose(nbdkit->library);
    nbdkit_interpreter_release(nbdkit->name);
    signals_hold(&signals);
    if (--open_count == 0)
        descendants_end();
    if (nbdkit->copy_fd >= 0)
        close(nbdkit->copy_fd);
    nbdkit_files_release(&nbdkit->files);
    group_sync_destroy(&nbdkit->sync);
    free(nbdkit->parameters);
    free(nbdkit->name);
    free(nbdkit);
}

static void sync_start(struct request *leader, uint64_t start_bytes, uint64_t end_bytes);

static int add_sync(struct nbdkit_stage *nbdkit, bool serves, struct error *err)
{
    if (!nbdkit->claims.flush && nbdkit->claims.fua != NBDKIT_EMULATE)
        return 0;
    nbdkit->stage.sync = &nbdkit->sync;
    return group_sync_init(&nbdkit->sync, serves ? nbdkit->name : NULL, sync_start, err);
}

static int nbdkit_open(struct stage **out, const struct stage_settings *settings, struct error *err)
{
    struct nbdkit_stage *nbdkit = calloc(1, sizeof *nbdkit);
    sigset_t signals;

    if (nbdkit == NULL)
        return error_no_memory(err, NULL);
    open_count++;
    nbdkit->stage.ops = &nbdkit_ops;
    nbdkit->copy_fd = -1;
    nbdkit->caller.held = nbdkit->said;
    nbdkit->files.settings = settings;
    nbdkit->caller.name = nbdkit->name = strdup(settings->path);
    int result = nbdkit->name == NULL ? error_no_memory(err, NULL) : 0;
    if (result == 0)
        result = descendants_watch(err);
    signals_let_through(&signals);
    if (result == 0)
        result = load_plugin(nbdkit, settings->path, err);
    if (result == 0)
        result = start_plugin(nbdkit, settings, err);
    if (result == 0)
        result = measure(nbdkit, settings->options.read_only, err);
    if (result == 0)
        result = add_sync(nbdkit, settings->options.offload != NULL, err);
    /* Its threads call the plugin, and nobody else: signals pass them, too. */
    if (result == 0)
        result = offload_create(
            &nbdkit->offload, nbdkit->plugin.thread_model == NBDKIT_PARALLEL ? PARALLEL_THREADS : 1,
            0, err);
    signals_hold(&signals);
    nbdkit_host_leave();
    if (result < 0) {
        nbdkit_close(&nbdkit->stage);
        return result;
    }
    *out = &nbdkit->stage;
    return 0;
}

static void nbdkit_header_was_read(struct stage *stage)
{
    nbdkit_files_release_header(&container_of(stage, struct nbdkit_stage, stage)->files);
}

/* ---- requests: on a thread of the pool ---- */

enum nbdkit_step { STEP_REQUEST, STEP_SYNC };

static int write_zeros(struct nbdkit_stage *nbdkit, uint32_t length_bytes, uint64_t offset_bytes,
                       uint32_t flags)
{
    static const uint8_t zeros[PART_BYTES];

    while (length_bytes > 0) {
        uint32_t part = length_bytes < sizeof zeros ? length_bytes : (uint32_t)sizeof zeros;

        if (part > nbdkit->claims.block_max_bytes)
            part = nbdkit->claims.block_max_bytes;
        if (nbdkit->plugin.pwrite(nbdkit->handle, zeros, part, offset_bytes, flags) < 0)
            return -1;
        length_bytes -= part;
        offset_bytes += part;
    }
    return 0;
}

static int zero(struct nbdkit_stage *nbdkit, uint32_t length_bytes, uint64_t offset_bytes,
                uint32_t fua, uint32_t asked)
{
    bool fast = asked & REQUEST_FAST_ZERO;

    if (fast && !nbdkit->claims.fast_zero) {
        errno = EOPNOTSUPP;
        return -1;
    }
    if (nbdkit->claims.zero) {
        uint32_t flags = fua | ((asked & REQUEST_MAY_TRIM) ? NBDKIT_FLAG_MAY_TRIM : 0) |
                         (fast ? NBDKIT_FLAG_FAST_ZERO : 0);

        if (nbdkit->plugin.zero(nbdkit->handle, length_bytes, offset_bytes, flags) == 0)
            return 0;
        int result = nbdkit_host_error(&nbdkit->plugin);
        if (fast || (result != ENOTSUP && errno != ENOTSUP))
            return -1;
        nbdkit_host_forget_error();
    }
    return write_zeros(nbdkit, length_bytes, offset_bytes, fua);
}

/* Where the plugin wants it so, it is read into nowhere. */
static int cache(struct nbdkit_stage *nbdkit, uint32_t length_bytes, uint64_t offset_bytes)
{
    const struct nbdkit_plugin *plugin = &nbdkit->plugin;
    uint32_t most = length_bytes < PART_BYTES ? length_bytes : PART_BYTES;
    int result = 0;

    if (nbdkit->claims.cache == NBDKIT_NATIVE)
        return plugin->cache != NULL ? plugin->cache(nbdkit->handle, length_bytes, offset_bytes, 0)
                                     : 0;
    void *nowhere = malloc(most);
    if (nowhere == NULL) {
        nbdkit_set_error(ENOMEM);
        return -1;
    }
    while (length_bytes > 0 && result >= 0) {
        uint32_t part = length_bytes < most ? length_bytes : most;

        result = plugin->pread(nbdkit->handle, nowhere, part, offset_bytes, 0);
        length_bytes -= part;
        offset_bytes += part;
    }
    free(nowhere);
    return result;
}

static int find_extents(struct nbdkit_stage *nbdkit, struct request *req, uint32_t length_bytes)
{
    struct view *view = &req->view;
    struct nbdkit_extents extents = {
        .start_bytes = view->offset_bytes,
        .end_bytes = view->offset_bytes + length_bytes,
        .list = (struct extent_list *)(void *)view->data,
    };
    uint32_t flags = (req->flags & REQUEST_ONE) ? NBDKIT_FLAG_REQ_ONE : 0;

    if (nbdkit->plugin.extents(nbdkit->handle, length_bytes, view->offset_bytes, flags, &extents) <
        0)
        return -1;
    extents.list->more = false; /* the plugin would describe all of it once more */
    if (extents.list->count > 0)
        return 0;
    nbdkit_host_forget_error(); /* it described nothing: that is a failure of its own */
    errno = EINVAL;
    return -1;
}

static int call_part(struct nbdkit_stage *nbdkit, struct request *req, uint32_t done_bytes,
                     uint32_t part, uint32_t fua)
{
    const struct nbdkit_plugin *plugin = &nbdkit->plugin;
    uint64_t at = req->view.offset_bytes + done_bytes;

    switch (req->view.op) {
    case REQUEST_READ:
        return plugin->pread(nbdkit->handle, req->view.data + done_bytes, part, at, 0);
    case REQUEST_WRITE:
        return plugin->pwrite(nbdkit->handle, req->view.data + done_bytes, part, at, fua);
    case REQUEST_TRIM:
        return plugin->trim(nbdkit->handle, part, at, fua);
    case REQUEST_ZERO:
        return zero(nbdkit, part, at, fua, req->flags);
    case REQUEST_CACHE:
        return cache(nbdkit, part, at);
    case REQUEST_EXTENTS:
        return find_extents(nbdkit, req, part);
    case REQUEST_FLUSH:
    case REQUEST_OP_COUNT:
        break;
    }
    errno = EINVAL; /* a FLUSH goes another way, see nbdkit_submit() */
    return -1;
}

static bool must_be_durable(const struct request *req)
{
    enum request_op op = req->view.op;

    return (op == REQUEST_WRITE || op == REQUEST_TRIM || op == REQUEST_ZERO) &&
           (req->flags & REQUEST_FUA);
}

/* FUA is left to a flush where there is one, even if the plugin would do it: of a write that fails
 * can't be told otherwise whether what others wrote is lost. */
static int call_plugin(struct nbdkit_stage *nbdkit, struct request *req)
{
    enum request_op op = req->view.op;
    bool native = nbdkit->claims.fua == NBDKIT_NATIVE && nbdkit->stage.sync == NULL;
    uint32_t fua = native && must_be_durable(req) ? NBDKIT_FLAG_FUA : 0;
    uint32_t done_bytes = 0, length_bytes = REQUEST_BYTES_MAX;

    if (req->view.length_bytes < length_bytes) /* of EXTENTS less than asked may be told */
        length_bytes = (uint32_t)req->view.length_bytes;
    /* It is a hint, and others wait for the plugin. */
    if (op == REQUEST_CACHE && nbdkit->claims.cache == NBDKIT_EMULATE &&
        length_bytes > CACHE_BYTES_MAX)
        length_bytes = CACHE_BYTES_MAX;
    do {
        uint32_t part = length_bytes - done_bytes;

        if (op != REQUEST_EXTENTS && part > nbdkit->claims.block_max_bytes)
            part = nbdkit->claims.block_max_bytes;
        if (call_part(nbdkit, req, done_bytes, part, fua) < 0) {
            req->error_at_bytes = done_bytes;
            return -1;
        }
        done_bytes += part;
    } while (done_bytes < length_bytes);
    return 0;
}

static void work(struct offload_job *job)
{
    struct request *req = container_of(job, struct request, job);
    struct nbdkit_stage *nbdkit = container_of(req->backend->stage, struct nbdkit_stage, stage);
    struct nbdkit_caller caller = nbdkit->caller; /* of this thread */

    caller.held = NULL;

    nbdkit_host_enter(&caller, "a request");
    int result = req->backend_step == STEP_SYNC ? nbdkit->plugin.flush(nbdkit->handle, 0)
                                                : call_plugin(nbdkit, req);
    job->done.result = result < 0 ? nbdkit_host_error(&nbdkit->plugin) : 0;
    nbdkit_host_leave();
}

static void work_done(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, job.done.event);
    bool syncs = req->backend->stage->sync != NULL;

    if (req->backend_step == STEP_SYNC)
        group_sync_ended(req, result);
    else if (result == 0 && syncs && must_be_durable(req))
        group_sync_join(req);
    else
        request_complete(req, result);
}

static void work_start(struct request *req, enum nbdkit_step step)
{
    struct nbdkit_stage *nbdkit = container_of(req->backend->stage, struct nbdkit_stage, stage);

    req->backend_step = (uint8_t)step;
    req->job.work = work;
    req->job.done.event.fn = work_done;
    req->job.loop = req->backend->loop;
    offload_run(nbdkit->offload, &req->job);
}

static void sync_start(struct request *leader, uint64_t start_bytes, uint64_t end_bytes)
{
    (void)start_bytes;
    (void)end_bytes;
    work_start(leader, STEP_SYNC);
}

static void nbdkit_submit(struct layer *layer, struct request *req)
{
    req->backend = layer;
    if (req->view.op == REQUEST_FLUSH)
        group_sync_join(req);
    else
        work_start(req, STEP_REQUEST);
}

static int nbdkit_attach(struct layer **out, struct stage *stage, struct layer *below,
                         struct loop *loop, struct error *err)
{
    struct layer *layer = calloc(1, sizeof *layer);

    if (layer == NULL)
        return error_no_memory(err, NULL);
    *layer = (struct layer){ .ops = &nbdkit_ops, .stage = stage, .below = below, .loop = loop };
    *out = layer;
    return 0;
}

static void nbdkit_detach(struct layer *layer)
{
    free(layer);
}

/* The plugin's own parameters are not ours to list; the empty table says that there are some. */
static const struct param nbdkit_params[] = { { .name = NULL } };

static void nbdkit_report(const struct stage *stage, struct report_tree *tree,
                          struct report_node *of)
{
    const struct nbdkit_stage *nbdkit = container_of(stage, struct nbdkit_stage, stage);

    report_text(tree, of, "plugin", nbdkit->name);
    report_text(tree, of, "version", nbdkit->plugin.version);
    report_number(tree, of, "thread_model", (uint64_t)nbdkit->plugin.thread_model);
}

const struct layer_ops nbdkit_ops = {
    .name = "nbdkit",
    .description = "nbdkit:PLUGIN[?KEY=VALUE&...], a plugin of nbdkit",
    .params = nbdkit_params,
    .open = nbdkit_open,
    .opens_in_order = true, /* plugins load others' code, which knows of no threads yet */
    .header_was_read = nbdkit_header_was_read,
    .attach = nbdkit_attach,
    .submit = nbdkit_submit,
    .detach = nbdkit_detach,
    .close = nbdkit_close,
    .report = nbdkit_report,
};
