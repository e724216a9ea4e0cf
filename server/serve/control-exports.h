/* The methods of the control socket that change exports, and who uses them. */
#ifndef NBDCRYPT_CONTROL_EXPORTS_H
#define NBDCRYPT_CONTROL_EXPORTS_H

#include "server/control/control-internal.h"
#include "server/serve/exports.h"

struct reload_config;

/* For struct control_host. */
extern const struct control_method control_export_methods[];

/* Before the first call: of which server, and what those that are added go on from. */
void control_export_use(struct exports *exports, struct reload_config *config);

#endif
