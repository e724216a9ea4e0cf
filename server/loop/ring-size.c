#include "server/loop/ring-size.h"

#include <linux/capability.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRY_BYTES 132u /* of a ring: one to submit, and four completions */
#define SERVERS_OF_A_USER 64u
#define LOCKED_BYTES_PLENTY (4ull << 30)

static bool locked_memory_is_bounded(uint64_t *bytes)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
    struct rlimit limit;

    if (syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1u << CAP_IPC_LOCK)) != 0)
        return false;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur >= LOCKED_BYTES_PLENTY)
        return false;
    *bytes = limit.rlim_cur;
    return true;
}

bool ring_size_is_bounded(void)
{
    uint64_t bytes;

    return locked_memory_is_bounded(&bytes);
}

unsigned ring_size_fair(unsigned entries, unsigned others)
{
    uint64_t bytes;

    if (!locked_memory_is_bounded(&bytes))
        return entries;
    while (entries > RING_SIZE_MIN &&
           entries * ENTRY_BYTES > bytes / SERVERS_OF_A_USER / (others + 2))
        entries /= 2;
    return entries;
}
