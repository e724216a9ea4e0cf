#!/bin/bash
# Makes a disk that a machine boots by itself: a partition with a boot loader and a kernel, and one with a root file
# system, which is mounted at the end of the kernel's initramfs.
#
#     bootable-disk.sh FILE GUEST-FOLDER         the folder that guest-image.sh has made
#
# The system starts /commands (machine-commands.sh), which does what comes by the virtio-serial port "commands".
# Takes no root: nothing is mounted.
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
. "$here/guest-files.sh"
disk=$1 guest=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# In sectors of 512 bytes.
boot_start=2048 boot_sectors=114688 root_start=116736 root_sectors=81920
truncate -s $(((root_start + root_sectors) * 512)) "$disk"
sfdisk --quiet "$disk" <<END
label: dos
start=$boot_start, size=$boot_sectors, type=6, bootable
start=$root_start, size=$root_sectors, type=83
END

# What the initramfs of guests does in the end is to start this.
layer=$work/layer
mkdir "$layer"
cat >"$layer/guest-script" <<'END'
until mount -t ext4 /dev/vda2 /mnt 2>/dev/null; do sleep 0.05; done
umount /proc /sys /dev
exec switch_root /mnt /commands
END
cat "$guest/base.cpio" <(guest_pack "$layer") >"$work/initrd"

boot=$work/boot
mkfs.fat -F 16 -h "$boot_start" -C "$boot" $((boot_sectors / 2)) >/dev/null
export MTOOLSRC=/dev/null MTOOLS_SKIP_CHECK=1
cat >"$work/syslinux.cfg" <<'END'
DEFAULT linux
LABEL linux
  KERNEL vmlinuz
  INITRD initrd
  APPEND console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable random.trust_cpu=on cryptomgr.notests
END
mcopy -i "$boot" "$guest/vmlinuz" "$work/initrd" "$work/syslinux.cfg" ::
syslinux --install "$boot"
dd if="$boot" of="$disk" bs=1M seek=$((boot_start / 2048)) conv=notrunc,sparse status=none
dd if=/usr/lib/SYSLINUX/mbr.bin of="$disk" bs=440 count=1 conv=notrunc status=none

root=$work/root
guest_skeleton "$root"
mkdir -p "$root"/{dev,proc,sys,run,tmp,mnt,etc,root}
guest_put "$root" "$(command -v busybox)" /usr/bin/busybox
for program in $(busybox --list); do
    [ -e "$root/usr/bin/$program" ] || ln -s busybox "$root/usr/bin/$program"
done
for program in mkfs.ext4 resize2fs; do
    guest_put "$root" "$(command -v "$program")" "/usr/sbin/$program"
done
install -m 755 "$here/machine-commands.sh" "$root/commands"
mkfs.ext4 -q -E "offset=$((root_start * 512))" -d "$root" "$disk" $((root_sectors / 2))k
