/* Plugins that carry an interpreter: its library, which all copies of the plugin share, works once
 * in a process; a second plugin that starts it crashes or ends the process. */
#ifndef NBDCRYPT_NBDKIT_INTERPRETER_H
#define NBDCRYPT_NBDKIT_INTERPRETER_H

#include "server/base/error.h"

/* Takes the interpreter that this library (of dlopen()) needs, if it needs one, for the plugin of
 * this name, which stays until it is released.  -EBUSY with a sentence where another one has it.
 * Main thread. */
NODISCARD int nbdkit_interpreter_take(void *library, const char *name, struct error *err);
/* The plugin of this name (the same pointer) has been unloaded; it may have taken none. */
void nbdkit_interpreter_release(const char *name);

#endif
