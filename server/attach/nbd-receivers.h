/* The threads of the kernel that receive for one of its NBD devices: one for each connection.
 *
 * Where the kernel can't make threads at once, because it is busy or has little memory, the thread
 * that it keeps for such a time takes the work of several connections and does one after the other.
 * Receiving from a connection has no end: nobody receives from the others.  Replies stay unread
 * there, and requests wait until they time out.  Source: Linux, kernel/workqueue.c
 * (rescuer_thread) and drivers/block/nbd.c (nbd_start_device, recv_work).
 *
 * A thread is known by the name of the work that it does, which /proc shows to those who are in the
 * kernel's namespace of processes. */
#ifndef NBDCRYPT_NBD_RECEIVERS_H
#define NBDCRYPT_NBD_RECEIVERS_H

#include <stdbool.h>

enum nbd_receiver {
    NBD_RECEIVER_NO_THREAD, /* of the kernel: a process */
    NBD_RECEIVER_OTHER,     /* does something else */
    NBD_RECEIVER_WORKS,
};

/* What this line of /proc/PID/stat says; the call below goes by it. */
enum nbd_receiver nbd_receivers_parse(const char *line, unsigned index);

/* Waits until so many connections of nbd`index` are received from, for a short time.  False: some
 * are not.  True as well where none of the threads can be seen. */
bool nbd_receivers_await(unsigned index, unsigned count);

#endif
