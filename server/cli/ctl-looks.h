/* Verbs of `nbdcrypt ctl` that look, once: status, exports, clients, requests, show. */
#ifndef NBDCRYPT_CTL_LOOKS_H
#define NBDCRYPT_CTL_LOOKS_H

#include "server/cli/ctl.h"

int ctl_status(struct ctl *ctl);
int ctl_exports(struct ctl *ctl);
int ctl_clients(struct ctl *ctl);
int ctl_requests(struct ctl *ctl);
int ctl_show(struct ctl *ctl);

#endif
