/* The process that starts programs (server/base/spawner.h) may be killed: it is waited for, so that
 * it does not stay in the table of processes, it is replaced, and that is told.  Main thread. */
#ifndef NBDCRYPT_SPAWNER_END_H
#define NBDCRYPT_SPAWNER_END_H

#include "server/loop/offload.h"

struct spawner_end;

/* -ENOMEM.  `loop` must outlive it; *offload is there when the loop runs, and ends before it is
 * freed. */
NODISCARD int spawner_end_watch(struct spawner_end **out, struct loop *loop,
                                struct offload *const *offload, struct error *err);
/* The server ends, and so does that process.  NULL is fine. */
void spawner_end_stop(struct spawner_end *watch);
/* When the loop has ended. */
void spawner_end_free(struct spawner_end *watch);

#endif
