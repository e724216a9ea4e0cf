/* Rules of --allow that nobody can match on the listeners that there are. */
#ifndef NBDCRYPT_DEAD_RULES_H
#define NBDCRYPT_DEAD_RULES_H

#include "server/serve/listeners.h"
#include "server/serve/serve-options.h"

/* Says so in the log, for each: such a rule is no danger, and not what was wanted. */
void dead_rules_warn(const struct serve_options *options, const struct listeners *listeners);

#endif
