/* Requests that take longer than their export allows (slow-request): they are told in the log when
 * they have, with whose fault it is so far, and once more when they have ended.  The last ones are
 * kept for who asks.
 *
 * The guard looks at the board; owners of requests know nothing of it.  So times are as exact as
 * its looks are frequent. */
#ifndef NBDCRYPT_SLOW_REQUESTS_H
#define NBDCRYPT_SLOW_REQUESTS_H

#include "server/board/board.h"

#define SLOW_REQUESTS_KEPT 64u
#define SLOW_REQUESTS_TOLD_A_SECOND 10u

struct slow_request {
    uint64_t number; /* they are counted from 1; 0: none */
    uint64_t client, export_id;
    char peer[BOARD_PEER_BYTES], export[BOARD_NAME_BYTES];
    enum board_op op;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint64_t start_ns;
    bool ended;
    /* How long it has taken or, of one that has ended, took; and of that: */
    uint64_t age_ns;
    uint64_t throttled_ns; /* a limit held it back */
    uint64_t backend_ns;   /* storage and the layers before it were at work */
    uint64_t crypto_ns;    /* of that, about as much as ciphers take for so many bytes */
    uint64_t client_ns; /* its payload was awaited, or memory for it, or its answer was on the way
                         */
};

/* One thread at a time: looks, and tells. */
void slow_requests_look(const struct board *board, uint64_t now_ns);
/* How often somebody should look; 0: no export has such a limit. */
uint64_t slow_requests_every_ns(const struct board *board);

/* Any thread: the last ones, the oldest first; how many. */
unsigned slow_requests_read(struct slow_request out[SLOW_REQUESTS_KEPT]);

#endif
