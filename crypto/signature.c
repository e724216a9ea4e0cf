/* Marks of formats: see signature.h. */
#include "crypto/signature.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <blkid.h>

#include "crypto/luks-library.h"
#include "crypto/luks2-binary.h"

/* ---- what libblkid does not know, or does not tell so well ---- */

#define MARK_BYTES 6u

struct mark {
    char bytes[MARK_BYTES];
    size_t length_bytes;
    bool luks;
    const char *name;
};

/* At the start. */
static const struct mark marks[] = {
    { "LUKS\xba\xbe", 6, true, "a LUKS volume" },
    /* No header that anybody opens before it is finished: it is in the way like another format. */
    { "LUKS\xde\xad", 6, false, "a LUKS1 volume whose re-encryption by cryptsetup is under way" },
    { "RBDL\xba\xbe", 6, false,
      "an RBD clone that librbd encrypted, layer by layer, which only librbd reads" },
    { "QFI\xfb", 4, false, "a QEMU qcow2 image" },
};

static bool has_bytes(int image_fd, uint64_t offset_bytes, const char *bytes, size_t length_bytes)
{
    char found[MARK_BYTES];

    return pread(image_fd, found, length_bytes, (off_t)offset_bytes) == (ssize_t)length_bytes &&
           memcmp(found, bytes, length_bytes) == 0;
}

static const char *name_start(int image_fd, bool luks)
{
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if ((luks || !marks[i].luks) && has_bytes(image_fd, 0, marks[i].bytes, marks[i].length_bytes))
            return marks[i].name;
    return NULL;
}

static bool has_second_luks2(int image_fd)
{
    for (uint64_t at = LUKS2_COPY_BYTES_MIN; at < SIGNATURE_BYTES; at *= 2)
        if (has_bytes(image_fd, at, "SKUL\xba\xbe", MARK_BYTES))
            return true;
    return false;
}

/* ---- libblkid ---- */

static const char *value_of(blkid_probe probe, const char *name)
{
    const char *value = NULL;

    return blkid_probe_lookup_value(probe, name, &value, NULL) == 0 ? value : NULL;
}

static void name_format(struct signature *out, blkid_probe probe)
{
    static const char *const usages[][2] = {
        { "filesystem", "a file system" },
        { "raid", "a part of a RAID or a volume group" },
        { "crypto", "an encrypted volume" },
        { "other", "something of another kind" },
    };
    const char *type = value_of(probe, "TYPE"), *usage = value_of(probe, "USAGE");
    const char *what = "a partition table";

    if (!type)
        type = value_of(probe, "PTTYPE");
    for (size_t i = 0; usage && i < sizeof(usages) / sizeof(usages[0]); i++)
        if (strcmp(usage, usages[i][0]) == 0)
            what = usages[i][1];
    (void)snprintf(out->text, sizeof(out->text), "%s (%s)", what, type ? type : "?");
}

/* All but LUKS. */
static int set_up(blkid_probe probe, int image_fd)
{
    static char luks_name[] = "crypto_LUKS";
    static char *const left_out[] = { luks_name, NULL };

    if (blkid_probe_set_device(probe, image_fd, 0, 0) != 0 ||
        blkid_probe_enable_superblocks(probe, 1) != 0 ||
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE) != 0 ||
        blkid_probe_enable_partitions(probe, 1) != 0)
        return -1;
    return blkid_probe_filter_superblocks_type(probe, BLKID_FLTR_NOTIN, (char **)left_out);
}

static int probe_image(struct signature *out, int image_fd, struct error *err)
{
    blkid_probe probe = blkid_new_probe();
    int found = -1;

    if (!probe)
        return error_set(err, -ENOMEM, "no memory to look for other formats");
    if (set_up(probe, image_fd) == 0)
        found = blkid_do_safeprobe(probe);
    if (found == 0)
        name_format(out, probe);
    else if (found == -2)
        (void)snprintf(out->text, sizeof(out->text), "marks of several formats");
    blkid_free_probe(probe);
    if (found == 0 || found == 1 || found == -2)
        return 0;
    return error_set(err, -EIO, "libblkid can't look for other formats");
}

/* ---- both ---- */

static int copy_places(int image_fd, enum signature_scope scope, luks_read_fn *read, void *context,
                       uint64_t size_bytes, struct error *err)
{
    uint64_t head_bytes = size_bytes < SIGNATURE_BYTES ? size_bytes : SIGNATURE_BYTES;
    uint64_t rest_bytes = size_bytes - head_bytes;
    uint64_t tail_bytes = rest_bytes < SIGNATURE_BYTES ? rest_bytes : SIGNATURE_BYTES;
    int result = luks_image_copy(image_fd, 0, head_bytes, read, context, err);

    if (result == 0 && scope == SIGNATURE_ANY)
        result = luks_image_copy(image_fd, size_bytes - tail_bytes, tail_bytes, read, context, err);
    return result;
}

static int look(struct signature *out, enum signature_scope scope, int image_fd, struct error *err)
{
    bool luks = scope == SIGNATURE_ANY;
    const char *name = name_start(image_fd, luks);
    int result = 0;

    if (!name) {
        luks_library_lock(); /* libcryptsetup may use libblkid, too */
        result = probe_image(out, image_fd, err);
        luks_library_unlock();
    }
    if (!name && out->text[0] == '\0' && luks && has_second_luks2(image_fd))
        name = "a LUKS2 volume with a damaged first header";
    if (name)
        (void)snprintf(out->text, sizeof(out->text), "%s", name);
    return result;
}

int signature_find(struct signature *out, enum signature_scope scope, luks_read_fn *read,
                   void *context, uint64_t size_bytes, struct error *err)
{
    int image_fd = -1;
    int result;

    out->text[0] = '\0';
    result = luks_image_create(&image_fd, size_bytes, size_bytes, err);
    if (result == 0)
        result = copy_places(image_fd, scope, read, context, size_bytes, err);
    if (result == 0)
        result = look(out, scope, image_fd, err);
    if (image_fd >= 0)
        (void)close(image_fd);
    return result;
}
