/* A plugin of nbdkit for tests/nbdkit/test-order.sh: a disk of zeros that writes every call, its
 * thread and what it was given into a log.  Parameters: log=FILE, size=BYTES, model, fua, can_trim
 * and zero (numbers as in nbdkit-api.h; zero=3 fails with EOPNOTSUPP), lose=FILE (a flush fails
 * once when there is FILE), meet=N (a read waits until N are in the plugin), hang=true (a read
 * never returns). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/nbdkit/nbdkit-api.h"

#define MEET_TRIES 1000u /* of 10 ms */

struct nbdkit_plugin *plugin_init(void);
void nbdkit_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void nbdkit_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
int nbdkit_add_extent(struct nbdkit_extents *extents, uint64_t offset, uint64_t length,
                      uint32_t type);

static int log_fd = -1;
static char lose[PATH_MAX];
static int64_t size_bytes = 1 << 20;
static int model = NBDKIT_PARALLEL, fua = NBDKIT_EMULATE, can_trim = 1, can_zero = 1;
static unsigned meet;
static bool loaded, hang;
static atomic_uint inside, inside_most;

static __attribute__((format(printf, 1, 2))) void note(const char *format, ...)
{
    char line[256];
    va_list arguments;

    va_start(arguments, format);
    int length = snprintf(line, sizeof line, "%d ", (int)gettid());
    length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    if (log_fd >= 0 && write(log_fd, line, (size_t)length) != length)
        abort();
}

/* ---- its life ---- */

/* There is no log yet. */
static void load(void)
{
    loaded = true;
}

static int config(const char *key, const char *value)
{
    int number = (int)strtol(value, NULL, 10);

    if (strcmp(key, "log") == 0)
        log_fd = open(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    else if (strcmp(key, "size") == 0)
        size_bytes = strtoll(value, NULL, 10);
    else if (strcmp(key, "model") == 0)
        model = number;
    else if (strcmp(key, "fua") == 0)
        fua = number;
    else if (strcmp(key, "can_trim") == 0)
        can_trim = number;
    else if (strcmp(key, "zero") == 0)
        can_zero = number;
    else if (strcmp(key, "lose") == 0)
        snprintf(lose, sizeof lose, "%s", value);
    else if (strcmp(key, "meet") == 0)
        meet = (unsigned)number;
    else if (strcmp(key, "hang") == 0)
        hang = true;
    else
        return -1;
    note("config %s%s", key, loaded ? "" : " before load");
    return 0;
}

static int config_complete(void)
{
    note("config_complete");
    return 0;
}

static int thread_model_now(void)
{
    note("thread_model");
    return model;
}

static int get_ready(void)
{
    note("get_ready");
    return 0;
}

static int after_fork(void)
{
    note("after_fork");
    return 0;
}

static int preconnect(int readonly)
{
    note("preconnect %d", readonly);
    return 0;
}

static void *open_disk(int readonly)
{
    note("open %d", readonly);
    nbdkit_debug("opened for %s", readonly ? "reading" : "writing");
    return &size_bytes;
}

static void close_disk(void *handle)
{
    note("close %s", handle == &size_bytes ? "its handle" : "something else");
}

static void cleanup(void)
{
    note("cleanup");
}

static void unload(void)
{
    note("unload, at most %u calls at a time", atomic_load(&inside_most));
}

/* ---- what it can do ---- */

static int64_t get_size(void *handle)
{
    (void)handle;
    note("ask get_size");
    return size_bytes;
}

#define ANSWER(name, value)             \
    static int ask_##name(void *handle) \
    {                                   \
        (void)handle;                   \
        note("ask " #name);             \
        return value;                   \
    }
ANSWER(can_write, 1)
ANSWER(can_flush, 1)
ANSWER(can_trim, can_trim)
ANSWER(can_zero, can_zero != 0)
ANSWER(can_fast_zero, can_zero == 1)
ANSWER(can_fua, fua)
ANSWER(can_extents, 1)

/* ---- requests ---- */

static void enter(void)
{
    unsigned now = atomic_fetch_add(&inside, 1) + 1, most = atomic_load(&inside_most);

    while (now > most && !atomic_compare_exchange_weak(&inside_most, &most, now)) {
    }
    usleep(1000); /* time for another to come in, where that is allowed */
}

static int leave(void)
{
    atomic_fetch_sub(&inside, 1);
    return 0;
}

static int pread_disk(void *handle, void *data, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    note("pread %u %llu %u", count, (unsigned long long)offset, flags);
    enter();
    while (hang)
        pause();
    for (unsigned try = 0; atomic_load(&inside_most) < meet; try++) {
        if (try == MEET_TRIES) {
            leave();
            nbdkit_error("nobody came");
            return -1;
        }
        usleep(10000);
    }
    memset(data, 0, count);
    return leave();
}

static int pwrite_disk(void *handle, const void *data, uint32_t count, uint64_t offset,
                       uint32_t flags)
{
    (void)handle;
    (void)data;
    note("pwrite %u %llu %u", count, (unsigned long long)offset, flags);
    enter();
    return leave();
}

static int flush_disk(void *handle, uint32_t flags)
{
    (void)handle;
    note("flush %u", flags);
    if (lose[0] != '\0' && unlink(lose) == 0) {
        errno = ENOSPC;
        return -1;
    }
    enter();
    return leave();
}

static int trim_disk(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    note("trim %u %llu %u", count, (unsigned long long)offset, flags);
    enter();
    return leave();
}

static int zero_disk(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    note("zero %u %llu %u", count, (unsigned long long)offset, flags);
    if (can_zero == 1)
        return 0;
    errno = EOPNOTSUPP;
    return -1;
}

/* Of each 128 KiB the second half is a hole. */
static int extents_disk(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                        struct nbdkit_extents *extents)
{
    (void)handle;
    note("extents %u %llu %u", count, (unsigned long long)offset, flags);
    for (uint64_t at = offset & ~UINT64_C(0xffff); at < offset + count; at += 1 << 16)
        if (nbdkit_add_extent(extents, at, 1 << 16, at >> 16 & 1 ? 3 : 0) < 0)
            return -1;
    return 0;
}

struct nbdkit_plugin *plugin_init(void)
{
    static struct nbdkit_plugin plugin = {
        .struct_bytes = sizeof plugin - sizeof plugin.can_fua_1,
        .api_version = 2,
        .thread_model = NBDKIT_PARALLEL,
        .name = "order",
        .errno_is_preserved = 1,
        .load = load,
        .config = config,
        .config_complete = config_complete,
        .thread_model_now = thread_model_now,
        .get_ready = get_ready,
        .after_fork = after_fork,
        .preconnect = preconnect,
        .open = open_disk,
        .close = close_disk,
        .cleanup = cleanup,
        .unload = unload,
        .get_size = get_size,
        .can_write = ask_can_write,
        .can_flush = ask_can_flush,
        .can_trim = ask_can_trim,
        .can_zero = ask_can_zero,
        .can_fast_zero = ask_can_fast_zero,
        .can_fua = ask_can_fua,
        .can_extents = ask_can_extents,
        .pread = pread_disk,
        .pwrite = pwrite_disk,
        .flush = flush_disk,
        .trim = trim_disk,
        .zero = zero_disk,
        .extents = extents_disk,
    };

    return &plugin;
}
