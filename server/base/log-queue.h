/* Lines on their way from any thread to the one that writes them. A bounded queue of fixed places,
 * one reader, without locks: who has no place drops the line and counts it (D. Vyukov, "Bounded
 * MPMC queue", https://www.1024cores.net/home/lock-free-algorithms/queues/bounded-mpmc-queue). */
#ifndef NBDCRYPT_LOG_QUEUE_H
#define NBDCRYPT_LOG_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "server/base/log.h"

#define LOG_QUEUE_PLACES 256u /* a power of two */
#define LOG_TEXT_BYTES 4096u  /* with the NUL; what is longer is cut, and says so */

struct log_entry {
    atomic_uint_fast64_t turn; /* whose turn the place is: see log-queue.c */
    enum log_level level;
    const char *kind;     /* the format, which tells kinds of messages apart; stays valid */
    uint64_t source;      /* of log_source_of(); 0: nobody's, and not limited */
    struct timespec time; /* CLOCK_REALTIME */
    char text[LOG_TEXT_BYTES];
    char fields[LOG_FIELDS_BYTES]; /* of log_about_fields() */
};

struct log_queue {
    struct log_entry entries[LOG_QUEUE_PLACES];
    atomic_uint_fast64_t put; /* places taken so far */
    uint64_t taken;           /* the reader's */
    atomic_uint_fast64_t dropped;
};

void log_queue_init(struct log_queue *queue);
/* A place to fill, for log_queue_publish(); NULL: there is none, which is counted. Any thread. */
struct log_entry *log_queue_reserve(struct log_queue *queue);
/* Sequentially consistent, as is the look of log_queue_peek(): who sleeps when there is nothing,
 * and who wakes him, can't miss each other. */
void log_queue_publish(struct log_entry *entry);
/* The oldest line, until log_queue_pop(); NULL: there is none. The reader. */
struct log_entry *log_queue_peek(struct log_queue *queue);
void log_queue_pop(struct log_queue *queue);
/* How many lines were dropped since it was asked last. */
uint64_t log_queue_take_dropped(struct log_queue *queue);

#endif
