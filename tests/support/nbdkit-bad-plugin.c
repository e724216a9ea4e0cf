/* A plugin of nbdkit that takes its host with it, for tests/nbdkit/test-plugin-ends-the-server.sh.
 * Parameters: how=exit, abort or crash, and then where=CALL. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/nbdkit/nbdkit-api.h"

struct nbdkit_plugin *plugin_init(void);

static const char *how = "", *where = "";

static void maybe(const char *call)
{
    static volatile uintptr_t nowhere = 16;

    if (strcmp(where, call) != 0)
        return;
    if (strcmp(how, "exit") == 0)
        exit(0);
    if (strcmp(how, "abort") == 0)
        abort();
    *(volatile int *)nowhere = 0;
}

static int config(const char *key, const char *value)
{
    if (strcmp(key, "how") == 0)
        how = value;
    else
        where = value;
    maybe("config");
    return 0;
}

static int config_complete(void)
{
    maybe("config_complete");
    return 0;
}

static int get_ready(void)
{
    maybe("get_ready");
    return 0;
}

static void *open_disk(int readonly)
{
    (void)readonly;
    maybe("open");
    return &how;
}

static int64_t get_size(void *handle)
{
    (void)handle;
    maybe("get_size");
    return 1 << 20;
}

static int pread_disk(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)offset;
    (void)flags;
    maybe("pread");
    memset(buffer, 0, count);
    return 0;
}

struct nbdkit_plugin *plugin_init(void)
{
    static struct nbdkit_plugin plugin = {
        .struct_bytes = sizeof plugin - sizeof plugin.can_fua_1,
        .api_version = 2,
        .thread_model = NBDKIT_PARALLEL,
        .name = "bad",
        .config = config,
        .config_complete = config_complete,
        .get_ready = get_ready,
        .open = open_disk,
        .get_size = get_size,
        .pread = pread_disk,
    };

    return &plugin;
}
