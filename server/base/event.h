/* What happens to a server, for who follows it (nbdcrypt-ctl(1), events): told where it happens, by
 * any thread, without waiting for anybody.  Nobody follows: it costs a look at a pointer.
 *
 * This header is a leaf: crypto/, server/ and plugins/ may all include it. */
#ifndef NBDCRYPT_EVENT_H
#define NBDCRYPT_EVENT_H

#include <stdbool.h>
#include <stdint.h>

/* All but the type may be NULL or 0: there is none.  Nothing of it has to stay. */
struct event {
    const char *type;   /* "client.attached": a literal, its subject first */
    const char *export; /* its name */
    const char *peer;   /* "client 192.0.2.7:40312 (CN=vm7)", or the remote server */
    const char *reason; /* a sentence without its end */
    uint64_t size_bytes;

    /* For the audit log alone. */
    const char *identity; /* what TLS has proven */
    const char *what;     /* was asked for */
    const char *result;   /* "done", "refused", "failed", "asked" */
    uint64_t client;      /* its number in `nbdcrypt ctl clients` */
    bool local;           /* it came by a Unix socket, from: */
    uint32_t uid, pid;
    bool audit_only; /* it is told to nobody else */
};

struct event_sink {
    void (*put)(const struct event *event);
};

enum event_listener { EVENT_FEED, EVENT_AUDIT, EVENT_LISTENERS };

void event_tell(const struct event *event);
/* NULL: nobody follows.  Who takes a sink away knows that no thread is in it. */
void event_set_sink(enum event_listener listener, const struct event_sink *sink);

#define EVENT(...) event_tell(&(const struct event){ __VA_ARGS__ })

#endif
