#!/bin/bash
# TRIM and WRITE_ZEROES of any offset and length succeed on a block device, also of less than one of its logical blocks of
# 512 or 4096 bytes: zeros are zeros, and nothing beside them changes.
. "$(dirname "$0")/../support/functions.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root, to make a block device"
requires cryptsetup --version
device=''
clean_up_test() {
    [ -z "$device" ] || losetup --detach "$device"
}

# make_device BLOCK: 64 MiB, in $file.
make_device() {
    [ -z "$device" ] || losetup --detach "$device"
    file=$(temp_file)
    truncate --size=64M "$file"
    device=$(losetup --find --show --sector-size "$1" "$file" 2>/dev/null) ||
        skip "a loop device with blocks of $1 bytes can't be made here"
    blockdev --setrw "$device" # whoever had it before may have left it otherwise
    expect_equal "logical block" "$1" "$(blockdev --getss "$device")"
}

# trim_and_zero KIND BLOCK: of what is served.  KIND: raw, or the option of a LUKS volume.
trim_and_zero() {
    python "$source_dir/tests/nbd/trim-and-zeroes-of-less-than-a-block.py" "$uri" "$1" "$2" </dev/null
}

# trim_frees_space: of 32 MiB that were written, from an odd offset to an odd end.
trim_frees_space() {
    local before after

    python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

MIB = 1 << 20
with Client(sys.argv[1]) as client:
    for at in range(4, 36, 4):
        client.write(at * MIB, b"T" * (4 * MIB), F_FUA)
    client.disconnect()
PYTHON_END
    before=$(stat --format=%b "$file")
    python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.trim((4 << 20) + 512, (32 << 20) - 1024, F_FUA)
    client.disconnect()
PYTHON_END
    after=$(stat --format=%b "$file")
    [ "$after" -le $((before - 31 * 2048)) ] || fail "TRIM of 32 MiB freed $(((before - after) / 2)) KiB"
}

for block in 512 4096; do
    make_device "$block"
    start_nbdcrypt --raw "$device"
    trim_and_zero raw "$block"
    trim_frees_space
    stop_nbdcrypt

    # A copy of a sparse file whose pieces are of 512 bytes, by clients of others.
    sparse=$(temp_file)
    truncate --size=8M "$sparse"
    for at in 1 3 9 1001 16383; do
        printf '%512s' "$at" | dd of="$sparse" bs=512 seek="$at" conv=notrunc status=none
    done
    printf '%13s' tail | dd of="$sparse" bs=1 seek=$(((8 << 20) - 13)) conv=notrunc status=none
    start_nbdcrypt --raw "$device"
    nbdcopy --sparse=512 "$sparse" "$uri"
    cmp --bytes=$((8 << 20)) "$sparse" "$device" || fail "nbdcopy wrote something else"
    qemu-img convert -n -S 512 -f raw -O raw "$sparse" "$uri" >>"$log_dir/qemu-img" 2>&1 ||
        fail "qemu-img convert failed: $(cat "$log_dir/qemu-img")"
    qemu-io -f raw -c 'write -z -u 512 1536' -c 'write -z 7680 512' -c 'discard 512 8192' "$uri" >>"$log_dir/qemu-io" 2>&1 ||
        fail "qemu-io failed: $(cat "$log_dir/qemu-io")"
    stop_nbdcrypt
    rm "$sparse"

    # Sectors of 512 bytes on it.
    luks2=()
    for kind in luks1 luks2; do
        for option in discard zero-holes; do
            note "$kind --$option on blocks of $block bytes"
            [ "$kind" = luks1 ] || luks2=(--pbkdf pbkdf2 --sector-size 512)
            cryptsetup luksFormat --batch-mode --type "$kind" --pbkdf-force-iterations 1000 \
                "${luks2[@]+"${luks2[@]}"}" --key-file "$passphrase" "$device"
            start_nbdcrypt --key-file "$passphrase" "--$option" "$device"
            trim_and_zero "$option" "$block"
            trim_frees_space
            stop_nbdcrypt
        done
    done
done

# Where somebody else has claimed it, zeros are written, and TRIM does nothing.
make_device 4096
"$PYTHON" -c 'import os, sys, time
os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)
open(sys.argv[2], "w").close()
time.sleep(600)' "$device" "$test_dir/claimed" &
remember_pid $!
wait_until 20 test -e "$test_dir/claimed"
start_nbdcrypt --raw --force-in-use "$device"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.write(0, b"b" * 65536)
    equal("WRITE_ZEROES", client.error_of(CMD_WRITE_ZEROES, 512, 20000), 0)
    equal("FAST_ZERO", client.error_of(CMD_WRITE_ZEROES, 4096, 4096, F_FAST_ZERO), ENOTSUP)
    equal("TRIM", client.error_of(CMD_TRIM, 32768, 4096), 0)
    equal("data", client.read(0, 65536), b"b" * 512 + bytes(20000) + b"b" * (65536 - 20512))
    client.disconnect()
PYTHON_END
stop_nbdcrypt
