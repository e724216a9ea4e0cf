/* The sandbox of a server that is started: what its configuration means for it. */
#ifndef NBDCRYPT_SERVE_SANDBOX_H
#define NBDCRYPT_SERVE_SANDBOX_H

#include "server/serve/captive.h"
#include "server/serve/serve-control.h"
#include "server/serve/serve-params.h"

/* First of all: what is outside of it is started, because it has none of what this process does
 * from then on; and loops are made for it. */
NODISCARD int serve_sandbox_prepare(const struct serve_options *options, struct captive *captive,
                                    struct error *err);
/* When there are sockets, and not yet threads.  `private_directory` is removed at the end; "" or a
 * folder.  `control`: NULL: there is no control socket. */
NODISCARD int serve_sandbox_enter(const struct serve_options *options,
                                  const char *private_directory,
                                  const struct serve_control *control, struct error *err);

#endif
