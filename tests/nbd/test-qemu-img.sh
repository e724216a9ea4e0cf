#!/bin/bash
# qemu-img converts into and out of an export (raw and qcow2), compares, and sees its allocation.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires qemu-img --version
plain=$(temp_file) image=$(temp_file) copy=$(temp_file)
make_pattern "$plain" 16M
format_luks2 "$image" 16M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" "$image"
qemu_img_quiet() { qemu-img "$@" >>"$log_dir/qemu-img" 2>&1; }

qemu_img_quiet convert -n -m 16 -W -f raw -O raw "$plain" "$uri"
qemu_img_quiet compare -f raw -F raw "$plain" "$uri"
qemu_img_quiet convert -f raw -O qcow2 "$uri" "$copy"
qemu_img_quiet compare -f raw -F qcow2 "$plain" "$copy"

# Zeroes in the source become WRITE_ZEROES, and must be zeroes here.
dd if=/dev/zero of="$plain" bs=1M seek=4 count=7 conv=notrunc status=none
qemu_img_quiet convert -n -f raw -O raw "$plain" "$uri"
qemu_img_quiet compare -s -f raw -F raw "$plain" "$uri" ||
    [ "$(tail -n 1 "$log_dir/qemu-img")" != "Images are identical." ] ||
    fail "the images differ after zeroes were copied"
qemu_img_quiet compare -f raw -F raw "$plain" "$uri"
qemu-img info -f raw "$uri" >"$test_dir/info"
expect_match "$test_dir/info" '^virtual size: 16 MiB'
qemu-img map -f raw --output=json "$uri" >"$test_dir/map"
if grep -q '"zero": true' "$test_dir/map"; then
    fail "QEMU was told that something reads as zeroes"
fi

# One byte more in the copy must be noticed: compare can fail.
printf x | dd of="$plain" bs=1 seek=12345678 conv=notrunc status=none
if qemu_img_quiet compare -f raw -F raw "$plain" "$uri"; then
    fail "qemu-img does not see a difference"
fi
stop_nbdcrypt
