/* Settings of an export that outlive the configuration they were read from. */
#ifndef NBDCRYPT_KEPT_SETTINGS_H
#define NBDCRYPT_KEPT_SETTINGS_H

#include "server/export/export-settings.h"

/* A copy of all that they are and point to, with the demands that hold as its own; but the rules of
 * who may attach are taken over, unless it fails.  NULL: no memory. */
struct export_settings *kept_settings_create(struct export_settings *settings);
/* The same of what is given once for all exports, which has no name, no image and no rules that are
 * read.  NULL: no memory. */
struct export_settings *kept_settings_common(const struct export_settings *common);
void kept_settings_free(struct export_settings *kept);

#endif
