/* Exports that could not be opened at the start are tried again from time to time, on a thread of
 * their own, and published when they come.  Not those whose key can be had only once, nor those of
 * backends that open in order. */
#ifndef NBDCRYPT_EXPORT_RETRY_H
#define NBDCRYPT_EXPORT_RETRY_H

#include "server/serve/export-opening.h"

struct export_retry;

/* *out is NULL when there is nothing to try.  `opening` and what it points to must outlive it. */
NODISCARD int export_retry_start(struct export_retry **out, const struct export_opening *opening,
                                 unsigned every_seconds, struct error *err);

/* Export number `index` goes: it is not tried again.  Any thread; NULL: nobody tries any. */
void export_retry_forget(struct export_retry *retry, const struct export_opening *opening,
                         size_t index);

/* Nothing is published from here on; does not block; NULL is fine.  False: one is being opened,
 * which can't be interrupted, so that the process has to leave its thread behind. */
NODISCARD bool export_retry_stop(struct export_retry *retry);
/* After that, and when nobody calls export_retry_forget() any more. */
void export_retry_free(struct export_retry *retry);

#endif
