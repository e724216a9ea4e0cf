#!/bin/bash
# nbd-client, that is the kernel's own client, attaches an encrypted export over TCP with 4 connections: a file
# system on it keeps what is written, discards reach the image, and others read the same from outside.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

requires nbdcopy --version
requires cryptsetup --version
image=$(temp_file) pattern=$(temp_file) copy=$(temp_file)
make_pattern "$pattern" 4M
format_luks2 "$image" 64M --sector-size 4096
start_nbdcrypt --verbose --listen 127.0.0.1:0 --key-file "$passphrase" --discard "$image"
guest_add "$pattern" /pattern

{ echo "port=$port" && cat <<'END'; } >"$test_dir/script"
nbd-client host "$port" /dev/nbd0 -N '' -b 4096 -C 4
[ "$(cat /sys/block/nbd0/size)" -eq $((64 << 11)) ]
echo "discard: $(cat /sys/block/nbd0/queue/discard_max_bytes), fua: $(cat /sys/block/nbd0/queue/fua)"
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 /mnt
cp /pattern /mnt/kept
cp /pattern /mnt/removed
rm /mnt/removed
fstrim /mnt
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount /dev/nbd0 /mnt
cmp /pattern /mnt/kept
umount /mnt
# Where the other programs look: a place that the file system does not use any more.
dd if=/pattern of=/dev/nbd0 bs=1M conv=fsync 2>/dev/null
nbd-client -d /dev/nbd0
END
guest_run -- <"$test_dir/script" || fail "in the guest: $(cat "$guest_output")"
expect_match "$guest_output" '^discard: [1-9][0-9]*, fua: 1$'
expect_equal "connections of the guest" 4 "$(grep -c ': attached export' "$server_log" || true)"

nbdcopy "$uri" "$copy"
cmp --bytes=$((4 << 20)) "$copy" "$pattern" || fail "from outside it is not what the guest wrote"
stop_nbdcrypt
! grep -qE 'broke|dropped|vanished' "$server_log" || fail "a connection of the guest did not end in order"
