/* Who uses a block device of the kernel's NBD client, before it is taken away. */
#ifndef NBDCRYPT_NBD_DEVICE_USE_H
#define NBDCRYPT_NBD_DEVICE_USE_H

#include "server/base/error.h"

/* 0: nobody, as far as can be seen from here; -EBUSY with a sentence that names who. */
NODISCARD int nbd_device_use(unsigned index, struct error *err);

#endif
