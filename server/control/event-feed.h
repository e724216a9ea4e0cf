/* Brings events (server/base/event.h) from all threads to one loop, in the order in which they came
 * there.  No more than EVENT_FEED_MAX wait; what comes beside them is counted and lost. */
#ifndef NBDCRYPT_EVENT_FEED_H
#define NBDCRYPT_EVENT_FEED_H

#include <json-c/json.h>

#include "server/loop/loop.h"

#define EVENT_FEED_MAX 1024u

/* On the loop: `event` is {"seq":..,"time":..,"type":..,...}, the callee's from then on.  `lost`:
 * so many were lost before it; NULL for `event`: these, and no more. */
typedef void event_feed_fn(void *context, struct json_object *event, uint64_t lost);

/* There is one feed in a process.  From now on events come. */
void event_feed_start(struct loop *loop, event_feed_fn *fn, void *context);
/* No other thread tells events any more, and the loop has ended. */
void event_feed_stop(void);
/* The number of the last event that was given out. */
uint64_t event_feed_seq(void);

#endif
