/* A plugin's life follows nbdkit-plugin(3): load, config..., config_complete, thread_model, get_ready,
 * after_fork, preconnect, default_export, open, what it can do; requests; close, cleanup, unload.
 *
 * An export has one handle, whatever the thread model and the number of clients: so a FLUSH covers
 * everybody's writes.  Its calls run on a pool of its own, of one thread unless the plugin is PARALLEL. */
#include "plugins/nbdkit.h"

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

#include "plugins/nbdkit-files.h"
#include "plugins/nbdkit-guard.h"
#include "plugins/nbdkit-host.h"
#include "plugins/nbdkit-version-1.h"

#define PARALLEL_THREADS 16u
/* The first one is what configure found or was told. */
#define PLUGIN_FOLDERS NBDKIT_PLUGINDIR, "/usr/lib/x86_64-linux-gnu/nbdkit/plugins", \
                       "/usr/lib64/nbdkit/plugins", "/usr/lib/aarch64-linux-gnu/nbdkit/plugins", \
                       "/usr/local/lib/nbdkit/plugins"

/* What we know of a plugin's structure: a newer one has more, an older one less. */
#define PLUGIN_BYTES offsetof(struct nbdkit_plugin, can_fua_1)

struct nbdkit_stage {
    struct stage stage;
    struct nbdkit_plugin plugin; /* our copy: what an older plugin lacks is NULL */
    struct nbdkit_caller caller;
    void *library;
    int copy_fd;                 /* of a second use of the same file; -1: none */
    char *name;                  /* as the operator wrote it */
    char *parameters;            /* the plugin may keep pointers into them until it is unloaded */
    struct nbdkit_files files;
    bool loaded;
    void *handle;
    uint32_t block_max_bytes;
    int fua, cache;
    bool zero, fast_zero;
    struct offload *offload;
};

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
                     "'nbdkit:/PATH/TO/PLUGIN.so' any plugin", name);
}

/* A plugin keeps its parameters in global variables.  A second export of the same file gets a copy of it,
 * and so variables of its own; the descriptor stays open, because the loader knows libraries by name. */
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
    int code = find_plugin(path, sizeof path, name, err);

    if (code < 0)
        return code;
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
    struct nbdkit_plugin *(*init)(void);
    *(void **)&init = dlsym(nbdkit->library, "plugin_init");
    if (init == NULL)
        return error_set(err, -ELIBBAD, "it is no nbdkit plugin: it has no function plugin_init");
    const struct nbdkit_plugin *plugin = init();
    if (plugin == NULL || (plugin->api_version != 1 && plugin->api_version != 2))
        return error_set(err, -ELIBBAD, "the plugin has version %d of nbdkit's interface; "
                         "versions 1 and 2 are hosted",
                         plugin != NULL ? plugin->api_version : 0);
    memcpy(&nbdkit->plugin, plugin,
           plugin->struct_bytes < PLUGIN_BYTES ? plugin->struct_bytes : PLUGIN_BYTES);
    if (plugin->api_version == 1)
        nbdkit_adapt_version_1(&nbdkit->plugin);
    if (nbdkit->plugin.name == NULL || nbdkit->plugin.open == NULL ||
        nbdkit->plugin.get_size == NULL || nbdkit->plugin.pread == NULL)
        return error_set(err, -ELIBBAD, "the plugin lacks a name or one of open, get_size and pread");
    nbdkit->caller.plugin = &nbdkit->plugin;
    return 0;
}

/* ---- its parameters ---- */

static int plugin_failed(struct nbdkit_stage *nbdkit, const char *where, struct error *err)
{
    int code = nbdkit_host_error(&nbdkit->plugin);

    if (nbdkit->caller.message[0] != '\0')
        return error_set(err, -code, "the plugin failed in %s: %s", where, nbdkit->caller.message);
    return error_set(err, -code, "the plugin failed in %s: %s", where, strerror(code));
}

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

/* A value without a key goes to the magic key, or, the first one where there is none, to "script". */
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
        return error_set(err, -EINVAL, "a parameter has a '%%' without two digits behind it; write %%25");
    if (key == NULL)
        return error_set(err, -EINVAL, "the plugin takes no value without 'key=' in front");
    if (nbdkit->plugin.config == NULL)
        return error_set(err, -EINVAL, "the plugin takes no parameters");
    int code = nbdkit_files_lock(&nbdkit->files, nbdkit->plugin.name, key, value, err);
    if (code < 0)
        return code;
    nbdkit_host_enter(&nbdkit->caller, "config");
    return nbdkit->plugin.config(key, value) < 0 ? plugin_failed(nbdkit, "config", err) : 0;
}

static int give_parameters(struct nbdkit_stage *nbdkit, const char *pairs, struct error *err)
{
    char *text = strdup(pairs != NULL ? pairs : ""), *rest = NULL;
    bool first = true;

    nbdkit->parameters = text;
    int code = text == NULL ? error_set(err, -ENOMEM, "not enough memory") : 0;

    for (char *pair = code == 0 ? strtok_r(text, "&", &rest) : NULL; pair != NULL && code == 0;
         pair = strtok_r(NULL, "&", &rest)) {
        code = give_parameter(nbdkit, pair, first, err);
        first = false;
    }
    return code;
}

/* ---- its life until it is open ---- */

/* A step that the plugin may leave out. */
#define STEP(name, ...)                                            \
    do {                                                           \
        nbdkit_host_enter(&nbdkit->caller, #name);                 \
        if (plugin->name != NULL && plugin->name(__VA_ARGS__) < 0) \
            return plugin_failed(nbdkit, #name, err);              \
    } while (0)

static int start_plugin(struct nbdkit_stage *nbdkit, const struct stage_settings *settings,
                        struct error *err)
{
    struct nbdkit_plugin *plugin = &nbdkit->plugin;

    nbdkit_host_enter(&nbdkit->caller, "load");
    nbdkit->loaded = true;
    if (plugin->load != NULL)
        plugin->load();
    int code = give_parameters(nbdkit, settings->params->text, err);
    if (code < 0)
        return code;
    STEP(config_complete);
    if (plugin->thread_model_now != NULL) {
        nbdkit_host_enter(&nbdkit->caller, "thread_model");
        int model = plugin->thread_model_now();
        if (model < 0)
            return plugin_failed(nbdkit, "thread_model", err);
        if (model < plugin->thread_model)
            plugin->thread_model = model;
    }
    STEP(get_ready);
    STEP(after_fork);
    STEP(preconnect, settings->read_only);
    if (plugin->default_export != NULL) {
        nbdkit_host_enter(&nbdkit->caller, "default_export");
        nbdkit->caller.export_name = plugin->default_export(settings->read_only, 0);
        if (nbdkit->caller.export_name == NULL)
            return plugin_failed(nbdkit, "default_export", err);
    }
    nbdkit_host_enter(&nbdkit->caller, "open");
    nbdkit->handle = plugin->open(settings->read_only);
    return nbdkit->handle == NULL ? plugin_failed(nbdkit, "open", err) : 0;
}

/* ---- what it can do ---- */

static int ask(struct nbdkit_stage *nbdkit, int (*question)(void *), int otherwise)
{
    nbdkit_host_enter(&nbdkit->caller, "a can_... question");
    return question != NULL ? question(nbdkit->handle) : otherwise;
}

static bool is_block(uint32_t bytes)
{
    return bytes > 0 && bytes <= 65536 && (bytes & (bytes - 1)) == 0;
}

static int measure_blocks(struct nbdkit_stage *nbdkit, struct limits *limits, struct error *err)
{
    uint32_t least = 1, preferred = 4096, most = UINT32_MAX;

    nbdkit_host_enter(&nbdkit->caller, "block_size");
    if (nbdkit->plugin.block_size != NULL &&
        nbdkit->plugin.block_size(nbdkit->handle, &least, &preferred, &most) < 0)
        return plugin_failed(nbdkit, "block_size", err);
    if (least == 0 && preferred == 0 && most == 0) { /* it has no opinion */
        least = 1;
        preferred = 4096;
        most = UINT32_MAX;
    }
    if (!is_block(least) || most < least)
        return error_set(err, -EINVAL, "the plugin's smallest block of %u bytes is no power of two up to "
                         "65,536, or its largest one of %u is smaller", least, most);
    if (!is_block(preferred) || preferred < 512 || preferred < least)
        preferred = least > 4096 ? least : 4096;
    limits->block_min_bytes = least;
    limits->block_preferred_bytes = preferred;
    nbdkit->block_max_bytes = most / least * least;
    limits->size_bytes = limits->size_bytes / least * least;
    return 0;
}

static int ask_operations(struct nbdkit_stage *nbdkit, bool read_only, struct error *err)
{
    const struct nbdkit_plugin *plugin = &nbdkit->plugin;
    struct limits *limits = &nbdkit->stage.limits;
    int write = read_only || plugin->pwrite == NULL ? 0 : ask(nbdkit, plugin->can_write, 1);
    int flush = plugin->flush == NULL ? 0 : ask(nbdkit, plugin->can_flush, 1);
    int trim = write <= 0 || plugin->trim == NULL ? 0 : ask(nbdkit, plugin->can_trim, 1);
    int zero = write <= 0 || plugin->zero == NULL ? 0 : ask(nbdkit, plugin->can_zero, 1);
    int extents = plugin->extents == NULL ? 0 : ask(nbdkit, plugin->can_extents, 1);
    int rotational = ask(nbdkit, plugin->is_rotational, 0);
    int fast_zero = zero <= 0 ? 0 : ask(nbdkit, plugin->can_fast_zero, 0);

    nbdkit->fua = write <= 0 ? NBDKIT_NONE : ask(nbdkit, plugin->can_fua, flush > 0);
    nbdkit->cache = ask(nbdkit, plugin->can_cache, plugin->cache != NULL ? NBDKIT_NATIVE : NBDKIT_NONE);
    if (write < 0 || flush < 0 || trim < 0 || zero < 0 || extents < 0 || rotational < 0 ||
        fast_zero < 0 || nbdkit->fua < 0 || nbdkit->cache < 0)
        return plugin_failed(nbdkit, "a can_... question", err);
    nbdkit->zero = zero > 0;
    nbdkit->fast_zero = fast_zero > 0;
    limits->rotational = rotational > 0;
    limits->read_only = write == 0;
    limits->fua = nbdkit->fua != NBDKIT_NONE;
    limits->ops = OP_BIT(REQUEST_READ) | (write ? OP_BIT(REQUEST_WRITE) | OP_BIT(REQUEST_ZERO) : 0) |
                  (flush ? OP_BIT(REQUEST_FLUSH) : 0) | (trim ? OP_BIT(REQUEST_TRIM) : 0) |
                  (extents ? OP_BIT(REQUEST_EXTENTS) : 0) |
                  (nbdkit->cache == NBDKIT_NATIVE && plugin->cache != NULL ? OP_BIT(REQUEST_CACHE) : 0);
    return 0;
}

static int measure(struct nbdkit_stage *nbdkit, bool read_only, struct error *err)
{
    struct limits *limits = &nbdkit->stage.limits;

    nbdkit_host_enter(&nbdkit->caller, "get_size");
    int64_t size_bytes = nbdkit->plugin.get_size(nbdkit->handle);
    if (size_bytes < 0)
        return plugin_failed(nbdkit, "get_size", err);
    *limits = (struct limits){ .size_bytes = (uint64_t)size_bytes, .phase_bytes = 1, .multi_conn = true };
    int code = measure_blocks(nbdkit, limits, err);
    return code < 0 ? code : ask_operations(nbdkit, read_only, err);
}

static void nbdkit_close(struct stage *stage)
{
    struct nbdkit_stage *nbdkit = container_of(stage, struct nbdkit_stage, stage);
    const struct nbdkit_plugin *plugin = &nbdkit->plugin;

    offload_destroy(nbdkit->offload);
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
    if (nbdkit->copy_fd >= 0)
        close(nbdkit->copy_fd);
    nbdkit_files_release(&nbdkit->files);
    free(nbdkit->parameters);
    free(nbdkit->name);
    free(nbdkit);
}

static int nbdkit_open(struct stage **out, const struct stage_settings *settings, struct error *err)
{
    struct nbdkit_stage *nbdkit = calloc(1, sizeof *nbdkit);

    if (nbdkit == NULL)
        return error_set(err, -ENOMEM, "not enough memory");
    nbdkit->stage.ops = &nbdkit_ops;
    nbdkit->copy_fd = -1;
    nbdkit->files.settings = settings;
    nbdkit->caller.name = nbdkit->name = strdup(settings->path);
    int code = nbdkit->name == NULL ? error_set(err, -ENOMEM, "not enough memory") : 0;
    if (code == 0)
        code = load_plugin(nbdkit, settings->path, err);
    if (code == 0)
        code = start_plugin(nbdkit, settings, err);
    if (code == 0)
        code = measure(nbdkit, settings->read_only, err);
    if (code == 0)
        code = offload_create(&nbdkit->offload, nbdkit->plugin.thread_model == NBDKIT_PARALLEL ?
                              PARALLEL_THREADS : 1, 0, err);
    nbdkit_host_leave();
    if (code < 0) {
        nbdkit_close(&nbdkit->stage);
        return code;
    }
    *out = &nbdkit->stage;
    return 0;
}

static void nbdkit_header_was_read(struct stage *stage)
{
    nbdkit_files_release_header(&container_of(stage, struct nbdkit_stage, stage)->files);
}

/* ---- requests: on a thread of the pool ---- */

static int write_zeros(struct nbdkit_stage *nbdkit, uint32_t length_bytes, uint64_t offset_bytes,
                       uint32_t flags)
{
    static const uint8_t zeros[65536];

    while (length_bytes > 0) {
        uint32_t part = length_bytes < sizeof zeros ? length_bytes : (uint32_t)sizeof zeros;

        if (part > nbdkit->block_max_bytes)
            part = nbdkit->block_max_bytes;
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

    if (fast && !nbdkit->fast_zero) {
        errno = EOPNOTSUPP;
        return -1;
    }
    if (nbdkit->zero) {
        uint32_t flags = fua | ((asked & REQUEST_MAY_TRIM) ? NBDKIT_FLAG_MAY_TRIM : 0) |
                         (fast ? NBDKIT_FLAG_FAST_ZERO : 0);

        if (nbdkit->plugin.zero(nbdkit->handle, length_bytes, offset_bytes, flags) == 0)
            return 0;
        int code = nbdkit_host_error(&nbdkit->plugin);
        if (fast || (code != ENOTSUP && errno != ENOTSUP))
            return -1;
        nbdkit_host_forget_error();
    }
    return write_zeros(nbdkit, length_bytes, offset_bytes, fua);
}

static int find_extents(struct nbdkit_stage *nbdkit, struct request *req)
{
    struct view *view = &req->view;
    struct nbdkit_extents extents = {
        .start_bytes = view->offset_bytes,
        .end_bytes = view->offset_bytes + view->length_bytes,
        .list = (struct extent_list *)(void *)view->data,
    };
    uint32_t flags = (req->flags & REQUEST_ONE) ? NBDKIT_FLAG_REQ_ONE : 0;

    if (nbdkit->plugin.extents(nbdkit->handle, view->length_bytes, view->offset_bytes, flags, &extents) < 0)
        return -1;
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
        return plugin->cache(nbdkit->handle, part, at, 0);
    case REQUEST_EXTENTS:
        return find_extents(nbdkit, req);
    case REQUEST_FLUSH:
    case REQUEST_OP_COUNT:
        break;
    }
    return plugin->flush(nbdkit->handle, 0);
}

static int call_plugin(struct nbdkit_stage *nbdkit, struct request *req)
{
    enum request_op op = req->view.op;
    bool changes = op == REQUEST_WRITE || op == REQUEST_TRIM || op == REQUEST_ZERO;
    bool durable = changes && (req->flags & REQUEST_FUA);
    uint32_t fua = durable && nbdkit->fua == NBDKIT_NATIVE ? NBDKIT_FLAG_FUA : 0;
    uint32_t done_bytes = 0, length_bytes = req->view.length_bytes;

    do {
        uint32_t part = length_bytes - done_bytes;

        if (op != REQUEST_EXTENTS && part > nbdkit->block_max_bytes)
            part = nbdkit->block_max_bytes;
        if (call_part(nbdkit, req, done_bytes, part, fua) < 0)
            return -1;
        done_bytes += part;
    } while (done_bytes < length_bytes);
    if (durable && nbdkit->fua == NBDKIT_EMULATE)
        return nbdkit->plugin.flush(nbdkit->handle, 0);
    return 0;
}

static void work(struct offload_job *job)
{
    struct request *req = container_of(job, struct request, job);
    struct nbdkit_stage *nbdkit = container_of(req->backend->stage, struct nbdkit_stage, stage);
    struct nbdkit_caller caller = nbdkit->caller; /* of this thread: its messages are its own */

    nbdkit_host_enter(&caller, "a request");
    job->done.result = call_plugin(nbdkit, req) < 0 ? nbdkit_host_error(&nbdkit->plugin) : 0;
    nbdkit_host_leave();
}

static void work_done(struct io_event *ev, int result)
{
    request_complete(container_of(ev, struct request, job.done.event), result);
}

static void nbdkit_submit(struct layer *layer, struct request *req)
{
    struct nbdkit_stage *nbdkit = container_of(layer->stage, struct nbdkit_stage, stage);

    req->backend = layer;
    req->job.work = work;
    req->job.done.event.fn = work_done;
    req->job.loop = layer->loop;
    offload_run(nbdkit->offload, &req->job);
}

static int nbdkit_attach(struct layer **out, struct stage *stage, struct layer *below,
                         struct loop *loop, struct error *err)
{
    struct layer *layer = calloc(1, sizeof *layer);

    if (layer == NULL)
        return error_set(err, -ENOMEM, "not enough memory");
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

const struct layer_ops nbdkit_ops = {
    .name = "nbdkit",
    .description = "nbdkit:PLUGIN[?KEY=VALUE&...], a plugin of nbdkit",
    .params = nbdkit_params,
    .open = nbdkit_open,
    .header_was_read = nbdkit_header_was_read,
    .attach = nbdkit_attach,
    .submit = nbdkit_submit,
    .detach = nbdkit_detach,
    .close = nbdkit_close,
};
