/* nbdcrypt ctl key: keys of an export are added, changed and removed while it is served. */
#ifndef NBDCRYPT_CTL_KEY_H
#define NBDCRYPT_CTL_KEY_H

#include "server/cli/ctl.h"

/* -EINVAL: what the options say of keys can't be. */
NODISCARD int ctl_key_check(const struct ctl_options *options, const char *verb, struct error *err);
int ctl_key(struct ctl *ctl);

#endif
