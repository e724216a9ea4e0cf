#!/bin/bash
# A block device as the image: nbdcrypt runs in the guest, formats /dev/vda and serves it, with O_DIRECT and without;
# what is written is on the device, encrypted, and is there again after a restart.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

requires nbdcopy --version
requires nbdinfo --version
requires cryptsetup --version
disk=$(temp_file) pattern=$(temp_file)
truncate --size=19M "$disk" # 16 MiB of it are the header
make_pattern "$pattern" 2M
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$(command -v nbdcopy)" /usr/bin/nbdcopy
guest_add "$(command -v nbdinfo)" /usr/bin/nbdinfo
guest_add "$passphrase" /key
guest_add "$pattern" /pattern

guest_run -- -drive "file=$disk,format=raw,if=none,id=disk,discard=unmap" -device virtio-blk-pci,drive=disk <<'END' ||
trap 'cat /log' EXIT
uri='nbd+unix:///?socket=/socket'
start() {
    rm -f /ready /socket
    nbdcrypt serve --verbose --unix /socket --key-file /key "$@" /dev/vda >/ready 2>/log &
    server=$!
    wait_for /ready "$server" /log
}
stop() {
    kill "$server"
    wait "$server"
}
nbdcrypt format --key-file /key --pbkdf pbkdf2 --pbkdf-iterations 1000 --sector-size 4096 /dev/vda
nbdcrypt info /dev/vda >/info
start
nbdcopy --flush /pattern "$uri"
stop
start --direct
nbdcopy "$uri" /copy
cmp -n "$(stat -c %s /pattern)" /pattern /copy
[ "$(stat -c %s /copy)" -eq "$(nbdinfo --size "$uri")" ]
dd if=/dev/urandom of=/pattern bs=512k count=1 conv=notrunc 2>/dev/null
nbdcopy --flush /pattern "$uri"
stop
start
nbdcopy "$uri" /copy
cmp -n "$(stat -c %s /pattern)" /pattern /copy
stop
echo 'both have read what the other wrote'
END
    fail "in the guest: $(cat "$guest_output")"
expect_message "$guest_output" 'both have read what the other wrote'
# What QEMU has stored, outside of the guest.
python - "$disk" "$pattern" <<'END'
import sys

disk, pattern = (open(name, "rb").read() for name in sys.argv[1:])
assert pattern[-4096:] not in disk, "the plaintext is on the device"
assert disk[16 << 20:(16 << 20) + (2 << 20)].count(b"\0") < 20000, "nothing was written where the data belongs"
END
cryptsetup_quietly open --test-passphrase "$disk"
