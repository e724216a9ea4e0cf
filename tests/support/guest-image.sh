#!/bin/bash
# Makes what guests boot (see guest.sh): FOLDER/vmlinuz, the kernel of a Debian package, which is downloaded and
# unpacked but not installed, and FOLDER/base.cpio, an initramfs of busybox and of programs of this machine.
#
#     guest-image.sh FOLDER
#
# Environment: GUEST_KERNEL, a folder with the .deb files of another kernel.
#
# Nothing happens when they are there.  Several may call it at once.  The last line on stderr says why it failed.
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
. "$here/packages.sh"
. "$here/guest-files.sh"

# Those that the kernel has built in, or lacks, are passed over.
modules='virtio_pci virtio_blk virtio_net virtio_console virtio_rng nbd loop tls gcm ghash_generic
    aesni_intel ghash_clmulni_intel crc32c_generic'
# Those that a test loads when it needs them, by `sh -eu /modules/load-dm-crypt`.
modules_dm_crypt='loop dm-crypt algif_skcipher algif_hash aes_generic xts cbc essiv ecb sha256_generic sha1_generic serpent_generic
    twofish_generic camellia_generic'
# Beside those of busybox.
programs='nbd-client mkfs.ext4 blkdiscard'

cannot() {
    echo "guest-image.sh: $*" >&2
    exit 1
}

mkdir -p "$1"
folder=$(cd "$1" && pwd)
exec 9>"$folder/lock"
flock 9
[ ! -e "$folder/base.cpio" ] || exit 0
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# ---- the kernel ----

packages=${GUEST_KERNEL:-$work/package}
if [ -z "${GUEST_KERNEL-}" ]; then
    packages_download "$guest_kernel_package" "$packages" || cannot "$guest_kernel_package can't be downloaded"
fi
for package in "$packages"/*.deb; do
    dpkg -x "$package" "$work/kernel"
done
# Newer packages have everything below /usr, and the modules compressed.
[ -e "$work/kernel/lib" ] || ln -s usr/lib "$work/kernel/lib"
version=$(ls "$work/kernel/lib/modules")
tree=$work/kernel/lib/modules/$version
find "$tree/" -name '*.ko.xz' -exec busybox unxz {} +
# Installing the package would have made the list of what each module needs.
(cd "$tree" && busybox depmod -b "$work/kernel" "$version")
[ -s "$tree/modules.dep" ] || cannot "busybox depmod made no modules.dep"

# ---- the initramfs ----

initramfs=$work/initramfs
guest_skeleton "$initramfs"
mkdir -p "$initramfs"/{dev,proc,sys,run,tmp,mnt,etc,root,var/run,modules}
guest_put "$initramfs" "$(command -v busybox)" /usr/bin/busybox
for program in $(busybox --list); do
    [ -e "$initramfs/usr/bin/$program" ] || ln -s busybox "$initramfs/usr/bin/$program"
done
for program in $programs; do
    rm -f "$initramfs/usr/bin/$program" # not through busybox's link
    guest_put "$initramfs" "$(command -v "$program")" "/usr/sbin/$program"
done
# busybox's shell prefers its own programs to others of the same name in PATH; this one does not.
rm "$initramfs/usr/bin/sh"
guest_put "$initramfs" "$(command -v dash)" /usr/bin/sh
echo 'root:x:0:0:root:/root:/bin/sh' >"$initramfs/etc/passwd"
echo 'root:x:0:' >"$initramfs/etc/group"
printf '127.0.0.1 localhost\n10.0.2.2 host\n' >"$initramfs/etc/hosts"
cp "$here/guest-init.sh" "$initramfs/init"
chmod +x "$initramfs/init"

# add_module NAME LIST: after what it needs, so that they can be loaded in the order of the list.
add_module() {
    local line path needed

    line=$(grep -m 1 -E "(^|/)${1//[-_]/[-_]}\.ko[^:]*:" "$tree/modules.dep") || return 0
    path=${line%%:*}
    ! grep -qxF "$(basename "$path")" "$initramfs"/modules/order* || return 0
    for needed in ${line#*:}; do
        needed=$(basename "$needed")
        add_module "${needed%%.ko*}" "$2"
    done
    [ "${path#/}" = "$path" ] || path=$work/kernel$path
    [ "${path#/}" != "$path" ] || path=$tree/$path
    cp "$path" "$initramfs/modules/"
    basename "$path" >>"$initramfs/modules/$2"
}
: >"$initramfs/modules/order"
for module in $modules; do
    add_module "$module" order
done
for module in $modules_dm_crypt; do
    add_module "$module" order-dm-crypt
done
sed 's,^,insmod /modules/,' "$initramfs/modules/order-dm-crypt" >"$initramfs/modules/load-dm-crypt"

if [ -e "$tree/vmlinuz" ]; then
    cp "$tree/vmlinuz" "$folder/vmlinuz"
else
    cp "$work/kernel/boot/vmlinuz-$version" "$folder/vmlinuz"
fi
guest_pack "$initramfs" >"$work/base.cpio"
mv "$work/base.cpio" "$folder/base.cpio"
