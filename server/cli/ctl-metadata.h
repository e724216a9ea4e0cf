/* nbdcrypt ctl metadata: what applications recorded of a disk. */
#ifndef NBDCRYPT_CTL_METADATA_H
#define NBDCRYPT_CTL_METADATA_H

#include "server/cli/ctl.h"

/* get, set or remove, by its operand. */
int ctl_metadata(struct ctl *ctl);

#endif
