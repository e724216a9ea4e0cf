/* The block devices of the kernel's NBD client, as sysfs and /dev show them. */
#ifndef NBDCRYPT_NBD_DEVICE_H
#define NBDCRYPT_NBD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/error.h"

#define NBD_DEVICE_INDEX_MAX 1048575u /* minors have 20 bits */
#define NBD_ATTACHER_BYTES 16u
#define NBD_BACKEND_BYTES 4400u /* "NAME UUID" */

/* "nbd3", "/dev/nbd3" or a link to that. -EINVAL with a sentence. */
NODISCARD int nbd_device_parse(unsigned *index, const char *text, struct error *err);

/* The kernel has sockets for it. */
bool nbd_device_is_attached(unsigned index);
/* The process that attached it, as sysfs has it; "": it is not attached.  It tells one who was
 * attached from the next one of the same number. */
void nbd_device_attacher(char out[NBD_ATTACHER_BYTES], unsigned index);
/* What it was attached with (NBD_ATTR_BACKEND_IDENTIFIER); "": nothing, or not attached. */
void nbd_device_backend(char out[NBD_BACKEND_BYTES], unsigned index);
uint64_t nbd_device_size_bytes(unsigned index);
bool nbd_device_is_read_only(unsigned index);

/* Calls `visit` with the index of each device that is attached, in no order, until it returns other
 * than 0, and returns that. */
int nbd_device_each(int (*visit)(void *context, unsigned index), void *context);

/* Tells udev to look at it again. */
void nbd_device_announce(unsigned index);

#endif
