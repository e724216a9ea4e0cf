#include "server/audit/audit-queue.h"

#include <stdlib.h>
#include <string.h>

#include "server/audit/audit-record.h"
#include "server/base/log.h"

/* A start of 4,096 clients is one moment of many records. */
static const unsigned room[AUDIT_CLASSES] = {
    [AUDIT_STRANGERS] = 256,
    [AUDIT_CLIENTS] = 16384,
    [AUDIT_OPERATORS] = 4096,
};

static struct audit_item *make(enum audit_class of, const struct event *event)
{
    char details[AUDIT_DETAIL_BYTES];
    size_t bytes = audit_record_details(details, event) + 1;
    struct audit_item *item = malloc(sizeof *item + bytes);

    if (item == NULL)
        return NULL;
    item->of = of;
    item->type = event->type;
    item->source = event->peer != NULL ? log_source_of(event->peer) : 0;
    clock_gettime(CLOCK_REALTIME, &item->time);
    memcpy(item->details, details, bytes);
    return item;
}

bool audit_queue_has_room(const struct audit_queue *queue, enum audit_class of)
{
    return atomic_load(&queue->waiting[of]) < room[of];
}

bool audit_queue_put(struct audit_queue *queue, enum audit_class of, const struct event *event)
{
    bool fits = atomic_fetch_add(&queue->waiting[of], 1) < room[of];
    struct audit_item *item = fits ? make(of, event) : NULL;

    if (item == NULL) {
        atomic_fetch_sub(&queue->waiting[of], 1);
        atomic_fetch_add(&queue->lost, 1);
        return false;
    }
    item->next = atomic_load_explicit(&queue->newest, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&queue->newest, &item->next, item))
        continue;
    return true;
}

struct audit_item *audit_queue_take(struct audit_queue *queue)
{
    struct audit_item *newest = atomic_exchange(&queue->newest, NULL), *oldest = NULL;

    while (newest != NULL) {
        struct audit_item *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

void audit_queue_free(struct audit_queue *queue, struct audit_item *item)
{
    atomic_fetch_sub(&queue->waiting[item->of], 1);
    free(item);
}
