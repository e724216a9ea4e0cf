#!/bin/bash
# With --zero-holes a new sparse image reads as zeros, BLOCK_STATUS says so, WRITE_ZEROES and TRIM give space back, and copies
# by nbdcopy and qemu-img to and from it stay sparse and equal;
# without the option (its header has to let it) the same image has the same data, and noise where the holes are.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires nbdinfo --version
requires qemu-img --version
requires_python_module cryptography

fallocate --length 1M "$test_dir/probe"
fallocate --punch-hole --offset 0 --length 1M "$test_dir/probe" ||
    skip "no holes can be punched in $test_dir"

allocated_kib() {
    echo $(($(stat --format=%b "$1") / 2))
}

# expect_at_most_kib FILE KIB
expect_at_most_kib() {
    local kib

    sync "$1"
    kib=$(allocated_kib "$1")
    [ "$kib" -le "$2" ] || fail "$1 has $kib KiB allocated, more than $2"
}

# 2 MiB of data here and there in 64 MiB.
plain=$(temp_file) copy=$(temp_file) part=$(temp_file)
make_pattern "$part" $((1 << 20))
truncate --size=64M "$plain"
dd if="$part" of="$plain" bs=1M seek=3 conv=notrunc status=none
dd if="$part" of="$plain" bs=1M seek=50 conv=notrunc status=none

commands() {
    python - "$uri" "$pipeline" <<'END'
import sys
from nbd_client import *

MIB = 1 << 20
with Client(sys.argv[1]) as client:
    if not client.flags & TF_TRIM:
        raise AssertionError("TRIM is not advertised")
    equal("new image", client.read(5 * MIB, MIB), bytes(MIB))
    client.write(10 * MIB, b"w" * MIB)
    client.write_zeroes(10 * MIB + 100, MIB - 200)
    equal("zeroes", client.read(10 * MIB, MIB), b"w" * 100 + bytes(MIB - 200) + b"w" * 100)
    client.write(10 * MIB, b"w" * MIB)
    equal("FAST_ZERO", client.error_of(CMD_WRITE_ZEROES, 10 * MIB, MIB, F_FAST_ZERO), 0)
    equal("zeroes", client.read(10 * MIB, MIB), bytes(MIB))
    client.write(10 * MIB, b"w" * MIB)
    equal("NO_HOLE", client.error_of(CMD_WRITE_ZEROES, 10 * MIB, MIB, F_NO_HOLE), 0)
    equal("zeroes", client.read(10 * MIB, MIB), bytes(MIB))
    equal("one request for all", client.error_of(CMD_WRITE_ZEROES, 0, client.size), 0)
    equal("zeroes", client.read(0, MIB), bytes(MIB))
END
}

sparse_copies() {
    commands
    nbdcopy "$plain" "$uri"
    expect_at_most_kib "$image" 20480 # the header has up to 16 MiB
    nbdinfo --map --totals "$uri" > "$test_dir/map"
    expect_match "$test_dir/map" 'hole,zero'
    nbdcopy "$uri" "$copy"
    cmp "$plain" "$copy"
    expect_at_most_kib "$copy" 4096
    rm "$copy"
    qemu-img convert -f raw -O raw "$uri" "$copy"
    cmp "$plain" "$copy"
    expect_at_most_kib "$copy" 4096
    rm "$copy"
    qemu-img convert -n -f raw -O raw "$plain" "$uri"
    qemu-img compare -f raw -F raw "$plain" "$uri" > "$test_dir/compare"
}
TEST_PIPELINES='luks-512 luks-1024 luks-2048 luks-4096' on_each_pipeline 64M sparse_copies --zero-holes

# The image is LUKS as ever: without the option the data is there, and holes are noise and not zeros.
format_luks2 "$image" 64M
start_nbdcrypt --key-file "$passphrase" --export "=$image,zero-holes"
nbdcopy "$plain" "$uri"
stop_nbdcrypt
expect_success header zero-holes --yes "$image" off
start_nbdcrypt --key-file "$passphrase" "$image"
python - "$uri" "$part" <<'END'
import sys
from nbd_client import *

MIB = 1 << 20
with Client(sys.argv[1]) as client:
    equal("data", client.read(3 * MIB, MIB), open(sys.argv[2], "rb").read())
    if client.read(20 * MIB, 4096) == bytes(4096):
        raise AssertionError("a hole reads as zeros without --zero-holes")
END
nbdinfo --map "$uri" > "$test_dir/map"
! grep -q zero "$test_dir/map" || fail "zeros are claimed without --zero-holes"
stop_nbdcrypt

# What was written is there for others, too: for QEMU's own driver and nbdkit's filter (LUKS1), and for who decrypts by the
# book (LUKS2, each sector size).
truncate --size=0 "$image"
truncate --size=66M "$image"
cryptsetup_quietly luksFormat --type luks1 --offset 4096 --pbkdf-force-iterations 1000 "$image"
pipeline=luks1
start_nbdcrypt --key-file "$passphrase" --zero-holes "$image"
sparse_copies
stop_nbdcrypt
for at in 3 50; do
    qemu-img dd --object "secret,id=secret0,file=$passphrase" -O raw bs=1M skip=$at count=$((at + 1)) \
        --image-opts "if=$(qemu_luks "$image")" "of=$copy" >"$log_dir/qemu-dd" 2>&1
    cmp "$part" "$copy"
    rm "$copy"
done
if nbdkit --filter=luks null --dump-plugin >"$log_dir/nbdkit-luks" 2>&1; then
    socket=$(temp_socket)
    nbdkit --foreground --unix "$socket" --filter=luks file "$image" passphrase=+"$passphrase" >"$log_dir/nbdkit" 2>&1 &
    remember_pid $!
    wait_until 20 test -S "$socket"
    python - "nbd+unix:///?socket=$socket" "$part" <<'END'
import sys
from nbd_client import *

MIB = 1 << 20
with Client(sys.argv[1]) as client:
    for at in (3, 50):
        equal("data for nbdkit", client.read(at * MIB, MIB), open(sys.argv[2], "rb").read())
END
fi
for sector in 512 1024 2048 4096; do
    pipeline=luks-$sector
    format_luks2 "$image" 64M --sector-size $sector
    start_nbdcrypt --key-file "$passphrase" --zero-holes "$image"
    nbdcopy "$plain" "$uri"
    stop_nbdcrypt
    python - "$image" "$passphrase" "$part" <<'END'
import sys
from luks_image import LuksImage
from nbd_client import equal

MIB = 1 << 20
image = LuksImage(*sys.argv[1:3])
for at in (3, 50):
    equal("data by the book", image.read(at * MIB, MIB), open(sys.argv[3], "rb").read())
END
done
