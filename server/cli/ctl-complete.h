/* What a running server has that can stand on a command line of `nbdcrypt ctl`, for completion. */
#ifndef NBDCRYPT_CTL_COMPLETE_H
#define NBDCRYPT_CTL_COMPLETE_H

#include "server/base/error.h"
#include "server/cli/command-line.h"

/* Prints what is called so: NAME (of an export), ID (of a client), NAMESPACE (of the export that is
 * the operand number `export_operand`), TYPE (of events).  False: nothing is known of that name.
 * The server is waited for, but not for long. */
bool ctl_complete(FILE *out, const char *name, const struct typing *typing, int export_operand);

/* Whether there are events of this type, or some whose types begin with it. */
bool ctl_type_is_known(const char *type);
/* -EINVAL with the types that there are. */
NODISCARD int ctl_type_tell(const char *type, struct error *err);

#endif
