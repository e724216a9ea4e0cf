/* nbdcrypt ctl reload: the configuration is read again. */
#ifndef NBDCRYPT_CTL_RELOAD_H
#define NBDCRYPT_CTL_RELOAD_H

#include "server/cli/ctl.h"

int ctl_reload(struct ctl *ctl);

#endif
