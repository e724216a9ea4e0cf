/* The options of `serve` that are about the control socket. */
#ifndef NBDCRYPT_CONTROL_OPTIONS_H
#define NBDCRYPT_CONTROL_OPTIONS_H

#include "server/base/params.h"
#include "server/control/control-rules.h"
#include "server/serve/listen-address.h"

/* --control and the options that begin with it. */
struct control_options {
    const char *socket;       /* a path, "none", or NULL: see serve_control_open() */
    const char *mode, *group; /* of the socket's file; NULL: 0660, that of the process */
    struct param_list view, operate, admin;
};

/* -EINVAL with a sentence for what makes no sense. */
NODISCARD int control_options_check(const struct control_options *options, struct error *err);

/* What they mean. */
NODISCARD int control_options_rules(struct control_rules *out,
                                    const struct control_options *options, struct error *err);
NODISCARD int control_options_permissions(struct unix_permissions *out,
                                          const struct control_options *options, struct error *err);

#endif
