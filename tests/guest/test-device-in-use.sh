#!/bin/bash
# A block device that dm-crypt or swap uses is neither served, formatted, erased nor are its keys changed, whatever its
# node; with --force-in-use its keys are.  A device of device-mapper that nobody uses is served.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

requires cryptsetup --version
disk=$(temp_file) second=$(temp_file) backup=$test_dir/backup
truncate --size=18M "$disk"
printf second >"$second"
expect_success format --force --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$disk"
expect_success header backup "$disk" "$backup"
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$(command -v cryptsetup)" /usr/sbin/cryptsetup
guest_add "$passphrase" /key
guest_add "$second" /second
guest_add "$backup" /backup

guest_run -- -drive "file=$disk,format=raw,if=none,id=disk" -device virtio-blk-pci,drive=disk <<'END' ||
sh -eu /modules/load-dm-crypt 2>/dev/null || true
export DM_DISABLE_UDEV=1
mkdir -p /run/cryptsetup
fast='--pbkdf pbkdf2 --pbkdf-iterations 1000'
refused() {
    if nbdcrypt "$@" 2>/log; then
        echo "not refused: $*"
        exit 1
    fi
    echo "$reason: $(cat /log)"
    grep -q "$reason" /log
}
head_of_disk() {
    dd if=/dev/vda bs=64k count=1 2>/dev/null | md5sum
}
IFS=: read -r major minor </sys/block/vda/dev
mknod /second-node b "$major" "$minor"
cryptsetup open --key-file /key /dev/vda volume
reason='it is part of dm-0'
before=$(head_of_disk)
for node in /dev/vda /second-node; do
    refused serve --raw --unix /socket "$node"
    refused serve --raw --read-only --unix /socket "$node"
    refused format --force --key-file /key $fast "$node"
    refused header restore --force "$node" /backup
done
refused erase --yes /dev/vda
refused key add --key-file /key --new-key-file /second $fast /dev/vda
[ "$before" = "$(head_of_disk)" ]
nbdcrypt key add --force-in-use --key-file /key --new-key-file /second $fast /dev/vda
nbdcrypt key test --key-file /second /dev/vda
nbdcrypt serve --raw --unix /socket --run true /dev/mapper/volume
cryptsetup close volume
nbdcrypt serve --key-file /second --unix /socket --run true /dev/vda
mkswap /dev/vda
swapon /dev/vda
reason='is in use (mounted, swap,'
refused serve --raw --unix /socket /second-node
refused format --force --key-file /key $fast /dev/vda
swapoff /dev/vda
nbdcrypt serve --raw --unix /socket --run true /dev/vda
echo 'all done'
END
    fail "in the guest: $(cat "$guest_output")"
expect_message "$guest_output" 'all done'
