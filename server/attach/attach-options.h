/* The options of `nbdcrypt attach`, which are also those of a line of nbdtab. */
#ifndef NBDCRYPT_ATTACH_OPTIONS_H
#define NBDCRYPT_ATTACH_OPTIONS_H

#include <stdbool.h>

#include "server/base/params.h"

struct attach_options {
    const char *name;   /* NULL: that of the export */
    const char *device; /* NULL: any that is free */
    const char *socket; /* the control socket of the local server */
    unsigned connections, timeout_seconds, dead_timeout_seconds, wait_seconds, block_bytes;
    bool read_only, tls_proxy;
    bool no_auto; /* of nbdtab: not at boot */

    /* Of the command line alone. */
    bool foreground, persist, grow, json, help;
};

extern const struct attach_options attach_options_default;
extern const struct param attach_params[];     /* of the command line */
extern const struct param attach_tab_params[]; /* of a line of nbdtab */

/* What contradicts itself, or is no value that there is. -EINVAL with a sentence. */
NODISCARD int attach_options_check(const struct attach_options *options, struct error *err);

#endif
