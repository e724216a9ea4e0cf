/* The limits that each client of an export has for itself, over all of its connections.  A client
 * is what peer_identity() tells of it.  Who went away owing something finds it again when he comes
 * back before it is paid for. */
#ifndef NBDCRYPT_LIMIT_CLIENTS_H
#define NBDCRYPT_LIMIT_CLIENTS_H

#include <pthread.h>

#include "server/export/limit-set.h"

#define LIMIT_CLIENTS_BUCKETS 64u

struct limit_client;

/* Zeroed at first: nobody is there, and there are no limits. */
struct limit_clients {
    pthread_mutex_t mutex; /* held while a client comes or goes, or the limits change: for a walk */
    struct limit_client *buckets[LIMIT_CLIENTS_BUCKETS];
    struct limit_terms terms; /* for each */
};

/* One more connection of that client; what it takes of from now on, until limit_clients_leave().
 * NULL: there is no memory. */
struct limit_set *limit_clients_enter(struct limit_clients *clients, const char *identity,
                                      uint64_t now_ns);
void limit_clients_leave(struct limit_clients *clients, struct limit_set *set, uint64_t now_ns);

/* Those who are there, and those who come. */
void limit_clients_use(struct limit_clients *clients, const struct limit_terms *terms,
                       uint64_t now_ns);
/* Nobody is there. */
void limit_clients_free(struct limit_clients *clients);

#endif
