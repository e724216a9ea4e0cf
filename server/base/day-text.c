#include "server/base/day-text.h"

#include <stdio.h>

void day_text(time_t when, char day[DAY_TEXT_BYTES])
{
    struct tm utc;

    if (when == (time_t)-1 || gmtime_r(&when, &utc) == NULL ||
        strftime(day, DAY_TEXT_BYTES, "%Y-%m-%d", &utc) == 0)
        snprintf(day, DAY_TEXT_BYTES, "?");
}
