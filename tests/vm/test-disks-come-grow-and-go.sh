#!/bin/bash
# While a machine runs, it gets a disk, which is copied to another encrypted export by a job of QEMU, grows and goes again. Then the
# machine moves to another QEMU, which has the same export attached, and writes all the time.  The disks are whole after that.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/vm-recipes.sh"

requires_boot_loader
requires nbdcopy --version
requires command -v resize2fs
bash "$support_dir/bootable-disk.sh" "$test_dir/disk.raw" "$guest_cache" 2>"$log_dir/bootable-disk"
make_server_of_page
"$NBDCRYPT" serve --key-file "$root/etc/nbdcrypt/keys/vm1" --run "nbdcopy '$test_dir/disk.raw' \"\$uri\"" \
    "$root/var/lib/nbdcrypt/vm1.luks" 2>"$log_dir/import"
for name in add backup-disk grow remove; do
    recipe "$name" >"$test_dir/$name.sh"
done
drive_machines disks-come-grow-and-go.py boot port plug backup backup-end grow-told grow-inside unplug unplug-end migrate-to migrate

# file_of DISK OFFSET FILE: from an ext4 in the disk, whose file system is whole.
file_of() {
    local copy

    copy=$(temp_file)
    "$NBDCRYPT" serve --key-file "$root/etc/nbdcrypt/keys/$1" --run "nbdcopy \"\$uri\" '$copy'" "$root/var/lib/nbdcrypt/$1.luks" 2>>"$log_dir/copy"
    e2fsck -fy "$copy?offset=$2" >"$log_dir/e2fsck-$1" 2>&1 || [ $? -le "$4" ] || fail "$1 is damaged: $(cat "$log_dir/e2fsck-$1")"
    debugfs -R "cat $3" "$copy?offset=$2" 2>>"$log_dir/debugfs"
    rm "$copy"
}
# The backup was made of a mounted disk: its journal is replayed.
expect_equal "file in the backup" "as it was" "$(file_of backup 0 /kept 1)"
expect_equal "file in the disk that has gone" "as it is" "$(file_of data3 0 /kept 0)"
expect_equal "file of the machine that moved" "$(cat "$log_dir/sum")" "$(file_of vm1 $((116736 * 512)) /root/data 0 | md5sum)"
