/* libcryptsetup on a memfd: see cryptsetup-library.h. */
#include "crypto/luks/cryptsetup-library.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/base/descriptors.h"
#include "crypto/luks/luks-policy.h"

#define COPY_CHUNK_BYTES (64u * 1024u)
/* The image twice, random numbers twice, a cipher of the kernel and the hash of it, and what a
 * change of the header has beside them. */
#define LIBRARY_DESCRIPTORS 10u

static pthread_mutex_t library_mutex = PTHREAD_MUTEX_INITIALIZER;

void cryptsetup_library_lock(void)
{
    int result = pthread_mutex_lock(&library_mutex);

    assert(result == 0);
}

void cryptsetup_library_unlock(void)
{
    int result = pthread_mutex_unlock(&library_mutex);

    assert(result == 0);
}

/* ---- the image ---- */

int cryptsetup_image_create(int *fd, uint64_t size_bytes, uint64_t least_bytes, struct error *err)
{
    int image_fd = memfd_create("luks-header", MFD_CLOEXEC);
    int result;

    if (image_fd < 0) {
        result = -errno;
        return error_set(err, result, "not enough memory for a LUKS header: memfd_create: %s",
                         strerror(-result));
    }
    /* The library compares sizes with the device, so the image is as large as that if it can
     * be; it is sparse, and costs only what is written. */
    if ((size_bytes <= INT64_MAX && ftruncate(image_fd, (off_t)size_bytes) == 0) ||
        ftruncate(image_fd, (off_t)least_bytes) == 0) {
        *fd = image_fd;
        return 0;
    }
    result = -errno;
    (void)close(image_fd);
    if (result == -EFBIG)
        return error_set(err, result,
                         "a LUKS header of %" PRIu64
                         " bytes is more than files may have here; raise "
                         "`ulimit -f` (RLIMIT_FSIZE)",
                         least_bytes);
    return error_set(err, result, "not enough memory for a LUKS header of %" PRIu64 " bytes: %s",
                     least_bytes, strerror(-result));
}

int cryptsetup_image_write(int fd, uint64_t offset_bytes, const void *data, size_t length_bytes,
                           struct error *err)
{
    const uint8_t *from = data;

    while (length_bytes > 0) {
        ssize_t written = pwrite(fd, from, length_bytes, (off_t)offset_bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int result = written < 0 ? -errno : -EIO;

            return error_set(err, result, "not enough memory for a LUKS header: %s",
                             strerror(-result));
        }
        from += written;
        offset_bytes += (uint64_t)written;
        length_bytes -= (size_t)written;
    }
    return 0;
}

int cryptsetup_image_copy(int fd, uint64_t offset_bytes, uint64_t length_bytes, luks_read_fn *read,
                          void *context, struct error *err)
{
    uint8_t *chunk = malloc(COPY_CHUNK_BYTES);
    int result = 0;

    if (chunk == NULL)
        return error_no_memory(err, "for a LUKS header");
    while (length_bytes > 0 && result == 0) {
        size_t now = length_bytes < COPY_CHUNK_BYTES ? (size_t)length_bytes : COPY_CHUNK_BYTES;

        result = read(context, offset_bytes, chunk, now, err);
        if (result == 0)
            result = cryptsetup_image_write(fd, offset_bytes, chunk, now, err);
        offset_bytes += now;
        length_bytes -= now;
    }
    free(chunk);
    return result;
}

/* ---- the library ---- */

/* "Device /proc/self/fd/7 is too small." is of no use to anybody: it is the image. */
static void append_without_path(char *log, size_t log_bytes, const char *message)
{
    static const char path[] = "/proc/self/fd/";
    const char *found = strstr(message, path);
    size_t used = strlen(log);
    const char *rest;

    if (found == NULL) {
        (void)snprintf(log + used, log_bytes - used, "%s", message);
        return;
    }
    rest = found + strlen(path);
    rest += strspn(rest, "0123456789");
    (void)snprintf(log + used, log_bytes - used, "%.*s(the image)%s", (int)(found - message),
                   message, rest);
}

static void keep_message(int level, const char *message, void *context)
{
    struct cryptsetup_library *library = context;
    size_t length;

    if (level != CRYPT_LOG_ERROR)
        return;
    if (library->log[0] != '\0') {
        length = strlen(library->log);
        (void)snprintf(library->log + length, sizeof library->log - length, " ");
    }
    append_without_path(library->log, sizeof library->log, message);
    length = strlen(library->log);
    while (length > 0 && (library->log[length - 1] == '\n' || library->log[length - 1] == '.'))
        library->log[--length] = '\0';
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)library->log[i] < ' ')
            library->log[i] = ' ';
}

int cryptsetup_library_error(struct cryptsetup_library *library, int result, const char *what,
                             struct error *err)
{
    const char *reason = library->log[0] != '\0' ? library->log : strerror(-result);

    (void)error_set(err, result, "%s: %s", what, reason);
    library->log[0] = '\0';
    return result;
}

/* Locks in /run/cryptsetup protect devices that others see; a memfd is ours alone.  And a token in
 * a header must not be able to have a library of its type loaded. */
static void disable_what_is_outside(void)
{
    (void)crypt_metadata_locking(NULL, 0);
    crypt_token_external_disable();
}

static int open_device(struct cryptsetup_library *library, int image_fd, int data_fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char image_path[32], data_path[32];

    (void)pthread_once(&once, disable_what_is_outside);
    (void)snprintf(image_path, sizeof image_path, "/proc/self/fd/%d", image_fd);
    if (data_fd < 0)
        return crypt_init(&library->device, image_path);
    (void)snprintf(data_path, sizeof data_path, "/proc/self/fd/%d", data_fd);
    return crypt_init_data_device(&library->device, image_path, data_path);
}

int cryptsetup_library_open_detached(struct cryptsetup_library **out, int image_fd, int data_fd,
                                     struct error *err)
{
    struct cryptsetup_library *library;
    int result = descriptors_require(LIBRARY_DESCRIPTORS, err);

    if (result < 0)
        return result;
    library = calloc(1, sizeof *library);
    if (library == NULL)
        return error_no_memory(err, "for a LUKS header");
    result = open_device(library, image_fd, data_fd);
    if (result < 0) {
        free(library);
        return error_set(err, result,
                         "libcryptsetup can't open an image in memory: %s (is /proc mounted?)",
                         strerror(-result));
    }
    crypt_set_log_callback(library->device, keep_message, library);
    *out = library;
    return 0;
}

int cryptsetup_library_open(struct cryptsetup_library **out, int image_fd, struct error *err)
{
    return cryptsetup_library_open_detached(out, image_fd, -1, err);
}

void cryptsetup_library_close(struct cryptsetup_library *library)
{
    if (library == NULL)
        return;
    crypt_free(library->device);
    free(library);
}

int cryptsetup_library_set_keyslot_cipher(struct cryptsetup_library *library, struct error *err)
{
    int result = crypt_keyslot_set_encryption(library->device, "aes-xts-plain64", 64);

    if (result < 0)
        return cryptsetup_library_error(library, result, "the keyslots' cipher can't be set", err);
    return 0;
}
