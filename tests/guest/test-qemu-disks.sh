#!/bin/bash
# A virtual machine has encrypted exports as its disks, through QEMU's own client: in the clear over TCP, on a Unix
# socket, and under TLS with a pre-shared key.  File systems on them keep what is written, discards and zeroes work.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/tls.sh"

requires cryptsetup --version
make_psk
pattern=$(temp_file) folder=$(temp_dir) own_socket=$(temp_socket)
cp "$psk" "$folder/keys.psk"
make_pattern "$pattern" 2M
exports=()
for name in tcp unix psk; do
    format_luks2 "$test_dir/$name.luks" 32M --sector-size 4096
    exports+=(--export "$name=$test_dir/$name.luks,key-file=$passphrase,discard")
done
start_nbdcrypt --verbose --listen 127.0.0.1:0 --unix "$own_socket" --tls on --tls-psk "$psk" "${exports[@]}"
port=$(grep -oE '127\.0\.0\.1:[0-9]+' <<<"$ready_line" | head -n 1) port=${port#*:}

tcp="driver=nbd,discard=unmap,server.type=inet,server.host=127.0.0.1,server.port=$port"
guest_add "$pattern" /pattern
guest_run -- -object "tls-creds-psk,id=tls0,dir=$folder,username=alice,endpoint=client" \
    -blockdev "$tcp,node-name=tcp,export=tcp" -device virtio-blk-pci,drive=tcp,serial=tcp \
    -blockdev "driver=nbd,discard=unmap,server.type=unix,server.path=$own_socket,node-name=unix,export=unix" \
    -device virtio-blk-pci,drive=unix,serial=unix \
    -blockdev "$tcp,node-name=psk,export=psk,tls-creds=tls0" -device virtio-blk-pci,drive=psk,serial=psk <<'END' ||
for disk in vda vdb vdc; do
    mkfs.ext4 -q "/dev/$disk"
    mount "/dev/$disk" /mnt
    cp /pattern /mnt/kept
    cp /pattern /mnt/removed
    rm /mnt/removed
    fstrim /mnt
    umount /mnt
    echo 3 >/proc/sys/vm/drop_caches
    mount "/dev/$disk" /mnt
    cmp /pattern /mnt/kept
    umount /mnt
    blkdiscard -z -o 1M -l 1M "/dev/$disk"
    [ "$(dd if="/dev/$disk" bs=1M skip=1 count=1 iflag=direct 2>/dev/null | tr -d '\000' | wc -c)" -eq 0 ]
    echo "$(cat "/sys/block/$disk/serial") is good"
done
END
    fail "in the guest: $(cat "$guest_output")"
for name in tcp unix psk; do
    expect_match "$guest_output" "^$name is good\$"
done
expect_match "$server_log" "alice.*attached export 'psk'"
stop_nbdcrypt
