/* `serve --user`: root opens what only root may, and somebody else serves it. */
#ifndef NBDCRYPT_SERVE_USER_H
#define NBDCRYPT_SERVE_USER_H

#include "server/serve/serve-params.h"

/* When all is open that needs root, and there are no workers yet: this process and the one that
 * starts programs become the user, to whom the control socket and the folder of --run belong from
 * then on.  Without --user nothing happens. */
NODISCARD int serve_user_become(const struct serve_options *options, const char *private_directory,
                                const char *control_path, struct error *err);

#endif
