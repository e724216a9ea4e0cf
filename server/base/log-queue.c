#include "server/base/log-queue.h"

#include <stddef.h>

/* The turn of place p counts on: n is "free for the n-th line", n + 1 "holds the n-th line", and
 * the reader makes it n + LOG_QUEUE_PLACES, "free for the line that comes here next". */

void log_queue_init(struct log_queue *queue)
{
    for (unsigned i = 0; i < LOG_QUEUE_PLACES; i++)
        atomic_init(&queue->entries[i].turn, i);
    atomic_init(&queue->put, 0);
    atomic_init(&queue->dropped, 0);
    queue->taken = 0;
}

struct log_entry *log_queue_reserve(struct log_queue *queue)
{
    uint_fast64_t number = atomic_load_explicit(&queue->put, memory_order_relaxed);

    while (true) {
        struct log_entry *entry = &queue->entries[number % LOG_QUEUE_PLACES];
        uint_fast64_t turn = atomic_load_explicit(&entry->turn, memory_order_acquire);

        if (turn < number) { /* it still holds the line of one round before */
            atomic_fetch_add_explicit(&queue->dropped, 1, memory_order_relaxed);
            return NULL;
        }
        if (turn > number) /* somebody else was faster */
            number = atomic_load_explicit(&queue->put, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(&queue->put, &number, number + 1,
                                                       memory_order_relaxed, memory_order_relaxed))
            return entry;
    }
}

void log_queue_publish(struct log_entry *entry)
{
    atomic_fetch_add(&entry->turn, 1);
}

struct log_entry *log_queue_peek(struct log_queue *queue)
{
    struct log_entry *entry = &queue->entries[queue->taken % LOG_QUEUE_PLACES];

    if (atomic_load(&entry->turn) != queue->taken + 1)
        return NULL;
    return entry;
}

void log_queue_pop(struct log_queue *queue)
{
    struct log_entry *entry = &queue->entries[queue->taken % LOG_QUEUE_PLACES];

    atomic_store_explicit(&entry->turn, queue->taken + LOG_QUEUE_PLACES, memory_order_release);
    queue->taken++;
}

uint64_t log_queue_take_dropped(struct log_queue *queue)
{
    return atomic_exchange_explicit(&queue->dropped, 0, memory_order_relaxed);
}
