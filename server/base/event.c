#include "server/base/event.h"

#include <stdatomic.h>
#include <stddef.h>

#include "server/base/secret-text.h"

#define REASON_BYTES_MAX 1024u

static _Atomic(const struct event_sink *) sinks[EVENT_LISTENERS];

void event_set_sink(enum event_listener listener, const struct event_sink *sink)
{
    atomic_store_explicit(&sinks[listener], sink, memory_order_release);
}

/* A reason names what was asked for, and audit logs are kept for long. */
static void tell(const struct event_sink *sink, const struct event *event)
{
    char reason[REASON_BYTES_MAX];
    struct event masked = *event;

    if (event->reason != NULL) {
        secret_text_mask(reason, sizeof reason, event->reason);
        masked.reason = reason;
    }
    sink->put(&masked);
}

void event_tell(const struct event *event)
{
    for (int i = 0; i < EVENT_LISTENERS; i++) {
        const struct event_sink *sink = atomic_load_explicit(&sinks[i], memory_order_acquire);

        if (sink != NULL && (i == EVENT_AUDIT || !event->audit_only))
            tell(sink, event);
    }
}
