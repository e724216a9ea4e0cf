#!/bin/bash
# A machine boots from an encrypted export: boot loader, kernel and root file system.  It has two more disks under TLS, with a
# certificate and with a pre-shared key.  While it writes to all of them the server is killed and comes back, and no request
# fails.  After a reboot all is there that was written.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/vm-recipes.sh"

requires_boot_loader
requires qemu-img --version
bash "$support_dir/bootable-disk.sh" "$test_dir/disk.raw" "$guest_cache" 2>"$log_dir/bootable-disk"
qemu-img convert -O qcow2 "$test_dir/disk.raw" "$root/cloud.qcow2"
make_server_of_page
run_recipe import
drive_machines boots-from-an-encrypted-disk.py boot x509 psk
grep -qaF SYSLINUX "$test_dir/disk.raw"
! grep -qaE 'SYSLINUX|written by the machine' "$root/var/lib/nbdcrypt/vm1.luks" || fail "the image has the boot loader in the clear"
