/* A command that goes on in the background once it is ready: this program once more, with
 * --foreground, whose output is shown until then. */
#ifndef NBDCRYPT_BACKGROUND_H
#define NBDCRYPT_BACKGROUND_H

#include <stdbool.h>

#include "server/base/error.h"

/* Starts this command line again, behind its second word --foreground, and shows what it prints
 * until it is ready or has ended.  0: it is ready; more: it has failed and said so; -errno with a
 * sentence. */
NODISCARD int background_start(struct error *err);

/* In that process: whether it is one.  When all is printed background_enter() lets go of the
 * terminal: messages go to the system's log from then on. */
bool background_is_this(void);
void background_enter(void);

#endif
