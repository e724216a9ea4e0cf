/* nbdcrypt ctl report */
#ifndef NBDCRYPT_CTL_REPORT_H
#define NBDCRYPT_CTL_REPORT_H

#include "server/cli/ctl.h"

int ctl_report(struct ctl *ctl);

#endif
