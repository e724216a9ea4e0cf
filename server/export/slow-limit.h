/* How long a request may take before it is told of: the option slow-request. */
#ifndef NBDCRYPT_SLOW_LIMIT_H
#define NBDCRYPT_SLOW_LIMIT_H

#include <stdint.h>

#include "server/base/error.h"

/* "500ms", "2s"; 0 for NULL, "off" and "0".  -EINVAL with a sentence. */
NODISCARD int slow_limit_parse(uint64_t *out_ns, const char *text, struct error *err);

#endif
