/* Whether what a configuration names is there: images and their LUKS headers, key sources,
 * certificates.  Nothing is locked, changed or unlocked. */
#ifndef NBDCRYPT_CONFIG_LOOK_H
#define NBDCRYPT_CONFIG_LOOK_H

#include <json-c/json.h>

#include "server/serve/serve-options.h"

/* Looks at all of it, and notes in options->files.problems what would keep an export from being
 * served, or clients from TLS; what is merely doubtful is logged as a warning.  headers[i], of
 * options->export_count, is what a header says (luks-describe.h), NULL where there is none; the
 * caller puts it.  Blocks. */
void config_look(struct serve_options *options, struct json_object **headers);

#endif
