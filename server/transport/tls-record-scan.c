#include "server/transport/tls-record-scan.h"

#include <stdbool.h>

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* RFC 8446, 5.1: a type, two bytes of version, two of length. */
uint32_t tls_record_scan_whole(const uint8_t *bytes, uint32_t count, uint32_t capacity_bytes,
                               uint32_t *left_bytes)
{
    uint32_t used = smaller(count, *left_bytes);

    *left_bytes -= used;
    while (count - used >= 5 && *left_bytes == 0) {
        const uint8_t *header = bytes + used;
        uint32_t length_bytes = 5 + ((uint32_t)header[3] << 8 | header[4]);

        if (length_bytes > count - used && (used > 0 || length_bytes <= capacity_bytes))
            break;
        *left_bytes = length_bytes - smaller(length_bytes, count - used);
        used += smaller(length_bytes, count - used);
    }
    bool no_record = used == 0 && count > 0 && (bytes[0] < 20 || bytes[0] > 23);
    return no_record ? count : used;
}
