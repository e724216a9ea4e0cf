#include "server/volume/plausible-disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/image-io.h"
#include "server/volume/volume-header.h"

#define SECTOR_BYTES 512u
#define CIPHER_BLOCK_BYTES 16u
#define STEP_BYTES (256u * 1024)
#define LOOK_BYTES (16u * 1024 * 1024)
#define EXTENTS 64u
/* Of 512 random bytes 221 are different from each other, give or take 5. */
#define DIFFERENT_BYTES_OF_NOISE 150u

static unsigned different_bytes(const uint8_t sector[SECTOR_BYTES])
{
    bool seen[256] = { false };
    unsigned count = 0;

    for (unsigned i = 0; i < SECTOR_BYTES; i++) {
        count += !seen[sector[i]];
        seen[sector[i]] = true;
    }
    return count;
}

static bool repeats_blocks(const uint8_t sector[SECTOR_BYTES])
{
    return memcmp(sector + CIPHER_BLOCK_BYTES, sector + (size_t)2 * CIPHER_BLOCK_BYTES,
                  SECTOR_BYTES - 2 * CIPHER_BLOCK_BYTES) == 0;
}

bool plausible_sectors(const uint8_t *data, size_t length_bytes)
{
    for (size_t at = 0; at + SECTOR_BYTES <= length_bytes; at += SECTOR_BYTES) {
        unsigned different = different_bytes(data + at);

        if (different == 1 || (different < DIFFERENT_BYTES_OF_NOISE && !repeats_blocks(data + at)))
            return true;
    }
    return false;
}

/* ---- a disk ---- */

struct look {
    struct image_io *io;
    uint64_t disk_bytes;
    uint8_t *data;           /* STEP_BYTES */
    struct extent_list *map; /* of EXTENTS */
    uint64_t looked_bytes;
    bool found;
};

static int look_at_data(struct look *look, uint64_t at_bytes, uint64_t length_bytes,
                        struct error *err)
{
    int result = 0;

    while (result == 0 && length_bytes > 0 && !look->found && look->looked_bytes < LOOK_BYTES) {
        size_t step_bytes = length_bytes < STEP_BYTES ? (size_t)length_bytes : STEP_BYTES;

        result = image_io_read(look->io, at_bytes, look->data, step_bytes, err);
        look->found = result == 0 && plausible_sectors(look->data, step_bytes);
        look->looked_bytes += step_bytes;
        at_bytes += step_bytes;
        length_bytes -= step_bytes;
    }
    return result;
}

static int look_at_disk(struct look *look, struct error *err)
{
    uint64_t at_bytes = 0;
    int result = 0;

    while (result == 0 && at_bytes < look->disk_bytes && !look->found &&
           look->looked_bytes < LOOK_BYTES) {
        result = image_io_extents(look->io, look->map, at_bytes, look->disk_bytes - at_bytes, err);
        for (uint32_t i = 0; result == 0 && i < look->map->count; i++) {
            const struct extent *extent = &look->map->extents[i];

            if (!(extent->flags & EXTENT_ZERO))
                result = look_at_data(look, at_bytes, extent->length_bytes, err);
            at_bytes += extent->length_bytes;
        }
    }
    return result;
}

static int look_everywhere(enum plausible *out, struct look *look, struct error *err)
{
    struct format_signature content;
    int result =
        volume_header_signature(&content, FORMAT_SIGNATURE_ANY, look->io, look->disk_bytes, err);

    if (result == 0 && content.text[0] != '\0') {
        *out = PLAUSIBLE_DISK;
        return 0;
    }
    if (result == 0)
        result = look_at_disk(look, err);
    if (result == 0 && look->found)
        *out = PLAUSIBLE_DISK;
    else
        *out = look->looked_bytes == 0 ? PLAUSIBLE_EMPTY : PLAUSIBLE_NOT;
    return result;
}

int plausible_disk(enum plausible *out, struct stage *disk, struct error *err)
{
    struct look look = { .disk_bytes = disk->limits.size_bytes,
                         .data = malloc(STEP_BYTES),
                         .map = malloc(sizeof *look.map + EXTENTS * sizeof look.map->extents[0]) };
    int result = look.data == NULL || look.map == NULL ? error_no_memory(err, "to read an image")
                                                       : image_io_create(&look.io, disk, err);

    *out = PLAUSIBLE_NOT;
    if (result == 0) {
        look.map->capacity = EXTENTS;
        result = look_everywhere(out, &look, err);
        image_io_destroy(look.io);
    }
    free(look.map);
    free(look.data);
    return result;
}
