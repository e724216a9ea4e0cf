/* What `nbdcrypt check --running` asks the server. */
#ifndef NBDCRYPT_CHECK_RUNNING_H
#define NBDCRYPT_CHECK_RUNNING_H

#include <json-c/json.h>

#include "server/base/error.h"

/* What a reload would change, as Reload of org.nbdcrypt.varlink answers a dry run: by the server
 * itself, so by its user and with what it sees.  `socket` as of control-client.h.  On failure, with
 * a sentence, *out is NULL; otherwise the caller's to put. */
NODISCARD int check_running(struct json_object **out, const char *socket, struct error *err);

#endif
