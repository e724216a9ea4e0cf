/* The last of an export that nobody uses any more: what clients wrote is made durable, it is closed
 * and freed.  Storage that hangs may take for ever, so each is closed on a thread of its own. */
#ifndef NBDCRYPT_EXPORT_CLOSING_H
#define NBDCRYPT_EXPORT_CLOSING_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "server/serve/export-retry.h"

/* Who knows of exports and is told that one goes. */
struct export_keepers {
    const struct board *board;
    struct export_opening *opening;
    struct export_retry *retry; /* NULL: none */
};

struct export_closing {
    struct export *export; /* NULL: it has not begun */
    struct export_settings *settings;
    void (*free_settings)(struct export_settings *settings);
    bool of_start; /* it is whoever declared it's to free */
    bool running;  /* on a thread that has not been joined */
    bool closed;   /* valid when that has ended; false: there was no memory for it */
    int code;      /* of the flush; valid when `closed` */
    struct error error;
    sem_t *wake; /* posted when `ended` */
    atomic_bool ended;
    pthread_t thread;
};

/* Does not block. */
void export_closing_begin(struct export_closing *closing, struct export *export,
                          const struct export_keepers *keepers, sem_t *wake);
bool export_closing_has_ended(const struct export_closing *closing);
/* Waits for it; 0 or why not all that clients wrote is durable, which was told.  `loop` is of this
 * thread. */
int export_closing_end(struct export_closing *closing, struct loop *loop);
/* After that. */
void export_closing_free(struct export_closing *closing);

/* Makes durable what clients of one that is not being closed wrote; a failure is told. */
NODISCARD int export_closing_flush(struct export *export, struct loop *loop);
/* All of it on this thread, but that nothing is made durable. */
void export_closing_now(struct export *export, const struct export_keepers *keepers);

#endif
