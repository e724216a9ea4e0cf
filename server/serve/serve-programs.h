/* Which programs the process beside this one may start, once there are clients (spawner_seal()). */
#ifndef NBDCRYPT_SERVE_PROGRAMS_H
#define NBDCRYPT_SERVE_PROGRAMS_H

#include "server/serve/serve-options.h"

/* On the main thread, when the sandbox has been entered, and nothing of others has been read.
 * `controlled`: exports may come by a control socket. */
NODISCARD int serve_programs_seal(const struct serve_options *options, bool controlled,
                                  struct error *err);
/* Whether the key-command of an export that comes later can be started: -EPERM with a sentence. */
NODISCARD int serve_programs_check(const struct export_settings *settings, struct error *err);

#endif
