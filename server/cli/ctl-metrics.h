/* nbdcrypt ctl metrics. */
#ifndef NBDCRYPT_CTL_METRICS_H
#define NBDCRYPT_CTL_METRICS_H

#include "server/cli/ctl.h"

/* Prints them as they come; gives an exit status. */
int ctl_metrics(struct ctl *ctl);

#endif
