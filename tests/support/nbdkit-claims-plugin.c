/* A plugin of nbdkit that claims what it is told to, for tests/nbdkit/test-claims.sh: a disk of
 * zeros of 1 MiB that says every call on standard error.  Parameters: QUESTION=ANSWER for can_...,
 * is_rotational, get_size, and block_size=LEAST:PREFERRED:MOST; said=LINE|LINE with fail=CALL
 * (get_size or pread fails, and says these lines).  NBDKIT_CLAIMS_WITHOUT names functions that it
 * does not have. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/nbdkit/nbdkit-api.h"

struct nbdkit_plugin *plugin_init(void);
void nbdkit_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static struct answer {
    const char *question;
    int value;
} answers[] = { { "can_write", 1 },     { "can_flush", 1 },     { "can_trim", 1 },
                { "can_zero", 1 },      { "can_fast_zero", 1 }, { "can_extents", 1 },
                { "is_rotational", 0 }, { "can_fua", 1 },       { "can_cache", 2 },
                { "get_size", 1 << 20 } };
#define ANSWERS (sizeof answers / sizeof answers[0])

static unsigned least, preferred, most;
static char said[256];
static const char *failing = "";

static int answer_to(const char *question)
{
    for (size_t i = 0; i < ANSWERS; i++)
        if (strcmp(answers[i].question, question) == 0)
            return answers[i].value;
    abort();
}

static int config(const char *key, const char *value)
{
    for (size_t i = 0; i < ANSWERS; i++)
        if (strcmp(answers[i].question, key) == 0) {
            answers[i].value = (int)strtol(value, NULL, 10);
            return 0;
        }
    if (strcmp(key, "block_size") == 0) {
        char *end;

        least = (unsigned)strtoul(value, &end, 10);
        preferred = (unsigned)strtoul(end + 1, &end, 10);
        most = (unsigned)strtoul(end + 1, &end, 10);
        return 0;
    }
    if (strcmp(key, "said") == 0) {
        snprintf(said, sizeof said, "%s", value);
        for (char *at = said; *at != '\0'; at++)
            if (*at == '|')
                *at = '\n';
        return 0;
    }
    failing = value;
    return strcmp(key, "fail") == 0 ? 0 : -1;
}

static bool fails(const char *call)
{
    if (strcmp(failing, call) != 0)
        return false;
    if (said[0] != '\0')
        nbdkit_error("%s", said);
    return true;
}

/* ---- what it claims ---- */

#define QUESTION(name)            \
    static int name(void *handle) \
    {                             \
        (void)handle;             \
        return answer_to(#name);  \
    }
QUESTION(can_write)
QUESTION(can_flush)
QUESTION(can_trim)
QUESTION(can_zero)
QUESTION(can_fast_zero)
QUESTION(can_extents)
QUESTION(is_rotational)
QUESTION(can_fua)
QUESTION(can_cache)

static int64_t get_size(void *handle)
{
    (void)handle;
    return fails("get_size") ? -1 : answer_to("get_size");
}

static int block_size(void *handle, uint32_t *minimum, uint32_t *wanted, uint32_t *maximum)
{
    (void)handle;
    *minimum = least;
    *wanted = preferred;
    *maximum = most;
    return 0;
}

/* ---- what it does ---- */

static void *open_disk(int readonly)
{
    (void)readonly;
    return &failing;
}

static int pread_disk(void *handle, void *data, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    fprintf(stderr, "call: pread %u %llu %u\n", count, (unsigned long long)offset, flags);
    memset(data, 0, count);
    return fails("pread") ? -1 : 0;
}

static int pwrite_disk(void *handle, const void *data, uint32_t count, uint64_t offset,
                       uint32_t flags)
{
    (void)handle;
    (void)data;
    fprintf(stderr, "call: pwrite %u %llu %u\n", count, (unsigned long long)offset, flags);
    return 0;
}

static int flush_disk(void *handle, uint32_t flags)
{
    (void)handle;
    fprintf(stderr, "call: flush %u\n", flags);
    return 0;
}

#define CHANGE(name)                                                                               \
    static int name##_disk(void *handle, uint32_t count, uint64_t offset, uint32_t flags)          \
    {                                                                                              \
        (void)handle;                                                                              \
        fprintf(stderr, "call: " #name " %u %llu %u\n", count, (unsigned long long)offset, flags); \
        return 0;                                                                                  \
    }
CHANGE(trim)
CHANGE(zero)
CHANGE(cache)

static int extents_disk(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                        struct nbdkit_extents *extents)
{
    (void)handle;
    (void)count;
    (void)offset;
    (void)flags;
    (void)extents;
    return -1;
}

static bool has(const char *function)
{
    const char *without = getenv("NBDKIT_CLAIMS_WITHOUT");

    return without == NULL || strstr(without, function) == NULL;
}

struct nbdkit_plugin *plugin_init(void)
{
    static struct nbdkit_plugin plugin = {
        .struct_bytes = sizeof plugin - sizeof plugin.can_fua_1,
        .api_version = 2,
        .thread_model = NBDKIT_SERIALIZE_REQUESTS,
        .name = "claims",
        .config = config,
        .open = open_disk,
        .get_size = get_size,
        .block_size = block_size,
        .can_write = can_write,
        .can_flush = can_flush,
        .can_trim = can_trim,
        .can_zero = can_zero,
        .can_fast_zero = can_fast_zero,
        .can_extents = can_extents,
        .is_rotational = is_rotational,
        .can_fua = can_fua,
        .can_cache = can_cache,
        .pread = pread_disk,
    };

    plugin.pwrite = has("pwrite") ? pwrite_disk : NULL;
    plugin.flush = has("flush") ? flush_disk : NULL;
    plugin.trim = has("trim") ? trim_disk : NULL;
    plugin.zero = has("zero") ? zero_disk : NULL;
    plugin.cache = has("cache") ? cache_disk : NULL;
    plugin.extents = has("extents") ? extents_disk : NULL;
    if (!has("can_fua"))
        plugin.can_fua = NULL;
    if (!has("pread"))
        plugin.pread = NULL;
    return &plugin;
}
