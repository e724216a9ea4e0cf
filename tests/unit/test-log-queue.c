/* Lines of several threads arrive whole, in the order of each thread; those without a place are
 * counted; nobody waits. */
#include "server/base/log-queue.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

#define WRITERS 4u
#define LINES 20000u

static struct log_queue queue;
static atomic_uint sent, writers_left = WRITERS;

static void *writer(void *number)
{
    for (unsigned i = 0; i < LINES; i++) {
        struct log_entry *entry = log_queue_reserve(&queue);

        if (entry == NULL)
            continue;
        entry->source = (uint64_t)(uintptr_t)number;
        snprintf(entry->text, sizeof entry->text, "%u %u", (unsigned)(uintptr_t)number, i);
        log_queue_publish(entry);
        atomic_fetch_add(&sent, 1);
    }
    atomic_fetch_sub(&writers_left, 1);
    return NULL;
}

/* Its number and line agree, and lines of a thread go up. */
static void check_line(const struct log_entry *entry, long last[])
{
    char *end;
    unsigned number = (unsigned)strtoul(entry->text, &end, 10);
    long line = strtol(end, NULL, 10);

    EXPECT(number == entry->source && number < WRITERS && line > last[number]);
    last[number] = line;
}

int main(void)
{
    long last[WRITERS] = { -1, -1, -1, -1 };
    pthread_t threads[WRITERS];
    unsigned received = 0;

    log_queue_init(&queue);
    for (unsigned i = 0; i < WRITERS; i++)
        EXPECT(pthread_create(&threads[i], NULL, writer, (void *)(uintptr_t)i) == 0);
    while (true) {
        bool last_look = atomic_load(&writers_left) == 0;
        struct log_entry *entry = log_queue_peek(&queue);

        if (entry != NULL) {
            check_line(entry, last);
            log_queue_pop(&queue);
            received++;
        } else if (last_look) {
            break;
        }
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT(received == atomic_load(&sent));
    EXPECT(received + log_queue_take_dropped(&queue) == WRITERS * LINES);

    /* Full, and nobody reads. */
    for (unsigned i = 0; i < LOG_QUEUE_PLACES; i++)
        EXPECT(log_queue_reserve(&queue) != NULL);
    EXPECT(log_queue_reserve(&queue) == NULL && log_queue_reserve(&queue) == NULL);
    EXPECT(log_queue_take_dropped(&queue) == 2);
    return 0;
}
