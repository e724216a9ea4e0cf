#!/bin/bash
# What cannot be served: one sentence each, that names the image and the cause; nothing is changed.
. "$(dirname "$0")/../support/functions.sh"

image=$test_dir/image
serve=(serve --unix "$(temp_socket)")
with_key=("${serve[@]}" --key-file "$passphrase")
backends='file:, memory:, nbdkit:, nbd:, nbds:, nbd+unix:, nbds+unix:'
case $("$NBDCRYPT" info rbd: 2>&1 || true) in
*'no backend is called'*) ;; # built without librbd
*) backends+=', rbd:' ;;
esac
sizes='write a number of bytes below 2^64, or one with K, M, G or T behind it (powers of 1024), such as 512M'

expect_failure 1 "image '$image': it can't be opened: No such file or directory" "${serve[@]}" --raw "$image"
expect_failure 1 "image '$image': it can't be opened: No such file or directory" "${with_key[@]}" "$image"
expect_failure 1 "image 'file:$image': it can't be opened: No such file or directory" "${serve[@]}" --raw "file:$image"
expect_failure 1 "image '$image': it can't be opened: No such file or directory" info "$image"
expect_failure 1 "image '$test_dir': it can't be opened: Is a directory" "${serve[@]}" --raw "$test_dir"
expect_failure 1 "image 'nosuch:x': no backend is called 'nosuch' (there are $backends); for a file of that name write './nosuch:x'" \
    "${serve[@]}" --raw nosuch:x
expect_failure 1 "image 'memory:12Q': '12Q' is not a size: $sizes" "${serve[@]}" --raw memory:12Q
expect_failure 1 "image 'memory:': '' is not a size: $sizes" "${serve[@]}" --raw memory:
expect_failure 1 "image 'memory:1M': no LUKS header found: it is blank; nbdcrypt format makes an encrypted disk of it (if its header is apart, name it by --header)" "${with_key[@]}" memory:1M

# Not LUKS: what it is instead is not our business here, and nothing of it is touched.
make_pattern "$image" 1M
for size in 1M 4K 100 1 0; do
    truncate --size="$size" "$image"
    before=$(sha256_of "$image")
    expect_failure 1 "image '$image': no LUKS header found: if the header is apart, name it by --header; is it the right one? \
(as it is, without encryption, it is served by --raw)" "${with_key[@]}" "$image"
    expect_failure 1 "image '$image': no LUKS header found: if the header is apart, name it by --header" info "$image"
    expect_failure 1 "header '$image': no LUKS header found" info --header "$image" memory:1M
    expect_failure 1 "header '$image': no LUKS header found" key list --header "$image" memory:1M
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
done
[ ! -e "${serve[2]}" ] || fail "a server that did not start has left its socket"

# expect_told MARK WHAT [SERVE-ADVICE [INFO-ADVICE]]: of an image that begins with this.
expect_told() {
    truncate --size=0 "$image"
    truncate --size=1M "$image"
    printf %b "$1" | dd of="$image" conv=notrunc status=none
    expect_failure 1 "image '$image': no LUKS header found: it $2${3-}" "${with_key[@]}" "$image"
    expect_failure 1 "image '$image': no LUKS header found: it $2${4-${3-}}" info "$image"
    expect_failure 1 "image '$image': no LUKS header found: it $2${4-${3-}}" key list "$image"
}
raw="; volumes are raw images (qemu-img convert -O raw)"
expect_told '' "is blank; nbdcrypt format makes an encrypted disk of it (if its header is apart, name it by --header)"
expect_told 'QED\0' "holds a QEMU QED image" "$raw"
expect_told 'KDMV' "holds a VMware image (VMDK)" "$raw"
expect_told '# Disk DescriptorFile' "holds the description of a VMware image (VMDK)" "$raw"
expect_told 'conectix' "holds a Virtual PC image (VHD)" "$raw"
expect_told 'vhdxfile' "holds a Hyper-V image (VHDX)" "$raw"
expect_told "$(printf '%064d' 0)\\0177\\0020\\0332\\0276" "holds a VirtualBox image (VDI)" "$raw"

# One that begins as a qcow2 image, which might be encrypted.
truncate --size=0 "$image"
truncate --size=1M "$image"
printf 'QFI\373' | dd of="$image" conv=notrunc status=none
expect_failure 1 "image '$image': it is qcow2 of version 0; there are 1, 2 and 3 (it begins as a qcow2 image)" \
    "${with_key[@]}" "$image"
expect_failure 1 "image '$image': it is qcow2 of version 0; there are 1, 2 and 3 (it begins as a qcow2 image)" info "$image"
expect_failure 1 "image '$image': no LUKS header found: it holds a QEMU qcow2 image; with ?format=qcow2 behind its name the \
disk in it is read" key list "$image"

# A file system, and a disk with partitions.
truncate --size=0 "$image"
truncate --size=1M "$image"
printf '\123\357' | dd of="$image" bs=1 seek=1080 conv=notrunc status=none
expect_failure 1 "image '$image': no LUKS header found: it holds a file system (ext2); is it the right one? (as it is, without \
encryption, it is served by --raw)" "${with_key[@]}" "$image"
expect_failure 1 "image '$image': no LUKS header found: it holds a file system (ext2)" info "$image"
truncate --size=0 "$image"
truncate --size=1M "$image"
printf '\0\0\0\0\203\0\0\0\100\0\0\0\100\4\0\0' | dd of="$image" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$image" bs=1 seek=510 conv=notrunc status=none
expect_failure 1 "image '$image': no LUKS header found: it holds a partition table (dos); a partition of it is named by \
?partition=N behind the image" info "$image"
expect_failure 1 "image '$image?partition=1': no LUKS header found: it is blank; nbdcrypt format makes an encrypted disk of it (if its header is apart, name it by --header)" \
    "${with_key[@]}" "$image?partition=1"
