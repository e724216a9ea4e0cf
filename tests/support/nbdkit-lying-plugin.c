/* A plugin of nbdkit that breaks the rules of its interface without harm to itself, for
 * tests/nbdkit/test-plugin-that-lies.sh.  Parameter: error=NUMBER, with which each read fails.  It
 * has more extents than fit into an answer: even KiB are data, odd ones are holes. */
#include <stdint.h>
#include <stdlib.h>

#include "plugins/nbdkit/nbdkit-api.h"

#define KIB 1024u
#define DISK_BYTES (16u << 20)

#define EXTENT_HOLE (1u << 0)
#define EXTENT_ZERO (1u << 1)

/* Of the host. */
void nbdkit_set_error(int code);
int nbdkit_add_extent(struct nbdkit_extents *extents, uint64_t offset_bytes, uint64_t length_bytes,
                      uint32_t type);

struct nbdkit_plugin *plugin_init(void);

static int error_number;

static int config(const char *key, const char *value)
{
    (void)key;
    error_number = (int)strtol(value, NULL, 10);
    return 0;
}

static void *open_disk(int readonly)
{
    (void)readonly;
    return &error_number;
}

static int64_t get_size(void *handle)
{
    (void)handle;
    return DISK_BYTES;
}

static int pread_disk(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)flags;
    if (error_number != 0) {
        nbdkit_set_error(error_number);
        return -1;
    }
    for (uint32_t i = 0; i < count; i++)
        ((uint8_t *)buffer)[i] = (offset + i) / KIB % 2 ? 0 : 'd';
    return 0;
}

static int extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                   struct nbdkit_extents *list)
{
    (void)handle;
    (void)flags;
    for (uint64_t at = offset / KIB * KIB; at < offset + count; at += KIB) {
        uint32_t type = at / KIB % 2 ? EXTENT_HOLE | EXTENT_ZERO : 0;

        if (nbdkit_add_extent(list, at, KIB, type) < 0)
            return -1;
    }
    return 0;
}

struct nbdkit_plugin *plugin_init(void)
{
    static struct nbdkit_plugin plugin = {
        .struct_bytes = sizeof plugin - sizeof plugin.can_fua_1,
        .api_version = 2,
        .thread_model = NBDKIT_PARALLEL,
        .name = "lying",
        .config = config,
        .open = open_disk,
        .get_size = get_size,
        .pread = pread_disk,
        .extents = extents,
    };

    return &plugin;
}
