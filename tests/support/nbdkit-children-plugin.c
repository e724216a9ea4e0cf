/* A plugin of nbdkit that starts a shell, for tests/nbdkit/test-children.sh.  Parameters:
 * run=COMMAND and then when=CALL (config, open or pread): the call waits for the command; how=exit
 * ends the process, and how=fail the call, after it. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/nbdkit/nbdkit-api.h"

struct nbdkit_plugin *plugin_init(void);

static const char *command = "", *when = "", *how = "";

/* False: the call is to fail. */
static bool run_in(const char *call)
{
    if (strcmp(when, call) != 0)
        return true;
    if (system(command) != 0)
        return false;
    if (strcmp(how, "exit") == 0)
        exit(0);
    return strcmp(how, "fail") != 0;
}

static int config(const char *key, const char *value)
{
    if (strcmp(key, "how") == 0)
        how = value;
    else if (strcmp(key, "run") == 0)
        command = value;
    else
        when = value;
    return run_in("config") ? 0 : -1;
}

static void *open_disk(int readonly)
{
    (void)readonly;
    return run_in("open") ? &command : NULL;
}

static int64_t get_size(void *handle)
{
    (void)handle;
    return 1 << 20;
}

static int pread_disk(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)offset;
    (void)flags;
    memset(buffer, 0, count);
    return run_in("pread") ? 0 : -1;
}

struct nbdkit_plugin *plugin_init(void)
{
    static struct nbdkit_plugin plugin = {
        .struct_bytes = sizeof plugin - sizeof plugin.can_fua_1,
        .api_version = 2,
        .thread_model = NBDKIT_PARALLEL,
        .name = "children",
        .config = config,
        .open = open_disk,
        .get_size = get_size,
        .pread = pread_disk,
    };

    return &plugin;
}
