/* nbdcrypt attach --grow: a device that gets the size that its disk has now. */
#ifndef NBDCRYPT_ATTACH_GROW_H
#define NBDCRYPT_ATTACH_GROW_H

#include "server/attach/supervisor.h"

/* Of what is attached already, without `watch`.  1: it is larger now, and its record says so; 0: it
 * has that size.  -ESTALE: there is another disk now; -EINVAL: it is not known whether the
 * connections that there are reach what is new; -EBUSY: some of them are lost; or what dialing
 * gives. */
NODISCARD int attach_grow(struct supervisor *of, struct error *err);

#endif
