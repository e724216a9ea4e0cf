/* Days in messages. */
#ifndef NBDCRYPT_DAY_TEXT_H
#define NBDCRYPT_DAY_TEXT_H

#include <time.h>

#define DAY_TEXT_BYTES 16u

/* Day of a time, in UTC: "2026-01-03". */
void day_text(time_t when, char day[DAY_TEXT_BYTES]);

#endif
