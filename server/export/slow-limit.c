#include "server/export/slow-limit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
#define SLOW_MS_LEAST 50u
#define SLOW_MS_MOST 86400000u

int slow_limit_parse(uint64_t *out_ns, const char *text, struct error *err)
{
    char *unit;

    *out_ns = 0;
    if (text == NULL || strcmp(text, "off") == 0 || strcmp(text, "0") == 0)
        return 0;
    unsigned long long number =
        *text >= '0' && *text <= '9' && strlen(text) < 12 ? strtoull(text, &unit, 10) : 0;
    unsigned long long ms = number;
    if (number > 0 && strcmp(unit, "s") == 0)
        ms = number * 1000;
    else if (number > 0 && strcmp(unit, "ms") != 0)
        ms = 0;
    if (ms < SLOW_MS_LEAST || ms > SLOW_MS_MOST)
        return error_set(err, -EINVAL,
                         "slow-request: '%.40s' is no time from 50ms to 86400s: write a number "
                         "with ms or s behind it, such as 500ms, or off",
                         text);
    *out_ns = ms * NS_PER_MS;
    return 0;
}
