/* Sizes for people: see size-text.h. */
#include "server/base/size-text.h"

#include <inttypes.h>
#include <stdio.h>

struct size_text size_text(uint64_t bytes)
{
    static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    struct size_text out;
    unsigned unit = 0;
    uint64_t tenths;

    while (unit < 6 && bytes >> (10 * (unit + 1)) != 0)
        unit++;
    /* Of what is above the unit below, so that the product can't wrap. */
    tenths = unit == 0 ? 0 : (bytes >> (10 * (unit - 1))) * 10 / 1024;
    if (unit == 0)
        (void)snprintf(out.text, sizeof out.text, "%" PRIu64 " bytes", bytes);
    else if (tenths % 10 == 0)
        (void)snprintf(out.text, sizeof out.text, "%" PRIu64 " bytes (%" PRIu64 " %s)", bytes,
                       tenths / 10, units[unit]);
    else
        (void)snprintf(out.text, sizeof out.text, "%" PRIu64 " bytes (%" PRIu64 ".%" PRIu64 " %s)",
                       bytes, tenths / 10, tenths % 10, units[unit]);
    return out;
}
