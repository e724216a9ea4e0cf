/* A client of another export of the front, whose image is a file without faults: whatever the store
 * does, or who lies for it, and however many commands wait for it, this one is answered in time,
 * with what it has written, and keeps its connection. */
#ifndef NBDCRYPT_SIM_NEIGHBOUR_H
#define NBDCRYPT_SIM_NEIGHBOUR_H

void neighbour_begin(void);
void neighbour_end(void);

#endif
