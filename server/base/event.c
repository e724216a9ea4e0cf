#include "server/base/event.h"

#include <stdatomic.h>
#include <stddef.h>

static _Atomic(const struct event_sink *) sinks[EVENT_LISTENERS];

void event_set_sink(enum event_listener listener, const struct event_sink *sink)
{
    atomic_store_explicit(&sinks[listener], sink, memory_order_release);
}

void event_tell(const struct event *event)
{
    for (int i = 0; i < EVENT_LISTENERS; i++) {
        const struct event_sink *sink = atomic_load_explicit(&sinks[i], memory_order_acquire);

        if (sink != NULL && (i == EVENT_AUDIT || !event->audit_only))
            sink->put(event);
    }
}
