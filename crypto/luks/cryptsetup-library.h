/* libcryptsetup on a memfd: one context of it, with what it logs. */
#ifndef NBDCRYPT_CRYPTSETUP_LIBRARY_H
#define NBDCRYPT_CRYPTSETUP_LIBRARY_H

#include <libcryptsetup.h>

#include "crypto/luks/luks-types.h"

/* An anonymous file, sparse.  When a file of `size_bytes` is not possible here, one of
 * `least_bytes` is made. */
NODISCARD int cryptsetup_image_create(int *fd, uint64_t size_bytes, uint64_t least_bytes,
                                      struct error *err);
NODISCARD int cryptsetup_image_write(int fd, uint64_t offset_bytes, const void *data,
                                     size_t length_bytes, struct error *err);
/* From what `read` gives, at the same offset. */
NODISCARD int cryptsetup_image_copy(int fd, uint64_t offset_bytes, uint64_t length_bytes,
                                    luks_read_fn *read, void *context, struct error *err);

struct cryptsetup_library {
    struct crypt_device *device;
    char log[512]; /* the library's error messages since the last cryptsetup_library_error() */
};

/* The image must stay open as long as the library.  No device-mapper, no locks on disk. */
NODISCARD int cryptsetup_library_open(struct cryptsetup_library **out, int image_fd,
                                      struct error *err);
/* Same, with a second image that stands for the data (a detached header). */
NODISCARD int cryptsetup_library_open_detached(struct cryptsetup_library **out, int image_fd,
                                               int data_fd, struct error *err);
void cryptsetup_library_close(struct cryptsetup_library *library); /* NULL is fine */

/* AES-256 in XTS mode for the keyslots of LUKS2 that are made from now on.  For a volume whose own
 * cipher the library can't use without the kernel: it would take that for them, too. */
NODISCARD int cryptsetup_library_set_keyslot_cipher(struct cryptsetup_library *library,
                                                    struct error *err);

/* "`what`: " and what the library said about it, or the errno in `code`. Returns `code`. */
int cryptsetup_library_error(struct cryptsetup_library *library, int code, const char *what,
                             struct error *err);

/* One thread at a time: the library's start-up (its random and crypto back ends) is not made for
 * threads.  Keys are opened without it, in turns of their own: luks-turns.h. */
void cryptsetup_library_lock(void);
void cryptsetup_library_unlock(void);

#endif
