/* Groups of limits as metrics. */
#ifndef NBDCRYPT_METRICS_GROUPS_H
#define NBDCRYPT_METRICS_GROUPS_H

#include "server/metrics/metrics-text.h"

void metrics_put_groups(struct metrics_text *text);

#endif
