/* What is asked of the real loops, and what must come of it: each operation completes once, with
 * the result that the kernel gave it; each message arrives once, in the order in which its sender
 * sent it, and in time; each task runs once, in its batch; and at the end nothing is left. */
#ifndef NBDCRYPT_SIM_RING_WORK_H
#define NBDCRYPT_SIM_RING_WORK_H

/* A fiber: draws the settings, runs loops and who posts to them, and returns when all is done. */
void *ring_work(void *nothing);
/* What each loop waits for, on standard error. */
void ring_work_show(void);

#endif
