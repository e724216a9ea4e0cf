/* The life and death of the server: the fiber whose end is that of the simulation. */
#ifndef NBDCRYPT_SIM_OPERATOR_H
#define NBDCRYPT_SIM_OPERATOR_H

void *operator_work(void *nothing);

#endif
