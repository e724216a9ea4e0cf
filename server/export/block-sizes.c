#include "server/export/block-sizes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "server/base/params.h"
#include "server/nbd/nbd-wire.h"

#define MIN_BYTES_MAX 65536u /* proto.md, "Block size constraints" */
#define PREFERRED_BYTES_LEAST 512u
#define TEXT_BYTES 96u

static bool is_power_of_two(uint64_t value)
{
    return value > 0 && (value & (value - 1)) == 0;
}

static int check(const uint64_t sizes[3], unsigned count, struct error *err)
{
    if (!is_power_of_two(sizes[0]) || sizes[0] > MIN_BYTES_MAX)
        return error_set(err, -EINVAL,
                         "block-size: the least block has to be a power of two, at most 64K");
    if (count > 1 && (!is_power_of_two(sizes[1]) || sizes[1] < PREFERRED_BYTES_LEAST ||
                      sizes[1] < sizes[0] || sizes[1] > NBD_PAYLOAD_BYTES_MAX))
        return error_set(err, -EINVAL,
                         "block-size: the preferred block has to be a power of two from 512 to "
                         "32M, and not less than the least one");
    if (count > 2 &&
        (sizes[2] < sizes[1] || sizes[2] % sizes[0] != 0 || sizes[2] > NBD_PAYLOAD_BYTES_MAX))
        return error_set(err, -EINVAL,
                         "block-size: the largest request has to be a multiple of the least "
                         "block, at most 32M, and not less than the preferred one");
    return 0;
}

int block_sizes_parse(struct block_sizes *out, const char *text, struct error *err)
{
    char copy[TEXT_BYTES], *rest = copy;
    uint64_t sizes[3] = { 0 };
    unsigned count = 0;
    int result = 0;

    *out = (struct block_sizes){ 0 };
    if (text == NULL)
        return 0;
    int length = snprintf(copy, sizeof copy, "%s", text);
    bool whole = length >= 0 && length < (int)sizeof copy;
    for (char *part; whole && result == 0 && (part = strsep(&rest, "/")) != NULL; count++) {
        if (count == 3)
            whole = false;
        else
            result = params_parse_size(&sizes[count], part, err);
    }
    if (!whole || result < 0)
        return error_set(err, -EINVAL,
                         "block-size: '%.40s' is not MIN[/PREFERRED[/MAX]], such as 4096 or "
                         "512/4K/1M",
                         text);
    result = check(sizes, count, err);
    if (result == 0)
        *out = (struct block_sizes){ (uint32_t)sizes[0], (uint32_t)sizes[1], (uint32_t)sizes[2] };
    return result;
}

int block_sizes_check(const struct block_sizes *sizes, uint64_t disk_bytes, struct error *err)
{
    if (sizes->min_bytes <= 1 || disk_bytes % sizes->min_bytes == 0)
        return 0;
    return error_set(err, -EINVAL,
                     "its %llu bytes are no multiple of the %u bytes of block-size, so that "
                     "clients could not reach the end: give a smaller one",
                     (unsigned long long)disk_bytes, sizes->min_bytes);
}
