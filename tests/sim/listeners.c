/* The sockets that a server listens on: there are none, clients come by server_connect(). */
#include <stddef.h>

#include "tests/sim/wrap.h"

int __wrap_listeners_prepare(struct listeners_change **out, const struct listeners *listeners,
                             const struct serve_options *next, struct error *err)
{
    (void)listeners;
    (void)next;
    (void)err;
    *out = NULL;
    return 0;
}

void __wrap_listeners_coming(struct listeners *listeners, struct listeners_change *change)
{
    (void)listeners;
    (void)change;
}

void __wrap_listeners_commit(struct listeners *listeners)
{
    (void)listeners;
}
