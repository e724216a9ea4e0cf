/* What is known of a device that is attached, in /run/nbdcrypt-attach: for `attached` and `detach`,
 * for udev (NBDCRYPT_NAME and others in its rules), and for a supervisor that takes over.  There is
 * one file for a device, NBDn, and a lock beside it, which its supervisor has. */
#ifndef NBDCRYPT_ATTACH_RECORD_H
#define NBDCRYPT_ATTACH_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/attach/nbd-device.h"
#include "server/base/error.h"
#include "server/client/client-handshake.h"

#define ATTACH_RECORD_TEXT_BYTES 2049u /* ATTACH_TEXT_BYTES_MAX and a NUL */
#define ATTACH_LINK_BYTES 256u

struct attach_record {
    char name[ATTACH_RECORD_TEXT_BYTES];
    char source[ATTACH_RECORD_TEXT_BYTES]; /* as it was given: a URI or the name of an export */
    char uuid[CLIENT_UUID_BYTES];          /* "": the server does not tell */
    char link[ATTACH_LINK_BYTES];          /* below /dev/disk/by-nbd */
    uint64_t size_bytes;
    unsigned flags; /* NBD_FLAG_* that it was attached with */
    unsigned connections, dead;
    unsigned timeout_seconds, dead_timeout_seconds;
};

/* What `name` is called below /dev/disk/by-nbd: as udev does, \x and two digits for other
 * characters than letters, digits and "#+-.:=@_"; cut where it is too long. */
void attach_record_link(char link[ATTACH_LINK_BYTES], const char *name);

/* -ENOENT: there is none. */
NODISCARD int attach_record_read(struct attach_record *out, unsigned index, struct error *err);
/* In the place of what was there. */
NODISCARD int attach_record_write(const struct attach_record *record, unsigned index,
                                  struct error *err);
void attach_record_remove(unsigned index);

/* "NAME UUID": what the kernel wants to hear with each new socket (NBD_ATTR_BACKEND_IDENTIFIER). */
void attach_record_backend(char out[NBD_BACKEND_BYTES], const struct attach_record *record);
/* The device is the one that the record is of, and not somebody else's of the same number. */
bool attach_record_is_of(const struct attach_record *record, unsigned index);

/* The device that is attached under a name. -ENOENT: none. */
NODISCARD int attach_record_find(unsigned *index, struct attach_record *out, const char *name);

/* One that was attached as what the record says, and of which nothing was written down: who did it
 * was killed in between.  -ENOENT: none. */
NODISCARD int attach_record_find_lost(unsigned *index, const struct attach_record *record);

/* Held by who attaches something under this name, and waited for: the descriptor.  -EINTR: a signal
 * came meanwhile. */
NODISCARD int attach_record_lock_name(const char *name, struct error *err);

/* The same for who writes to nbdtab. */
NODISCARD int attach_record_lock_tab(struct error *err);

/* Only one supervisor has it; the descriptor, which is held as long as it lives.  -EBUSY: another
 * one has. */
NODISCARD int attach_record_lock(unsigned index, struct error *err);
/* The same without waiting, for who has it for a moment. -EBUSY: another one has it. */
NODISCARD int attach_record_try_lock(unsigned index);
/* The process that has; 0: none.  -EACCES: the caller may not know. */
pid_t attach_record_supervisor(unsigned index);

#endif
