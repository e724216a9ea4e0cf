#include "server/keys/key-keyring.h"

#include <errno.h>
#include <linux/keyctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library has no functions for these (request_key(2), keyctl(2)). */
static long find_key(const char *description)
{
    return syscall(SYS_request_key, "user", description, NULL, 0);
}

static long read_key(long serial, void *out, size_t length_bytes)
{
    return syscall(SYS_keyctl, KEYCTL_READ, serial, out, length_bytes);
}

static int explain(const char *description, int result, struct error *err)
{
    if (result == ENOKEY)
        return error_set(err, -result,
                         "there is no user key '%s' in the keyrings of this process; keyctl padd "
                         "user '%s' @u makes one",
                         description, description);
    return error_set(err, -result, "key '%s' of the kernel's keyrings can't be read: %s",
                     description, strerror(result));
}

int key_keyring_read(struct secret **out, const char *description, struct error *err)
{
    struct secret *secret = NULL;
    long serial = find_key(description);
    long length = serial < 0 ? -1 : read_key(serial, NULL, 0), got;
    int result;

    if (length < 0)
        return explain(description, errno, err);
    if (length == 0)
        return error_set(err, -EINVAL, "key '%s' of the kernel's keyrings is empty", description);
    result = secret_create(&secret, (size_t)length, err);
    if (result < 0)
        return result;
    got = read_key(serial, secret->data, secret->length_bytes);
    if (got != length) {
        result = explain(description, got < 0 ? errno : EAGAIN, err);
        secret_free(secret);
        return result;
    }
    *out = secret;
    return 0;
}
