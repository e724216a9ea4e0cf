/* Verb of `nbdcrypt ctl`: what happens, as it happens. */
#ifndef NBDCRYPT_CTL_EVENTS_H
#define NBDCRYPT_CTL_EVENTS_H

#include "server/cli/ctl.h"

int ctl_events(struct ctl *ctl);

#endif
