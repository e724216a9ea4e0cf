/* A LUKS header where the data of another one is: see foreign-header.h. */
#include "server/volume/foreign-header.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/luks/luks-backup.h"
#include "server/volume/volume-header.h"

/* What can be told of a header, which may be damaged or refused.  -EMEDIUMTYPE: there is none. */
static int read_own(char uuid[40], uint64_t *area_bytes, struct stage *image, struct error *err)
{
    uint64_t size_bytes = image->limits.size_bytes;
    struct luks_header *own = NULL;
    struct image_io *io = NULL;
    int result = image_io_create(&io, image, err);

    if (result < 0)
        return result;
    *area_bytes = 1; /* as long as it is not known, at least its mark */
    result = volume_header_load_from(&own, io, size_bytes, size_bytes, false, NULL, err);
    if (result == 0) {
        (void)snprintf(uuid, 40, "%s", luks_segment(own)->uuid);
        result = luks_backup_area_bytes(area_bytes, own, err);
    } else if (result != -EMEDIUMTYPE) {
        struct luks_store store = volume_header_store(io);

        result = luks_backup_uuid(uuid, store.read, store.context, size_bytes, err);
    }
    luks_free(own);
    image_io_destroy(io);
    return result;
}

int foreign_header_find(const struct luks_header *header, struct stage *image, struct error *err)
{
    const struct luks_segment *segment = luks_segment(header);
    uint64_t area_bytes = 0;
    char own[40] = "";
    int result = read_own(own, &area_bytes, image, err);

    if (result < 0)
        return result == -EMEDIUMTYPE ? 0 : result;
    if (strcmp(own, segment->uuid) != 0)
        (void)error_set(
            err, 0,
            "it begins with the LUKS header of the volume %s, which writes would destroy, "
            "for the header that was named is of the volume %s; is it the right image? (if "
            "%s is not needed any more, remove its mark: wipefs; if the two belong together, "
            "give both the same UUID: cryptsetup luksUUID)",
            own, segment->uuid, own);
    else if (segment->payload_offset_bytes < area_bytes)
        (void)error_set(
            err, 0,
            "it begins with a LUKS header of the volume %s, which writes would destroy, for "
            "the header that was named, of the volume %s, says that data begins at byte "
            "%" PRIu64 "; name the image that holds the data",
            own, segment->uuid, segment->payload_offset_bytes);
    else
        return 0;
    return 1;
}
