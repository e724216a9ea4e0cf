/* Backups of a header area: see luks-backup.h. */
#include "crypto/luks/luks-backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-quote.h"

#define PAGE_BYTES 4096u
#define SECTOR_BYTES 512u
#define LUKS1_PADDED_BYTES 1024u /* the header with the padding that belongs to it */
#define LUKS1_FIRST_KEYSLOT_BYTES 4096u
#define AT_UUID 168u /* in both versions */
#define UUID_BYTES 40u

/* ---- how much it is ---- */

static uint64_t luks1_area_bytes(const struct luks1_header *header)
{
    uint64_t material_bytes = ((uint64_t)header->key_bytes * LUKS_AF_STRIPES + 511) / 512 * 512;
    uint64_t end_bytes = 0;

    for (unsigned slot = 0; slot < LUKS1_KEYSLOTS; slot++) {
        uint64_t offset_bytes = (uint64_t)header->keyslots[slot].offset_sectors * 512;

        if (offset_bytes + material_bytes > end_bytes)
            end_bytes = offset_bytes + material_bytes;
    }
    return end_bytes;
}

int luks_backup_area_bytes(uint64_t *bytes, struct luks_header *header, struct error *err)
{
    uint64_t metadata_bytes = 0, keyslots_bytes = 0;
    int result;

    if (header->segment.type == LUKS_TYPE_1) {
        *bytes = luks1_area_bytes(&header->luks1);
    } else {
        result = crypt_get_metadata_size(header->library->device, &metadata_bytes, &keyslots_bytes);
        if (result < 0)
            return cryptsetup_library_error(header->library, result, "the header has no size", err);
        *bytes = 2 * metadata_bytes + keyslots_bytes;
    }
    if (*bytes <= header->sizes.header_bytes && *bytes <= LUKS_BACKUP_BYTES_MAX)
        return 0;
    return error_set(err, -EINVAL,
                     "the header with its keyslots takes %" PRIu64 " bytes, but there are only "
                     "%" PRIu64 " (or it is absurdly large)",
                     *bytes, header->sizes.header_bytes);
}

/* ---- making one ---- */

static int zero_gap(int fd, const struct luks1_header *header, struct error *err)
{
    static const uint8_t zeros[LUKS1_FIRST_KEYSLOT_BYTES - LUKS1_PADDED_BYTES];

    if (header->keyslots[0].offset_sectors != LUKS1_FIRST_KEYSLOT_BYTES / 512)
        return 0;
    return cryptsetup_image_write(fd, LUKS1_PADDED_BYTES, zeros, sizeof zeros, err);
}

/* The library puts the other one in its place; of two that count as equally old it keeps both. */
static int drop_older_copy(const struct luks_header *header, struct error *err)
{
    static const uint8_t zeros[SECTOR_BYTES];

    if (!header->copies_differ)
        return 0;
    return cryptsetup_image_write(header->image_fd,
                                  header->primary_is_worse ? 0 : header->copy_bytes, zeros,
                                  sizeof zeros, err);
}

/* In the image in memory, where both copies must be good and say the same for the backup: with an
 * older one a restore that is interrupted would be neither what was there nor the backup. */
static int mend_copies(struct luks_header *header, struct error *err)
{
    int result = drop_older_copy(header, err);

    if (result < 0 || (header->damaged_copy == NULL && !header->copies_differ))
        return result;
    cryptsetup_library_lock();
    result = crypt_repair(header->library->device, CRYPT_LUKS2, NULL);
    cryptsetup_library_unlock();
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "the damaged copy can't be mended",
                                        err);
    return 0;
}

int luks_backup_make(int *fd, uint64_t *bytes, struct luks_header *header, luks_read_fn *read,
                     void *context, struct error *err)
{
    uint64_t area_bytes = 0;
    int backup_fd = -1;
    int result = luks_backup_area_bytes(&area_bytes, header, err);

    if (result == 0)
        result = mend_copies(header, err);
    if (result < 0)
        return result;
    *bytes = (area_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    result = cryptsetup_image_create(&backup_fd, *bytes, *bytes, err);
    if (result < 0)
        return result;
    result = cryptsetup_image_copy(backup_fd, 0, area_bytes, read, context, err);
    if (result == 0 && header->segment.type == LUKS_TYPE_1)
        result = zero_gap(backup_fd, &header->luks1, err);
    else if (result == 0) /* with both copies whole, if one is damaged in the image */
        result = cryptsetup_image_copy(backup_fd, 0, 2 * header->copy_bytes, luks_store_read_memory,
                                       &header->image_fd, err);
    if (result < 0) {
        (void)close(backup_fd);
        return result;
    }
    *fd = backup_fd;
    return 0;
}

/* ---- before one is restored ---- */

int luks_backup_uuid(char out[40], luks_read_fn *read, void *context, uint64_t header_bytes,
                     struct error *err)
{
    static const uint8_t magic[] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };
    uint8_t head[AT_UUID + UUID_BYTES] = { 0 };
    int result = 0;

    if (header_bytes >= sizeof head)
        result = read(context, 0, head, sizeof head, err);
    if (result < 0)
        return result;
    if (memcmp(head, magic, sizeof magic) != 0)
        return error_set(err, -EMEDIUMTYPE, "no LUKS header found");
    (void)snprintf(out, 40, "%.39s", luks_quote((const char *)head + AT_UUID, UUID_BYTES).text);
    return 0;
}

static bool is_zeros(const uint8_t *bytes, size_t length_bytes)
{
    return length_bytes == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length_bytes - 1) == 0);
}

/* Where, in the chunks; length_bytes: nowhere. */
static size_t find_difference(const struct luks_chunks *chunks, size_t length_bytes)
{
    for (size_t at = 0; at < length_bytes; at += SECTOR_BYTES) {
        size_t now = length_bytes - at < SECTOR_BYTES ? length_bytes - at : SECTOR_BYTES;

        if (!is_zeros(chunks->found + at, now) &&
            memcmp(chunks->found + at, chunks->wanted + at, now) != 0)
            return at;
    }
    return length_bytes;
}

int luks_backup_compare(uint64_t *differs_bytes, struct luks_header *backup,
                        const struct luks_store *from, const struct luks_store *to,
                        struct error *err)
{
    struct luks_chunks *chunks = malloc(sizeof *chunks);
    uint64_t area_bytes = 0;
    int result;

    *differs_bytes = UINT64_MAX;
    if (chunks == NULL)
        return error_no_memory(err, "to look at what the backup overwrites");
    result = luks_backup_area_bytes(&area_bytes, backup, err);
    for (uint64_t at = 0; at < area_bytes && result == 0 && *differs_bytes == UINT64_MAX;) {
        size_t now =
            area_bytes - at < LUKS_CHUNK_BYTES ? (size_t)(area_bytes - at) : LUKS_CHUNK_BYTES;

        result = from->read(from->context, at, chunks->wanted, now, err);
        if (result == 0)
            result = to->read(to->context, at, chunks->found, now, err);
        if (result == 0 && find_difference(chunks, now) < now)
            *differs_bytes = at + find_difference(chunks, now);
        at += now;
    }
    free(chunks);
    return result;
}

int luks_backup_fits(const struct luks_header *old, const struct luks_header *new,
                     struct error *err)
{
    const struct luks_segment *was = &old->segment, *is = &new->segment;

    if (was->payload_offset_bytes != is->payload_offset_bytes)
        return error_set(err, -EPERM,
                         "the data begins at byte %" PRIu64 ", in the backup it begins at %" PRIu64,
                         was->payload_offset_bytes, is->payload_offset_bytes);
    if (was->sector_bytes != is->sector_bytes)
        return error_set(err, -EPERM,
                         "the data has sectors of %u bytes, in the backup they have %u",
                         was->sector_bytes, is->sector_bytes);
    if (strcmp(was->cipher.name, is->cipher.name) != 0 ||
        was->cipher.key_bits != is->cipher.key_bits)
        return error_set(
            err, -EPERM, "the cipher is %s with %u bits of key, in the backup it is %s with %u",
            was->cipher.name, was->cipher.key_bits, is->cipher.name, is->cipher.key_bits);
    return 0;
}
