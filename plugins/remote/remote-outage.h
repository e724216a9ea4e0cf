/* The time in which a server does not answer: since when, when to connect again, and what was told.
 *
 *     begin ... [dial_failed, a pause that grows] ... connected ... answered
 *
 * Bookkeeping alone: the caller says what happens, and what time it is (channel_clock_ms()). */
#ifndef NBDCRYPT_REMOTE_OUTAGE_H
#define NBDCRYPT_REMOTE_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed at first. */
struct remote_outage {
    uint64_t since_ms;   /* 0: there is none */
    uint64_t dial_at_ms; /* not before that */
    unsigned pause_ms;   /* before the next dial but one */
    bool failure_told;   /* why connecting failed */
    bool down;           /* requests fail at once */
};

/* Requests wait from now on, unless they do already. */
void remote_outage_begin(struct remote_outage *outage, uint64_t now_ms);
/* A request was answered: it is over. */
void remote_outage_answered(struct remote_outage *outage);
/* There is a connection again.  With requests that wait it is over only when one is answered. */
void remote_outage_connected(struct remote_outage *outage, bool requests_wait);

/* Whether requests have waited for as long as they were told to. */
bool remote_outage_is_too_long(const struct remote_outage *outage, unsigned retry_ms,
                               uint64_t now_ms);
/* Requests fail until there is a connection again.  Whether that is new. */
bool remote_outage_give_up(struct remote_outage *outage);

/* When to connect: at once when the last connection was of use, else after a pause that grows. */
void remote_outage_plan_dial(struct remote_outage *outage, uint64_t now_ms);
bool remote_outage_dial_is_due(const struct remote_outage *outage, uint64_t now_ms);
/* Connecting has failed: whether that is to be told, which it is once. */
bool remote_outage_tell_failure(struct remote_outage *outage);

#endif
