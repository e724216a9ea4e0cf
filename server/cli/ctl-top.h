/* nbdcrypt ctl top: what exports do now, again and again. */
#ifndef NBDCRYPT_CTL_TOP_H
#define NBDCRYPT_CTL_TOP_H

#include "server/cli/ctl.h"

/* Until interrupted, or q; --batch: one table after the other, --count of them. */
int ctl_top(struct ctl *ctl);

#endif
