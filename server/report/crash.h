/* Signals that end the process because of a fault: a report is written before.  The first thread to
 * crash writes it; others that do meanwhile wait for the end.  A handler takes no lock and no
 * memory, and has a stack of its own (threads.h), so that it also works when that is full. */
#ifndef NBDCRYPT_CRASH_H
#define NBDCRYPT_CRASH_H

/* From now on; once is enough, more does no harm.  Without a maker of reports there is only what
 * crash_explain() says. */
void crash_watch(void);

/* Called first, on the thread that crashed: writes to standard error what it knows of it.  Safe in
 * a handler. */
void crash_explain(void (*explain)(void));

#endif
