/* nbdcrypt ctl suspend and resume: the key of an export goes for a time. */
#ifndef NBDCRYPT_CTL_SUSPEND_H
#define NBDCRYPT_CTL_SUSPEND_H

#include "server/cli/ctl.h"

int ctl_suspend(struct ctl *ctl);
int ctl_resume(struct ctl *ctl);

#endif
