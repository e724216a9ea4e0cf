/* Where a header is stored: see luks-store.h. */
#include "crypto/luks/luks-store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

int luks_store_read_memory(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
                           struct error *err)
{
    const int *fd = context;

    if (pread(*fd, out, length_bytes, (off_t)offset_bytes) == (ssize_t)length_bytes)
        return 0;
    return error_set(err, -EIO, "the header can't be read back from memory");
}

static size_t next_bytes(uint64_t left_bytes)
{
    return left_bytes < LUKS_CHUNK_BYTES ? (size_t)left_bytes : LUKS_CHUNK_BYTES;
}

static int look(const struct luks_store *store, uint64_t offset_bytes, const void *wanted,
                void *found, size_t length_bytes, struct error *err)
{
    int result = store->read(store->context, offset_bytes, found, length_bytes, err);

    if (result == 0 && memcmp(wanted, found, length_bytes) != 0)
        result = error_set(err, -EIO,
                           "what was written at byte %" PRIu64 " reads back as something else",
                           offset_bytes);
    return result;
}

int luks_store_write(const struct luks_store *store, int image_fd, const struct luks_area *range,
                     struct luks_chunks *chunks, struct error *err)
{
    uint64_t end_bytes = range->offset_bytes + range->length_bytes;
    int result = 0;

    for (uint64_t at = range->offset_bytes; at < end_bytes && result == 0;) {
        size_t now = next_bytes(end_bytes - at);

        result = luks_store_read_memory(&image_fd, at, chunks->wanted, now, err);
        if (result == 0)
            result = store->write(store->context, at, chunks->wanted, now, err);
        at += now;
    }
    return result;
}

int luks_store_verify(const struct luks_store *store, int image_fd, const struct luks_area *range,
                      struct luks_chunks *chunks, struct error *err)
{
    uint64_t end_bytes = range->offset_bytes + range->length_bytes;
    int result = 0;

    for (uint64_t at = range->offset_bytes; at < end_bytes && result == 0;) {
        size_t now = next_bytes(end_bytes - at);

        result = luks_store_read_memory(&image_fd, at, chunks->wanted, now, err);
        if (result == 0)
            result = look(store, at, chunks->wanted, chunks->found, now, err);
        at += now;
    }
    return result;
}
