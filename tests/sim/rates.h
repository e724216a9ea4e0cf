/* How fast clients of the disk may be, and whether they are not faster.  The time is virtual, so
 * that it can be said of each answer. */
#ifndef NBDCRYPT_SIM_RATES_H
#define NBDCRYPT_SIM_RATES_H

#include <stdbool.h>
#include <stdint.h>

struct nbd_request;

/* A second; 0: any number. */
struct rates {
    uint64_t iops, bytes, client_iops;
};

/* Those of the options, times that. */
struct rates rates_of(unsigned factor);
/* From now on these hold.  NULL: they may, or others: nothing is checked. */
void rates_hold(const struct rates *rates);
/* A command of that client, by what it has proven, was sent at that time and has been done. */
void rates_answered(unsigned identity, const struct nbd_request *request, uint64_t sent_ns);

#endif
