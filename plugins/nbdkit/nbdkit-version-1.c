#include "plugins/nbdkit/nbdkit-version-1.h"

#include <stddef.h>

#include "plugins/nbdkit/nbdkit-host.h"

static int pread_without_flags(void *handle, void *data, uint32_t count, uint64_t offset,
                               uint32_t flags)
{
    (void)flags;
    return nbdkit_host_plugin()->pread_1(handle, data, count, offset);
}

static int pwrite_without_flags(void *handle, const void *data, uint32_t count, uint64_t offset,
                                uint32_t flags)
{
    (void)flags;
    return nbdkit_host_plugin()->pwrite_1(handle, data, count, offset);
}

static int flush_without_flags(void *handle, uint32_t flags)
{
    (void)flags;
    return nbdkit_host_plugin()->flush_1(handle);
}

static int trim_without_flags(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)flags;
    return nbdkit_host_plugin()->trim_1(handle, count, offset);
}

static int zero_without_flags(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    return nbdkit_host_plugin()->zero_1(handle, count, offset, (flags & NBDKIT_FLAG_MAY_TRIM) != 0);
}

static int can_fua_by_flush(void *handle)
{
    int fua = nbdkit_host_plugin()->can_fua_1(handle);

    return fua > NBDKIT_EMULATE ? NBDKIT_EMULATE : fua;
}

void nbdkit_version_1_adapt(struct nbdkit_plugin *plugin)
{
    plugin->pread = plugin->pread_1 != NULL ? pread_without_flags : NULL;
    plugin->pwrite = plugin->pwrite_1 != NULL ? pwrite_without_flags : NULL;
    plugin->flush = plugin->flush_1 != NULL ? flush_without_flags : NULL;
    plugin->trim = plugin->trim_1 != NULL ? trim_without_flags : NULL;
    plugin->zero = plugin->zero_1 != NULL ? zero_without_flags : NULL;
    plugin->can_fua_1 = plugin->can_fua;
    plugin->can_fua = plugin->can_fua != NULL ? can_fua_by_flush : NULL;
    plugin->can_fast_zero = NULL;
}
