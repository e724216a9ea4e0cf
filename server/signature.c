/* Marks of formats: see signature.h. */
#include "server/signature.h"

#include <string.h>

struct signature {
    size_t offset_bytes;
    const char *mark;
    size_t mark_bytes;
    const char *name;
};

/* In this order: a partition table shares its mark with boot sectors of file systems. */
static const struct signature signatures[] = {
    { 0, "LUKS\xba\xbe", 6, "a LUKS volume" },
    { 0, "LUKS\xde\xad", 6, "a LUKS1 volume whose re-encryption by cryptsetup is under way" },
    { 0, "RBDL\xba\xbe", 6,
      "an RBD clone that librbd encrypted, layer by layer, which only librbd reads" },
    { 0x4000, "SKUL\xba\xbe", 6, "a LUKS2 volume with a damaged first header" },
    { 0, "QFI\xfb", 4, "a QEMU qcow2 image" },
    { 0, "XFSB", 4, "an XFS file system" },
    { 0, "hsqs", 4, "a squashfs file system" },
    { 3, "NTFS    ", 8, "an NTFS file system" },
    { 3, "EXFAT   ", 8, "an exFAT file system" },
    { 3, "-FVE-FS-", 8, "a BitLocker volume" },
    { 54, "FAT", 3, "a FAT file system" },
    { 82, "FAT32", 5, "a FAT file system" },
    { 512, "LABELONE", 8, "an LVM physical volume" },
    { 1080, "\x53\xef", 2, "an ext2, ext3 or ext4 file system" },
    { 4086, "SWAPSPACE2", 10, "swap space" },
    { 32769, "CD001", 5, "an ISO 9660 file system" },
    { 65600, "_BHRfS_M", 8, "a btrfs file system" },
    { 512, "EFI PART", 8, "a GPT partition table" },
    { 4096, "EFI PART", 8, "a GPT partition table" },
    { 510, "\x55\xaa", 2, "a partition table or boot sector" },
};

const char *signature_name(const uint8_t *head, size_t length_bytes)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        const struct signature *signature = &signatures[i];

        if (signature->offset_bytes + signature->mark_bytes <= length_bytes &&
            memcmp(head + signature->offset_bytes, signature->mark, signature->mark_bytes) == 0)
            return signature->name;
    }
    return NULL;
}
