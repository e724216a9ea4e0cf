/* An RBD image: see rbd-disk.h. */
#include "plugins/rbd/rbd-disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/log.h"

#define LOCK_WAIT_DEFAULT_S 40u
#define CONNECT_TIMEOUT_DEFAULT_S 10u
#define LOCK_POLL_MS 200u
#define LOCK_QUIET_MS 2000u /* so long it waits without a word */
#define WATCHERS_MAX 64u

#define FIELD(name) offsetof(struct rbd_parameters, name)

const struct param rbd_params[] = {
    PARAM("conf", STRING, "FILE", conf, "Ceph's configuration (default: /etc/ceph/ceph.conf)"),
    PARAM("id", STRING, "USER", id, "the cluster's user, without \"client.\" (default: admin)"),
    PARAM("keyring", STRING, "FILE", keyring, "where the user's key is (default: as conf says)"),
    PARAM("lock", STRING, "MODE", lock,
          "exclusive: nobody else can write the image meanwhile; shared: the lock goes to whoever "
          "writes (default: exclusive)"),
    PARAM("lock-wait", UINT, "SECONDS", lock_wait_s,
          "how long to wait for another client's lock (default: 40)", .max = 86400),
    PARAM("connect-timeout", UINT, "SECONDS", connect_timeout_s,
          "how long the cluster may take to answer at the start (default: 10)", .min = 1,
          .max = 86400),
    PARAM("timeout", UINT, "SECONDS", timeout_s,
          "how long it may take to answer a request later; 0: for ever (default: 0)", .max = 86400),
    PARAM("cache", FLAG, NULL, cache, "librbd's cache in memory"),
    { .name = NULL },
};

/* ---- the name ---- */

static int refuse_name(struct error *err)
{
    return error_set(err, -EINVAL,
                     "it has to be rbd:POOL/IMAGE, rbd:POOL/NAMESPACE/IMAGE or "
                     "rbd:POOL/IMAGE@SNAPSHOT");
}

/* POOL/[NAMESPACE/]IMAGE[@SNAP], cut into its parts in place. */
static int parse_name(struct rbd_disk *disk, const char *path, struct error *err)
{
    disk->pool_name = strdup(path);
    if (disk->pool_name == NULL || asprintf(&disk->name, "image 'rbd:%s'", path) < 0) {
        disk->name = NULL;
        return error_no_memory(err, NULL);
    }
    char *image = strchr(disk->pool_name, '/');
    if (image == NULL)
        return refuse_name(err);
    *image++ = '\0';
    char *second = strchr(image, '/');
    if (second != NULL) {
        *second++ = '\0';
        disk->name_space = image;
        image = second;
    }
    char *snapshot = strchr(image, '@');
    if (snapshot != NULL)
        *snapshot++ = '\0';
    disk->image_name = image;
    disk->snapshot = snapshot;
    if (disk->pool_name[0] == '\0' || image[0] == '\0' || strchr(image, '/') != NULL ||
        (disk->name_space != NULL && disk->name_space[0] == '\0') ||
        (snapshot != NULL && snapshot[0] == '\0'))
        return refuse_name(err);
    return 0;
}

static int parse(struct rbd_disk *disk, const struct stage_settings *settings, struct error *err)
{
    const char *text =
        settings->params != NULL && settings->params->text != NULL ? settings->params->text : "";
    struct rbd_parameters *given = &disk->given;

    *given = (struct rbd_parameters){
        .lock = "exclusive",
        .lock_wait_s = LOCK_WAIT_DEFAULT_S,
        .connect_timeout_s = CONNECT_TIMEOUT_DEFAULT_S,
    };
    disk->parameter_text = strdup(text);
    if (disk->parameter_text == NULL)
        return error_no_memory(err, NULL);
    int result = parse_name(disk, settings->path, err);
    if (result == 0)
        result = params_parse_pairs(given, rbd_params, disk->parameter_text, '&', err);
    if (result == 0 && strcmp(given->lock, "exclusive") != 0 && strcmp(given->lock, "shared") != 0)
        result = error_set(err, -EINVAL, "lock=%s: it is exclusive or shared", given->lock);
    return result;
}

/* ---- the cluster ---- */

static int set_number(rados_t cluster, const char *option, unsigned value)
{
    char text[16];

    snprintf(text, sizeof text, "%u", value);
    return ceph.rados_conf_set(cluster, option, text);
}

/* Who asks librados for something has to wait while too much is in flight, and a worker must not.
 * What we have in flight is bounded by our buffers, so it need not be counted.  For the same reason
 * librbd has a thread of its own begin each request: it isn't needed any more, and costs a change
 * of threads.  librbd's cache may have who asks wait as well. */
static int begin_requests_here(const struct rbd_disk *disk)
{
    static const struct {
        const char *option, *value;
    } settings[] = {
        { "objecter_inflight_ops", "0" },
        { "objecter_inflight_op_bytes", "0" },
        { "rbd_non_blocking_aio", "false" },
    };
    size_t count = sizeof settings / sizeof settings[0] - disk->given.cache;
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++)
        result = ceph.rados_conf_set(disk->cluster, settings[i].option, settings[i].value);
    return result;
}

static int configure(struct rbd_disk *disk, struct error *err)
{
    const struct rbd_parameters *given = &disk->given;
    int result = ceph.rados_conf_read_file(disk->cluster, given->conf);

    if (result < 0 && given->conf == NULL)
        return error_set(err, result,
                         "no configuration of Ceph was found (/etc/ceph/ceph.conf): %s; "
                         "name one with ?conf=FILE",
                         strerror(-result));
    if (result < 0)
        return error_set(err, result, "Ceph's configuration '%s' can't be read: %s", given->conf,
                         strerror(-result));
    if (given->keyring != NULL)
        result = ceph.rados_conf_set(disk->cluster, "keyring", given->keyring);
    if (result == 0)
        result = ceph.rados_conf_set(disk->cluster, "rbd_cache", given->cache ? "true" : "false");
    if (result == 0)
        result = set_number(disk->cluster, "client_mount_timeout", given->connect_timeout_s);
    if (result == 0)
        result = set_number(disk->cluster, "rados_mon_op_timeout", given->connect_timeout_s);
    if (result == 0) /* until it is open; then set_request_timeout() */
        result = set_number(disk->cluster, "rados_osd_op_timeout", given->connect_timeout_s);
    if (result == 0)
        result = begin_requests_here(disk);
    /* What librbd complains of belongs to our log. */
    if (result == 0)
        result = ceph.rados_conf_set(disk->cluster, "err_to_stderr", "true");
    if (result < 0)
        return error_set(err, result, "librados refuses its settings: %s", strerror(-result));
    return 0;
}

static int explain_connect(const struct rbd_disk *disk, int result, struct error *err)
{
    const char *id = disk->given.id != NULL ? disk->given.id : "admin";

    switch (result) {
    case -ETIMEDOUT:
        return error_set(err, result,
                         "no monitor of the cluster answered within %u seconds; are the "
                         "addresses in mon_host right, and do the monitors run?",
                         disk->given.connect_timeout_s);
    case -EACCES:
    case -EPERM:
    case -EKEYREJECTED:
        return error_set(err, result,
                         "the cluster refuses the user client.%s: %s; is its key in the "
                         "keyring (?keyring=FILE), and the right one?",
                         id, strerror(-result));
    case -ENOENT:
        return error_set(err, result,
                         "the cluster wants a key, and none was found for the user "
                         "client.%s, or no monitor is named; ?keyring=FILE and "
                         "?conf=FILE tell where they are",
                         id);
    default:
        return error_set(err, result, "the cluster can't be reached: %s", strerror(-result));
    }
}

static int connect_cluster(struct rbd_disk *disk, struct error *err)
{
    int result = ceph.rados_create(&disk->cluster, disk->given.id);

    if (result < 0) {
        disk->cluster = NULL;
        return error_set(err, result, "librados could not be started: %s", strerror(-result));
    }
    result = configure(disk, err);
    if (result < 0)
        return result;
    result = ceph.rados_connect(disk->cluster);
    if (result < 0)
        return explain_connect(disk, result, err);
    result = ceph.rados_ioctx_create(disk->cluster, disk->pool_name, &disk->pool);
    if (result < 0) {
        disk->pool = NULL;
        return error_set(err, result,
                         result == -ENOENT ? "there is no pool '%s' in the cluster"
                                           : "the pool '%s' can't be opened: %s",
                         disk->pool_name, strerror(-result));
    }
    if (disk->name_space != NULL)
        ceph.rados_ioctx_set_namespace(disk->pool, disk->name_space);
    return 0;
}

/* ---- the image ---- */

static int refuse_silence(const struct rbd_disk *disk, struct error *err)
{
    return error_set(err, -ETIMEDOUT,
                     "the cluster did not answer within %u seconds "
                     "(connect-timeout); are its OSDs up?",
                     disk->given.connect_timeout_s);
}

static int explain_open(const struct rbd_disk *disk, int result, struct error *err)
{
    if (result == -ENOENT && disk->snapshot != NULL)
        return error_set(err, result,
                         "there is no image '%s' with a snapshot '%s' in the pool '%s'",
                         disk->image_name, disk->snapshot, disk->pool_name);
    if (result == -ENOENT)
        return error_set(err, result, "there is no image '%s' in the pool '%s'", disk->image_name,
                         disk->pool_name);
    if (result == -ETIMEDOUT)
        return refuse_silence(disk, err);
    if (result == -EPERM || result == -EACCES)
        return error_set(err, result, "the user client.%s may not open it%s: %s",
                         disk->given.id != NULL ? disk->given.id : "admin",
                         disk->read_only ? "" : " for writing (--read-only serves it without)",
                         strerror(-result));
    return error_set(err, result, "it can't be opened: %s", strerror(-result));
}

/* What the pool and the image itself say of the cache counts more than what was asked for. */
static bool find_cached(const struct rbd_disk *disk)
{
    rbd_config_option_t options[256];
    int count = (int)(sizeof options / sizeof options[0]);
    bool cached = true; /* the safe answer: flushes are sent */

    if (ceph.rbd_config_image_list(disk->image, options, &count) < 0)
        return true;
    for (int i = 0; i < count; i++)
        if (strcmp(options[i].name, "rbd_cache") == 0)
            cached = strcmp(options[i].value, "false") != 0;
    for (int i = 0; i < count; i++)
        if (strcmp(options[i].name, "rbd_persistent_cache_mode") == 0 &&
            strcmp(options[i].value, "disabled") != 0)
            cached = true;
    ceph.rbd_config_image_list_cleanup(options, count);
    return cached;
}

/* An image of the format that was the only one until 2013 has none; what its header says can't be
 * asked for. */
static int find_ids(struct rbd_disk *disk, struct error *err)
{
    int result = ceph.rbd_get_id(disk->image, disk->id, sizeof disk->id);

    if (result < 0)
        return error_set(err, result,
                         "it has the old format 1, or no id (%s); `rbd migration` converts it",
                         strerror(-result));
    disk->snapshot_id = LIBRADOS_SNAP_HEAD;
    if (disk->snapshot != NULL)
        result = ceph.rbd_snap_get_id(disk->image, disk->snapshot, &disk->snapshot_id);
    if (result < 0)
        return error_set(err, result, "its snapshot can't be looked up: %s", strerror(-result));
    return 0;
}

static int measure(struct rbd_disk *disk, struct error *err)
{
    rbd_image_info_t info;
    uint64_t features = 0, flags = 0;
    int result = ceph.rbd_stat(disk->image, &info, sizeof info);

    if (result == 0)
        result = ceph.rbd_get_features(disk->image, &features);
    if (result == 0)
        result = ceph.rbd_get_flags(disk->image, &flags);
    if (result == 0)
        result = ceph.rbd_get_stripe_unit(disk->image, &disk->stripe_bytes);
    if (result < 0)
        return error_set(err, result, "its state could not be read: %s", strerror(-result));
    if (info.size > INT64_MAX)
        return error_set(err, -EFBIG, "its size of %llu bytes is more than NBD can serve",
                         (unsigned long long)info.size);
    disk->size_bytes = info.size;
    disk->object_bytes = info.obj_size;
    disk->fast_diff = (features & RBD_FEATURE_FAST_DIFF) && !(flags & RBD_FLAG_FAST_DIFF_INVALID);
    disk->cached = find_cached(disk);
    return find_ids(disk, err);
}

static int open_image(struct rbd_disk *disk, struct error *err)
{
    int result = disk->read_only ? ceph.rbd_open_read_only(disk->pool, disk->image_name,
                                                           &disk->image, disk->snapshot)
                                 : ceph.rbd_open(disk->pool, disk->image_name, &disk->image, NULL);

    if (result < 0) {
        disk->image = NULL;
        return explain_open(disk, result, err);
    }
    return measure(disk, err);
}

/* ---- the lock ---- */

static uint64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Another client that has it open for writing, or was killed not long ago: its address.  -ENOENT:
 * none. */
static int find_other(const struct rbd_disk *disk, char *address, size_t address_bytes)
{
    rbd_image_watcher_t watchers[WATCHERS_MAX];
    size_t count = WATCHERS_MAX;
    int64_t own = (int64_t)ceph.rados_get_instance_id(disk->cluster);
    int result = -ENOENT;
    int code = ceph.rbd_watchers_list(disk->image, watchers, &count);

    if (code < 0) {
        snprintf(address, address_bytes, "many clients");
        return code == -ERANGE ? 0 : code;
    }
    for (size_t i = 0; i < count && result != 0; i++)
        if (watchers[i].id != own) {
            snprintf(address, address_bytes, "%s", watchers[i].addr);
            result = 0;
        }
    ceph.rbd_watchers_list_cleanup(watchers, count);
    return result;
}

/* Until nobody else has the image open for writing, or the time is over. */
static int wait_for_others(const struct rbd_disk *disk, struct error *err)
{
    struct timespec step = { .tv_nsec = LOCK_POLL_MS * 1000000L };
    uint64_t start_ms = clock_ms(), waited_ms = 0;
    char address[128];
    bool told = false;
    int result;

    while ((result = find_other(disk, address, sizeof address)) == 0) {
        waited_ms = clock_ms() - start_ms;
        if (waited_ms >= disk->given.lock_wait_s * 1000ull)
            return error_set(err, -EBUSY,
                             "another client (%s) has it open for writing: is it being served "
                             "already, or used by a virtual machine?  End that first",
                             address);
        if (!told && waited_ms >= LOCK_QUIET_MS) {
            log_write_of(LOG_WARNING, disk->name,
                         "waiting for %s, which has it open for writing or was killed", address);
            told = true;
        }
        nanosleep(&step, NULL);
    }
    if (result == -ETIMEDOUT)
        return refuse_silence(disk, err);
    if (result != -ENOENT)
        return error_set(err, result, "who has it open can't be found out: %s", strerror(-result));
    return 0;
}

static int take_lock(struct rbd_disk *disk, struct error *err)
{
    int result = ceph.rbd_lock_acquire(disk->image, RBD_LOCK_MODE_EXCLUSIVE);

    disk->exclusive = result == 0;
    switch (result) {
    case 0:
        return 0;
    case -EINVAL:
        return error_set(err, result,
                         "it has no exclusive lock, so that nothing would keep others from writing "
                         "it; `rbd feature enable %s/%s exclusive-lock` gives it one, and "
                         "?lock=shared does without",
                         disk->pool_name, disk->image_name);
    case -EROFS:
    case -EBUSY:
        return error_set(err, -EBUSY,
                         "another client holds its lock and does not give it up (a server, unless "
                         "it was started with lock=shared); end that first");
    case -ETIMEDOUT:
        return refuse_silence(disk, err);
    case -EPERM:
    case -EACCES:
        return error_set(err, result,
                         "the user client.%s may not lock it, which writing takes; "
                         "--read-only serves it without",
                         disk->given.id != NULL ? disk->given.id : "admin");
    default:
        return error_set(err, result, "its lock can't be taken: %s", strerror(-result));
    }
}

/* What is read of an image that somebody writes would not fit together.  Reading takes no lock, so
 * nobody is kept from writing later. */
static int refuse_writers(const struct rbd_disk *disk, const struct stage_settings *settings,
                          struct error *err)
{
    char address[128];

    if (disk->snapshot != NULL || !settings->options.unchanged)
        return 0;
    if (!settings->options.terms.force_in_use)
        return wait_for_others(disk, err);
    if (find_other(disk, address, sizeof address) == 0)
        log_write_of(LOG_WARNING, disk->name,
                     "another client (%s) has it open for writing, so that what is read of it may "
                     "not fit together; going on (--force-in-use)",
                     address);
    return 0;
}

/* A server with lock=shared takes none: librbd gets it for the first write.  Who changes keys
 * beside such a server takes the lock from it, and says so with lock=shared as well. */
static int lock_as_asked(struct rbd_disk *disk, const struct stage_settings *settings,
                         struct error *err)
{
    bool shared = strcmp(disk->given.lock, "shared") == 0;
    bool serves = settings->options.offload != NULL;

    if (!settings->options.lock || (shared && serves))
        return 0;
    if (disk->read_only)
        return shared ? 0 : refuse_writers(disk, settings, err);
    int result = shared && settings->options.header_only ? 0 : wait_for_others(disk, err);
    return result < 0 ? result : take_lock(disk, err);
}

/* A command on a header does not wait for ever, a server does by default. */
static int set_request_timeout(struct rbd_disk *disk, bool serves, struct error *err)
{
    unsigned timeout_s = disk->given.timeout_s;

    if (timeout_s == 0 && !serves)
        timeout_s = disk->given.connect_timeout_s;
    int result = set_number(disk->cluster, "rados_osd_op_timeout", timeout_s);
    if (result < 0)
        return error_set(err, result, "librados refuses timeout=%u: %s", timeout_s,
                         strerror(-result));
    return 0;
}

/* ---- life ---- */

int rbd_disk_open(struct rbd_disk *disk, const struct stage_settings *settings, struct error *err)
{
    int result = parse(disk, settings, err);

    if (result == 0)
        result = rbd_library_load(err);
    if (result < 0)
        return result;
    disk->read_only = settings->options.read_only || disk->snapshot != NULL;
    result = connect_cluster(disk, err);
    if (result == 0)
        result = open_image(disk, err);
    if (result == 0)
        result = lock_as_asked(disk, settings, err);
    if (result == 0)
        result = set_request_timeout(disk, settings->options.offload != NULL, err);
    return result;
}

static void free_texts(struct rbd_disk *disk)
{
    free(disk->pool_name);
    free(disk->name);
    free(disk->parameter_text);
}

char *rbd_disk_identify(const struct stage_settings *settings)
{
    struct rbd_disk disk = { 0 };
    struct error ignored;
    char *text = NULL;

    if (parse(&disk, settings, &ignored) == 0 &&
        asprintf(&text, "rbd:%s:%s/%s/%s", disk.given.conf != NULL ? disk.given.conf : "",
                 disk.pool_name, disk.name_space != NULL ? disk.name_space : "",
                 disk.image_name) < 0)
        text = NULL;
    free_texts(&disk);
    return text;
}

void rbd_disk_close(struct rbd_disk *disk)
{
    if (disk->image != NULL)
        ceph.rbd_close(disk->image); /* flushes */
    if (disk->pool != NULL)
        ceph.rados_ioctx_destroy(disk->pool);
    if (disk->cluster != NULL)
        ceph.rados_shutdown(disk->cluster);
    free_texts(disk);
}
