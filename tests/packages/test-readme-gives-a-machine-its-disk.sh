#!/bin/bash
# The README's step for a virtual machine, as it is: QEMU has the export as a disk, on the socket that the package's configuration
# names, and would connect again.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-system-x86_64 --version
path=/run/nbdcrypt/nbd.sock
readme=${top_srcdir:-$source_dir}/README.md
sed -n '/^## From a package/,/^## /p' "$readme" | sed -n 's/^    //p' | sed -n '/^sudo qemu-system/,/nbd\.sock/p' |
    sed 's/^sudo //; s/  *#.*//' >"$test_dir/step"
grep -q "$path" "$test_dir/step" || fail "the README has another step"
expect_match "${top_srcdir:-$source_dir}/dist/nbdcrypt.conf" "^unix = $path\$"

start_nbdcrypt --raw --name vm1 --unix "$test_dir/nbd.sock" memory:64M
# Its screen and its processor are not needed.
{
    sed "s,$path,$test_dir/nbd.sock," "$test_dir/step" | sed '$s/$/ \\/'
    echo '-display none -nodefaults -S -monitor stdio'
} >"$test_dir/machine"
printf 'info block\nqemu-io virtio0 "write -P 7 1M 4k"\nqemu-io virtio0 "read -P 7 1M 4k"\nquit\n' |
    timeout 60 bash -eu "$test_dir/machine" >"$log_dir/machine" 2>&1 || fail "QEMU does not start"
expect_match "$log_dir/machine" 'virtio0.*nbd'
expect_match "$log_dir/machine" 'wrote 4096/4096 bytes'
expect_match "$log_dir/machine" 'read 4096/4096 bytes'
! grep -q 'Pattern verification failed' "$log_dir/machine" || fail "it reads something else than it wrote"
stop_nbdcrypt
