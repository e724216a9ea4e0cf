#include "server/base/event.h"

#include <stdatomic.h>
#include <stddef.h>

static _Atomic(const struct event_sink *) event_sink;

void event_set_sink(const struct event_sink *sink)
{
    atomic_store_explicit(&event_sink, sink, memory_order_release);
}

void event_tell(const struct event *event)
{
    const struct event_sink *sink = atomic_load_explicit(&event_sink, memory_order_acquire);

    if (sink != NULL)
        sink->put(event);
}
