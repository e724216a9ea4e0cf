/* Verbs of `nbdcrypt ctl` that change something and need little to say so. */
#ifndef NBDCRYPT_CTL_CHANGES_H
#define NBDCRYPT_CTL_CHANGES_H

#include "server/cli/ctl.h"

int ctl_log(struct ctl *ctl);
int ctl_disconnect(struct ctl *ctl);
int ctl_rescan(struct ctl *ctl);
int ctl_add(struct ctl *ctl);
int ctl_replace(struct ctl *ctl);
int ctl_remove(struct ctl *ctl);
/* Ends the server. */
int ctl_drain(struct ctl *ctl);

#endif
