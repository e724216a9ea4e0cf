#!/bin/bash
# A command whose file could not be stored fails, and says so, though every write of it succeeded: it was the writeback that
# did not, as the sync tells.
#
# The files are on ext4 without a journal, on a loop device whose own file is on a tmpfs without room.
. "$(dirname "$0")/../support/functions.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root, to make a disk that is full"
requires mkfs.ext4 -V
requires cryptsetup --version
small=$(temp_dir) mounted=$(temp_dir) device=''
clean_up_test() {
    umount --lazy "$mounted" 2>/dev/null
    [ -z "$device" ] || losetup --detach "$device"
    umount --lazy "$small" 2>/dev/null
}
mount -t tmpfs -o size=48M tmpfs "$small" 2>/dev/null || skip "a tmpfs can't be mounted here"
truncate --size=200M "$small/disk"
device=$(losetup --find --show "$small/disk" 2>/dev/null) || skip "a loop device can't be made here"
blockdev --setrw "$device" # whoever had it before may have left it otherwise
mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=0,nodiscard "$device"
mount "$device" "$mounted" 2>/dev/null || skip "ext4 can't be mounted here"

make_volume() { # make_volume FILE: cryptsetup's, of which what is all zeros takes no room
    truncate --size=24M "$1"
    cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file "$passphrase" "$1"
    fallocate --dig-holes "$1"
}
backup=$(temp_file)
make_volume "$test_dir/elsewhere"
truncate --size=24M "$mounted/to-format" "$mounted/to-restore"
rm "$backup"
expect_success header backup "$test_dir/elsewhere" "$backup"
mkdir "$mounted/folder"
sync --file-system "$mounted"
# What is on the disk can still be overwritten; nothing new has room.
cat /dev/zero >"$small/ballast" 2>/dev/null || true

# fails ARGUMENT...: with status 1 and a message of one line, and claims nothing.
fails() {
    run_nbdcrypt "$@"
    expect_equal "exit status of '$*'" 1 "$status"
    [ ! -s "$out" ] || fail "'nbdcrypt $*' could not store what it did, and printed: $(cat "$out")"
    expect_equal "lines that '$*' says" 1 "$(wc -l <"$err")"
}

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
fails format --key-file "$passphrase" "${fast[@]}" "$mounted/to-format"
fails format --key-file "$passphrase" "${fast[@]}" --size 8M "$mounted/new"
fails format --key-file "$passphrase" "${fast[@]}" --header "$mounted/new-header" --force "$test_dir/elsewhere"
# Not key add: some of its blocks may be taken where Linux tells nobody that they were not stored (cryptsetup says "done" there,
# too).  test-failing-storage-and-keys.sh has the commands on keys.
fails header restore --yes "$mounted/to-restore" "$backup"
fails header backup "$test_dir/elsewhere" "$mounted/backup"
[ ! -e "$mounted/backup" ] || fail "the backup that could not be stored is there"
fails tls init "$mounted/folder/pki" --host storage --client vm
