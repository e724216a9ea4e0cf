#!/bin/bash
# The kernel tells of a writeback that failed once, to whoever syncs first.  Here every FLUSH and every FUA fails from then
# on, of all connections, until the image is opened again; the log says so once, and the exit status too.  What was
# flushed before is there.
#
# The disk is a loop device, whose own file is on a tmpfs that becomes full.
. "$(dirname "$0")/../support/functions.sh"

[ "$(id -u)" -eq 0 ] || skip "needs root, to make a disk that becomes full"
requires mkfs.ext4 -V
small=$(temp_dir) mounted=$(temp_dir) device=''
clean_up_test() {
    # Lazily: the kernel takes the io_uring of a server apart after its end.
    umount --lazy "$mounted" 2>/dev/null
    [ -z "$device" ] || losetup --detach "$device"
    umount --lazy "$small" 2>/dev/null
}
mount -t tmpfs -o size=48M tmpfs "$small" 2>/dev/null || skip "a tmpfs can't be mounted here"
truncate --size=200M "$small/disk"
device=$(losetup --find --show "$small/disk" 2>/dev/null) || skip "a loop device can't be made here"
blockdev --setrw "$device" # whoever had it before may have left it otherwise

empty_disk() {
    fallocate --punch-hole --offset 0 --length 200M "$small/disk"
    blockdev --flushbufs "$device"
}

# make_image: 120 MiB in a new file system on the device.
make_image() {
    empty_disk
    mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=0,nodiscard "$device"
    mount "$device" "$mounted" 2>/dev/null || skip "ext4 can't be mounted here"
    image=$mounted/image
    truncate --size=120M "$image"
}

# expect_end: the server tells once in the log what happened, and by its exit status.
expect_end() {
    local ended=0

    kill -TERM "$pid"
    wait "$pid" || ended=$?
    expect_equal "exit status" 1 "$ended"
    expect_equal "how often the log tells" 1 \
        "$(grep -c "image '$image': .*written since the last good FLUSH may be lost" "$server_log")"
    expect_match "$server_log" "export '': flushing failed: "
}

# flushes: on three connections, of which one has filled the disk.
flushes() {
    python "$source_dir/tests/server/failed-writeback-fails-every-flush-flushes.py" "$uri" </dev/null
}

# ---- FLUSH ----

make_image
start_nbdcrypt --report-directory "$test_dir/reports" --raw --threads 2 "$image"
flushes
expect_end
umount "$mounted"

# Opened again, it flushes.
make_image
start_nbdcrypt --report-directory "$test_dir/reports" --raw "$image"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.write(0, b"again" * 1000)
    client.flush()
    client.disconnect()
PYTHON_END
stop_nbdcrypt
umount "$mounted"

# The device itself, where no file system can lose its way to what was flushed.
empty_disk
image=$device
start_nbdcrypt --report-directory "$test_dir/reports" --raw --threads 2 "$image"
flushes
expect_end
blockdev --flushbufs "$device"
cmp <(tail --bytes=+$(((118 << 20) + 1)) "$device" | head --bytes=65536) <(yes kept | tr -d '\n' | head --bytes=65536) ||
    fail "what was flushed is gone"

# ---- FUA: a small write is told of what another client wrote ----

make_image
start_nbdcrypt --report-directory "$test_dir/reports" --raw --threads 2 "$image"
python "$source_dir/tests/server/failed-writeback-fails-every-flush-of-all.py" "$uri" </dev/null
expect_end
umount "$mounted"

# ---- nobody flushes but the server, at its end ----

make_image
start_nbdcrypt --report-directory "$test_dir/reports" --raw "$image"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    for at in range(0, 99, 3):
        client.write(at << 20, b"A" * (3 << 20))
    client.disconnect()
PYTHON_END
expect_end
