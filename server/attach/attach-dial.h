/* A connection for the kernel: the handshake is done here, and what follows is the kernel's. */
#ifndef NBDCRYPT_ATTACH_DIAL_H
#define NBDCRYPT_ATTACH_DIAL_H

#include <stdatomic.h>

#include "server/attach/attach-target.h"
#include "server/client/client-handshake.h"

/* *fd: a socket on which the commands may begin.  -errno with a sentence; *stop ends it with
 * -ECANCELED. */
NODISCARD int attach_dial(int *fd, struct export_info *info, const struct attach_target *target,
                          const atomic_bool *stop, struct error *err);

/* Which disk the export is (client_handshake_uuid()), by a connection of its own.  Whoever asks
 * this while he has others to the export knows it of them: a server that exchanges the disk ends
 * them. */
NODISCARD int attach_dial_uuid(char uuid[CLIENT_UUID_BYTES], const struct attach_target *target,
                               const atomic_bool *stop, struct error *err);

#endif
