/* Marks of formats: see format-signature.h. */
#include "crypto/luks/format-signature.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <blkid.h>

#include "crypto/luks/cryptsetup-library.h"
#include "crypto/luks/luks2-binary.h"

/* ---- what libblkid does not know, or does not tell so well ---- */

#define MARK_BYTES 21u
#define LUKS_MARK_BYTES 6u

enum mark_kind { MARK_LUKS, MARK_OTHER, MARK_DISK_IMAGE };

struct mark {
    uint64_t at_bytes;
    char bytes[MARK_BYTES];
    size_t length_bytes;
    enum mark_kind kind;
    const char *name;
};

static const struct mark marks[] = {
    { 0, "LUKS\xba\xbe", 6, MARK_LUKS, "a LUKS volume" },
    /* No header that anybody opens before it is finished: it is in the way like another format. */
    { 0, "LUKS\xde\xad", 6, MARK_OTHER,
      "a LUKS1 volume whose re-encryption by cryptsetup is under way" },
    { 0, "RBDL\xba\xbe", 6, MARK_OTHER,
      "an RBD clone that librbd encrypted, layer by layer, which only librbd reads" },
    { 0, "QFI\xfb", 4, MARK_DISK_IMAGE, "a QEMU qcow2 image" },
    { 0, "QED\0", 4, MARK_DISK_IMAGE, "a QEMU QED image" },
    { 0, "KDMV", 4, MARK_DISK_IMAGE, "a VMware image (VMDK)" },
    { 0, "COWD", 4, MARK_DISK_IMAGE, "a VMware image (VMDK)" },
    { 0, "# Disk DescriptorFile", 21, MARK_DISK_IMAGE, "the description of a VMware image (VMDK)" },
    { 0, "conectix", 8, MARK_DISK_IMAGE, "a Virtual PC image (VHD)" },
    { 0, "vhdxfile", 8, MARK_DISK_IMAGE, "a Hyper-V image (VHDX)" },
    { 64, "\x7f\x10\xda\xbe", 4, MARK_DISK_IMAGE, "a VirtualBox image (VDI)" },
};

static bool has_bytes(int image_fd, uint64_t offset_bytes, const char *bytes, size_t length_bytes)
{
    char found[MARK_BYTES];

    return pread(image_fd, found, length_bytes, (off_t)offset_bytes) == (ssize_t)length_bytes &&
           memcmp(found, bytes, length_bytes) == 0;
}

static const struct mark *find_mark(int image_fd, bool luks)
{
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if ((luks || marks[i].kind != MARK_LUKS) &&
            has_bytes(image_fd, marks[i].at_bytes, marks[i].bytes, marks[i].length_bytes))
            return &marks[i];
    return NULL;
}

static bool has_second_luks2(int image_fd)
{
    for (uint64_t at = LUKS2_COPY_BYTES_MIN; at < FORMAT_SIGNATURE_BYTES; at *= 2)
        if (has_bytes(image_fd, at, "SKUL\xba\xbe", LUKS_MARK_BYTES))
            return true;
    return false;
}

/* ---- libblkid ---- */

static const char *value_of(blkid_probe probe, const char *name)
{
    const char *value = NULL;

    return blkid_probe_lookup_value(probe, name, &value, NULL) == 0 ? value : NULL;
}

static void name_format(struct format_signature *out, blkid_probe probe)
{
    static const char *const usages[][2] = {
        { "filesystem", "a file system" },
        { "raid", "a part of a RAID or a volume group" },
        { "crypto", "an encrypted volume" },
        { "other", "something of another kind" },
    };
    const char *type = value_of(probe, "TYPE"), *usage = value_of(probe, "USAGE");
    const char *what = "a partition table";

    if (type == NULL)
        type = value_of(probe, "PTTYPE");
    for (size_t i = 0; usage != NULL && i < sizeof usages / sizeof usages[0]; i++)
        if (strcmp(usage, usages[i][0]) == 0)
            what = usages[i][1];
    out->partitions = value_of(probe, "TYPE") == NULL;
    (void)snprintf(out->text, sizeof out->text, "%s (%s)", what, type != NULL ? type : "?");
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

static int probe_image(struct format_signature *out, int image_fd, struct error *err)
{
    blkid_probe probe = blkid_new_probe();
    int found = -1;

    if (!probe)
        return error_no_memory(err, "to look for other formats");
    if (set_up(probe, image_fd) == 0)
        found = blkid_do_safeprobe(probe);
    if (found == 0)
        name_format(out, probe);
    else if (found == -2)
        (void)snprintf(out->text, sizeof out->text, "marks of several formats");
    blkid_free_probe(probe);
    if (found == 0 || found == 1 || found == -2)
        return 0;
    return error_set(err, -EIO, "libblkid can't look for other formats");
}

/* ---- both ---- */

static int copy_places(int image_fd, enum format_signature_scope scope, luks_read_fn *read,
                       void *context, uint64_t size_bytes, struct error *err)
{
    uint64_t head_bytes = size_bytes < FORMAT_SIGNATURE_BYTES ? size_bytes : FORMAT_SIGNATURE_BYTES;
    uint64_t rest_bytes = size_bytes - head_bytes;
    uint64_t tail_bytes = rest_bytes < FORMAT_SIGNATURE_BYTES ? rest_bytes : FORMAT_SIGNATURE_BYTES;
    int result = cryptsetup_image_copy(image_fd, 0, head_bytes, read, context, err);

    if (result == 0 && scope == FORMAT_SIGNATURE_ANY)
        result = cryptsetup_image_copy(image_fd, size_bytes - tail_bytes, tail_bytes, read, context,
                                       err);
    return result;
}

static int look(struct format_signature *out, enum format_signature_scope scope, int image_fd,
                struct error *err)
{
    bool luks = scope == FORMAT_SIGNATURE_ANY;
    const struct mark *mark = find_mark(image_fd, luks);
    const char *name = mark != NULL ? mark->name : NULL;
    int result = 0;

    out->qcow2 = mark != NULL && memcmp(mark->bytes, "QFI\xfb", 4) == 0;
    out->disk_image = mark != NULL && mark->kind == MARK_DISK_IMAGE;
    if (name == NULL) {
        cryptsetup_library_lock(); /* libcryptsetup may use libblkid, too */
        result = probe_image(out, image_fd, err);
        cryptsetup_library_unlock();
    }
    if (name == NULL && out->text[0] == '\0' && luks && has_second_luks2(image_fd))
        name = "a LUKS2 volume with a damaged first header";
    if (name)
        (void)snprintf(out->text, sizeof out->text, "%s", name);
    return result;
}

/* What the copy has of the image; nothing is not blank. */
static int look_for_zeros(bool *blank, int image_fd, uint64_t size_bytes, struct error *err)
{
    uint64_t start_bytes[2] = { 0, size_bytes > FORMAT_SIGNATURE_BYTES
                                       ? size_bytes - FORMAT_SIGNATURE_BYTES
                                       : 0 };
    uint8_t *bytes = malloc(FORMAT_SIGNATURE_BYTES);

    if (bytes == NULL)
        return error_no_memory(err, "to look for other formats");
    *blank = size_bytes > 0;
    for (unsigned i = 0; i < 2; i++) {
        ssize_t length = pread(image_fd, bytes, FORMAT_SIGNATURE_BYTES, (off_t)start_bytes[i]);

        for (ssize_t at = 0; at < length && *blank; at++)
            *blank = bytes[at] == 0;
        *blank &= length > 0;
    }
    free(bytes);
    return 0;
}

int format_signature_find(struct format_signature *out, enum format_signature_scope scope,
                          luks_read_fn *read, void *context, uint64_t size_bytes, struct error *err)
{
    int image_fd = -1;
    int result;

    *out = (struct format_signature){ .text = "" };
    result = cryptsetup_image_create(&image_fd, size_bytes, size_bytes, err);
    if (result == 0)
        result = copy_places(image_fd, scope, read, context, size_bytes, err);
    if (result == 0)
        result = look(out, scope, image_fd, err);
    if (result == 0 && scope == FORMAT_SIGNATURE_ANY && out->text[0] == '\0')
        result = look_for_zeros(&out->blank, image_fd, size_bytes, err);
    if (image_fd >= 0)
        (void)close(image_fd);
    return result;
}
