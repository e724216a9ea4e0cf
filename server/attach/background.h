/* A command that goes on in the background once it is ready: this program once more, with
 * --foreground, whose output is shown until then. */
#ifndef NBDCRYPT_BACKGROUND_H
#define NBDCRYPT_BACKGROUND_H

#include <stdbool.h>

#include "server/base/error.h"

/* Starts this command line again, behind its second word --foreground, and shows what it prints
 * until it is ready or has ended.  Who asks this process to end meanwhile asks that one, which is
 * waited for.  0: it is ready; more: it has failed and said so; -errno with a sentence. */
NODISCARD int background_start(struct error *err);

/* In that process: whether it is one. */
bool background_is_this(void);
/* From here on SIGHUP, which the caller catches, asks it to give up: who has started it is asked to
 * end, or has ended.  The terminal's other signals do not reach it. */
void background_begin(void);
/* It goes on, whatever becomes of that one: SIGHUP is ignored. */
void background_stay(void);
/* When all is printed: lets go of the terminal.  Messages go to the system's log from then on. */
void background_enter(void);

#endif
