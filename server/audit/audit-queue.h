/* Records on their way from any thread to the one that writes them: bounded, without locks.  Each
 * class has room of its own, so that one can't take that of another. */
#ifndef NBDCRYPT_AUDIT_QUEUE_H
#define NBDCRYPT_AUDIT_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "server/base/event.h"

/* Who can cause such a record. */
enum audit_class {
    AUDIT_STRANGERS, /* anybody who can connect */
    AUDIT_CLIENTS,   /* who may attach an export */
    AUDIT_OPERATORS, /* who looks after the server, and the server itself */
    AUDIT_CLASSES
};

struct audit_item {
    struct audit_item *next;
    enum audit_class of;
    const char *type; /* a literal */
    uint64_t source;  /* log_source_of() its peer; 0: nobody's */
    struct timespec time;
    char details[]; /* audit_record_details() */
};

struct audit_queue {
    _Atomic(struct audit_item *) newest;
    atomic_uint waiting[AUDIT_CLASSES]; /* until audit_queue_free() */
    atomic_uint_fast64_t lost;
};

/* False: there was no room, which is counted.  Any thread. */
bool audit_queue_put(struct audit_queue *queue, enum audit_class of, const struct event *event);
bool audit_queue_has_room(const struct audit_queue *queue, enum audit_class of);
/* All that came, the oldest first; NULL: nothing did.  One thread. */
struct audit_item *audit_queue_take(struct audit_queue *queue);
void audit_queue_free(struct audit_queue *queue, struct audit_item *item);

#endif
