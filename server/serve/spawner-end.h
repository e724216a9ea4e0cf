/* The process that starts programs (server/base/spawner.h) may be killed: it is waited for, so that
 * it does not stay in the table of processes, and that is told.  Another one is started when it is
 * needed.  Main thread. */
#ifndef NBDCRYPT_SPAWNER_END_H
#define NBDCRYPT_SPAWNER_END_H

#include "server/loop/loop.h"

struct spawner_end;

/* -ENOMEM.  `loop` must outlive it. */
NODISCARD int spawner_end_watch(struct spawner_end **out, struct loop *loop, struct error *err);
/* The server ends, and so does that process.  NULL is fine. */
void spawner_end_stop(struct spawner_end *watch);
/* When the loop has ended. */
void spawner_end_free(struct spawner_end *watch);

#endif
