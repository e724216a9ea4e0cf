#include "plugins/nbdkit/nbdkit-host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/threads.h"

/* Declared by nbdkit's header for plugins; here they are only defined. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

void nbdkit_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Thread_local struct nbdkit_caller *caller;
static _Thread_local int call_errno;

static void log_held(void);

void nbdkit_host_enter(struct nbdkit_caller *now, const char *call)
{
    now->call = call;
    caller = now;
    thread_is_within(now->name, call);
    log_held();
    nbdkit_host_forget_error();
}

void nbdkit_host_forget_error(void)
{
    call_errno = 0;
    errno = 0;
}

void nbdkit_host_leave(void)
{
    log_held();
    caller = NULL;
    thread_is_within(NULL, NULL);
}

const struct nbdkit_caller *nbdkit_host_caller(void)
{
    return caller;
}

const struct nbdkit_plugin *nbdkit_host_plugin(void)
{
    return caller->plugin;
}

int nbdkit_host_error(const struct nbdkit_plugin *plugin)
{
    int result = errno;

    if (call_errno != 0)
        return call_errno > 0 ? call_errno : EIO; /* a plugin may say anything */
    return plugin->errno_is_preserved && result > 0 ? result : EIO;
}

void nbdkit_set_error(int result)
{
    call_errno = result;
}

/* ---- messages ---- */

static const char *plugin_name(void)
{
    if (caller == NULL)
        return "nbdkit"; /* a thread of the plugin's own */
    return caller->plugin != NULL ? caller->plugin->name : caller->name;
}

/* What was said in a call that did not fail because of it. */
static void log_held(void)
{
    if (caller == NULL || caller->held == NULL || caller->held[0] == '\0')
        return;
    log_error("plugin %s: %s", plugin_name(), caller->held);
    caller->held[0] = '\0';
}

int nbdkit_host_failed(struct nbdkit_caller *failed, struct error *err)
{
    int result = nbdkit_host_error(failed->plugin);

    error_set(err, -result, "the plugin failed in %s: %s", failed->call,
              failed->held[0] != '\0' ? failed->held : strerror(result));
    failed->held[0] = '\0';
    return -result;
}

static void say_error(const char *line)
{
    if (caller == NULL || caller->held == NULL) {
        log_error("plugin %s: %s", plugin_name(), line);
        return;
    }
    log_held();
    snprintf(caller->held, NBDKIT_HELD_BYTES, "%s", line);
}

static void say_debug(const char *line)
{
    log_debug("plugin %s: %s", plugin_name(), line);
}

/* The traceback of an interpreter has many lines, and tells the most in the last one. */
static void say_lines(const char *format, va_list arguments, void (*say)(const char *line))
{
    char *text = NULL, *rest = NULL;

    if (vasprintf(&text, format, arguments) < 0) {
        say("there is not enough memory for its message");
        return;
    }
    for (char *at = text; *at != '\0'; at++)
        if (*at == '\t' || *at == '\r')
            *at = ' ';
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        say(line);
    free(text);
}

/* Both keep errno: the plugin may return it after its message. */
void nbdkit_verror(const char *format, va_list arguments)
{
    int saved = errno;

    say_lines(format, arguments, say_error);
    errno = saved;
}

void nbdkit_vdebug(const char *format, va_list arguments)
{
    int saved = errno;

    if (log_enabled(LOG_DEBUG))
        say_lines(format, arguments, say_debug);
    errno = saved;
}

void nbdkit_error(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    nbdkit_verror(format, arguments);
    va_end(arguments);
}

void nbdkit_debug(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    nbdkit_vdebug(format, arguments);
    va_end(arguments);
}

/* ---- values of parameters ---- */

int64_t nbdkit_parse_size(const char *text)
{
    static const char suffixes[] =
        "bkmgtpe"; /* b is 1, each of the others 1024 times the one before */
    char *end;
    unsigned shift = 0;

    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno != 0 || value < 0)
        goto bad;
    if (*end == 's' || *end == 'S') {
        shift = 9;
        end++;
    } else if (*end != '\0') {
        const char *suffix = strchr(suffixes, *end >= 'A' && *end <= 'Z' ? *end + 32 : *end);

        if (suffix == NULL)
            goto bad;
        shift = 10 * (unsigned)(suffix - suffixes);
        end++;
    }
    if (*end == '\0' && value <= INT64_MAX >> shift)
        return (int64_t)value << shift;
bad:
    nbdkit_error("'%s' is no size (a number with b, s, k, M, G, T, P or E behind it, below 8 EiB)",
                 text);
    return -1;
}

int nbdkit_parse_bool(const char *text)
{
    static const char *const words[2][5] = { { "0", "false", "f", "no", "n" },
                                             { "1", "true", "t", "yes", "y" } };

    for (int value = 0; value < 2; value++)
        for (size_t i = 0; i < 5; i++)
            if (strcasecmp(text, words[value][i]) == 0)
                return value;
    if (strcasecmp(text, "on") == 0)
        return 1;
    if (strcasecmp(text, "off") == 0)
        return 0;
    nbdkit_error("'%s' is neither true nor false", text);
    return -1;
}

static int parse_signed(const char *what, const char *text, int64_t min, int64_t max, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 0);
    if (errno == 0 && end != text && *end == '\0' && *out >= min && *out <= max)
        return 0;
    nbdkit_error("%s: '%s' is no number from %lld to %lld", what, text, (long long)min,
                 (long long)max);
    return -1;
}

static int parse_unsigned(const char *what, const char *text, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 0);
    if (errno == 0 && end != text && *end == '\0' && *out <= max && strchr(text, '-') == NULL)
        return 0;
    nbdkit_error("%s: '%s' is no number from 0 to %llu", what, text, (unsigned long long)max);
    return -1;
}

#define PARSER(name, type, wide, call)                                     \
    int nbdkit_parse_##name(const char *what, const char *text, type *out) \
    {                                                                      \
        wide value;                                                        \
        int code = call;                                                   \
                                                                           \
        if (code == 0)                                                     \
            *out = (type)value;                                            \
        return code;                                                       \
    }
#define SIGNED(name, type, min, max) \
    PARSER(name, type, int64_t, parse_signed(what, text, min, max, &value))
#define UNSIGNED(name, type, max) \
    PARSER(name, type, uint64_t, parse_unsigned(what, text, max, &value))

SIGNED(int, int, INT_MIN, INT_MAX)
SIGNED(int8_t, int8_t, INT8_MIN, INT8_MAX)
SIGNED(int16_t, int16_t, INT16_MIN, INT16_MAX)
SIGNED(int32_t, int32_t, INT32_MIN, INT32_MAX)
SIGNED(int64_t, int64_t, INT64_MIN, INT64_MAX)
UNSIGNED(unsigned, unsigned, UINT_MAX)
UNSIGNED(uint8_t, uint8_t, UINT8_MAX)
UNSIGNED(uint16_t, uint16_t, UINT16_MAX)
UNSIGNED(uint32_t, uint32_t, UINT32_MAX)
UNSIGNED(uint64_t, uint64_t, UINT64_MAX)

/* Standard input may be where a key comes from, and standard output carries the ready line. */
int nbdkit_stdio_safe(void)
{
    return 0;
}

static int read_password_line(int fd, char **password)
{
    FILE *file = fdopen(fd, "r");
    size_t room = 0;

    if (file == NULL) {
        nbdkit_error("the password could not be read: %s", strerror(errno));
        close(fd);
        return -1;
    }
    setvbuf(file, NULL, _IONBF, 0); /* a buffer would keep a copy */
    *password = NULL;
    ssize_t length = getline(password, &room, file);
    fclose(file);
    if (length < 0) {
        free(*password);
        *password = NULL;
        nbdkit_error("no password could be read");
        return -1;
    }
    if (length > 0 && (*password)[length - 1] == '\n')
        (*password)[length - 1] = '\0';
    return 0;
}

int nbdkit_read_password(const char *value, char **password)
{
    int fd = -1;

    *password = NULL;
    if (strcmp(value, "-") == 0) {
        nbdkit_error("a password cannot be asked for here; write +FILE or -FD");
        return -1;
    }
    if (value[0] == '-') {
        if (nbdkit_parse_int("file descriptor of the password", value + 1, &fd) < 0)
            return -1;
        if (fd <= STDERR_FILENO) {
            nbdkit_error("a password cannot be read from file descriptor %d; use 3 or more", fd);
            return -1;
        }
        return read_password_line(fd, password);
    }
    if (value[0] == '+') {
        fd = open(value + 1, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            nbdkit_error("the password's file '%s' can't be opened: %s", value + 1,
                         strerror(errno));
            return -1;
        }
        return read_password_line(fd, password);
    }
    *password = strdup(value);
    return *password != NULL ? 0 : -1;
}

/* ---- paths and strings ---- */

char *nbdkit_realpath(const char *path)
{
    char *real = realpath(path, NULL);

    if (real == NULL)
        nbdkit_error("'%s' could not be resolved: %s", path, strerror(errno));
    return real;
}

char *nbdkit_absolute_path(const char *path)
{
    char *folder, *out = NULL;

    if (path[0] == '/')
        return strdup(path);
    folder = getcwd(NULL, 0);
    if (folder == NULL || asprintf(&out, "%s/%s", folder, path) < 0) {
        nbdkit_error("'%s' could not be made absolute: %s", path, strerror(errno));
        out = NULL;
    }
    free(folder);
    return out;
}

/* Interned strings stay until the process ends: a plugin may give them away. */
struct interned {
    struct interned *next;
    char text[];
};
static struct interned *interned;
static pthread_mutex_t interned_mutex = PTHREAD_MUTEX_INITIALIZER;

const char *nbdkit_strndup_intern(const char *text, size_t length_max)
{
    size_t length = strnlen(text, length_max);
    struct interned *one = malloc(sizeof *one + length + 1);

    if (one == NULL) {
        nbdkit_error("not enough memory for a string");
        return NULL;
    }
    memcpy(one->text, text, length);
    one->text[length] = '\0';
    pthread_mutex_lock(&interned_mutex);
    one->next = interned;
    interned = one;
    pthread_mutex_unlock(&interned_mutex);
    return one->text;
}

const char *nbdkit_strdup_intern(const char *text)
{
    return nbdkit_strndup_intern(text, SIZE_MAX);
}

const char *nbdkit_vprintf_intern(const char *format, va_list arguments)
{
    char *text = NULL;

    if (vasprintf(&text, format, arguments) < 0) {
        nbdkit_error("not enough memory for a string");
        return NULL;
    }
    const char *out = nbdkit_strdup_intern(text);
    free(text);
    return out;
}

__attribute__((format(printf, 1, 2))) const char *nbdkit_printf_intern(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    const char *out = nbdkit_vprintf_intern(format, arguments);
    va_end(arguments);
    return out;
}

/* ---- the connection: the handle is the export's, not a client's ---- */

const char *nbdkit_export_name(void)
{
    return caller != NULL && caller->export_name != NULL ? caller->export_name : "";
}

int nbdkit_is_tls(void)
{
    return 0;
}

static int no_peer(void)
{
    nbdkit_error("there is one handle for all clients of an export: it has no peer");
    nbdkit_set_error(ENOTSUP);
    return -1;
}

int nbdkit_peer_name(struct sockaddr *address, socklen_t *length)
{
    (void)address;
    (void)length;
    return no_peer();
}

int64_t nbdkit_peer_pid(void)
{
    return no_peer();
}

int64_t nbdkit_peer_uid(void)
{
    return no_peer();
}

int64_t nbdkit_peer_gid(void)
{
    return no_peer();
}

void nbdkit_shutdown(void)
{
    kill(getpid(), SIGTERM);
}

int nbdkit_nanosleep(unsigned seconds, unsigned nanoseconds)
{
    struct timespec left = { .tv_sec = (time_t)seconds + nanoseconds / 1000000000,
                             .tv_nsec = nanoseconds % 1000000000 };

    while (nanosleep(&left, &left) != 0)
        if (errno != EINTR) {
            nbdkit_error("sleeping failed: %s", strerror(errno));
            return -1;
        }
    return 0;
}

/* ---- extents and exports ---- */

int nbdkit_add_extent(struct nbdkit_extents *extents, uint64_t offset_bytes, uint64_t length_bytes,
                      uint32_t type)
{
    uint64_t start = extents->start_bytes, end = extents->end_bytes;

    if (length_bytes == 0)
        return 0;
    if (length_bytes > UINT64_MAX - offset_bytes ||
        (extents->begun ? offset_bytes != extents->next_bytes : offset_bytes > start)) {
        nbdkit_error("an extent at %llu leaves a gap or overlaps the one before it",
                     (unsigned long long)offset_bytes);
        errno = ERANGE;
        return -1;
    }
    extents->begun = true;
    extents->next_bytes = offset_bytes + length_bytes;
    if (offset_bytes < start)
        offset_bytes = start;
    if (end > extents->next_bytes)
        end = extents->next_bytes;
    /* What finds no room is left out, and all that follows it: the answer may be short. */
    if (offset_bytes < end &&
        !extent_list_add(extents->list, end - offset_bytes, type & (EXTENT_HOLE | EXTENT_ZERO)))
        extents->end_bytes = offset_bytes;
    return 0;
}

/* What list_exports gives is not used: the names of exports are the operator's. */
int nbdkit_add_export(struct nbdkit_exports *exports, const char *name, const char *description)
{
    (void)exports;
    (void)name;
    (void)description;
    return 0;
}

int nbdkit_use_default_export(struct nbdkit_exports *exports)
{
    (void)exports;
    return 0;
}

/* For filters in nbdkit; plugins of its own tree name them all the same. */
void nbdkit_extents_free(struct nbdkit_extents *extents)
{
    (void)extents;
}

void nbdkit_exports_free(struct nbdkit_exports *exports)
{
    (void)exports;
}
