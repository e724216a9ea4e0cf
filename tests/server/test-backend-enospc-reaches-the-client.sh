#!/bin/bash
# When the disk below is full, writes get ENOSPC, reads and the connection go on, and once there is room writes
# work again.
#
# A file system of 24 MiB is mounted in a namespace of its own; where that is not allowed, a limit on the size of
# files stands in for it.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

if [ -z "${INSIDE_NAMESPACE-}" ]; then
    for how in --mount --map-root-user\ --mount; do
        # shellcheck disable=SC2086
        if unshare $how mount -t tmpfs -o size=24M tmpfs "$test_dir" 2>/dev/null; then
            ended=0
            # shellcheck disable=SC2086
            INSIDE_NAMESPACE=1 unshare $how bash "$0" || ended=$?
            exit "$ended"
        fi
    done
fi

plain_start() {
    start_nbdcrypt --key-file "$passphrase" "$image"
}

if [ -n "${INSIDE_NAMESPACE-}" ]; then
    small=$(temp_dir)
    mount -t tmpfs -o size=24M tmpfs "$small"
    clean_up_test() { umount "$small"; }
    make_room() { rm "$small/ballast"; }
    image=$small/disk
    format_luks2 "$image" 64M
    plain_start
    dd if=/dev/zero of="$small/ballast" bs=64K count=32 status=none
else
    image=$(temp_file)
    make_room() { prlimit --pid="$pid" --fsize=unlimited:; }
    format_luks2 "$image" 64M
    plain_start
    # 16 MiB of header and 6 MiB of data.
    prlimit --pid="$pid" --fsize=$((22 << 20)):
fi

python - "$uri" <<'EOF'
import sys
from nbd_client import *

MIB = 1 << 20
for client in all_styles(sys.argv[1]):
    client.write(0, b"first" * 100)
    # From the front, until it is full; the last bytes of the volume are surely behind the limit.
    errors = [client.error_of(CMD_WRITE, at, MIB, 0, b"f" * MIB) for at in range(MIB, 64 * MIB, MIB)]
    equal("errors", set(errors), {0, ENOSPC})
    last = 63 * MIB
    equal("WRITE", client.error_of(CMD_WRITE, last, 4096, 0, b"f" * 4096), ENOSPC)
    # It is the write that fails, not a sync: nobody else is concerned, and FLUSH goes on below.
    equal("WRITE with FUA", client.error_of(CMD_WRITE, last, 4096, F_FUA, b"f" * 4096), ENOSPC)
    equal("odd WRITE", client.error_of(CMD_WRITE, last + 8193, 100, 0, b"f" * 100), ENOSPC)
    equal("WRITE_ZEROES", client.error_of(CMD_WRITE_ZEROES, last, MIB), ENOSPC)
    equal("WRITE of 32 MiB", client.error_of(CMD_WRITE, 32 * MIB, 32 * MIB, 0, b"f" * (32 * MIB)), ENOSPC)
    equal("read", client.read(0, 500), b"first" * 100)
    client.flush()
    client.disconnect()
EOF
make_room
python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    at = 63 << 20
    client.write(at + 3, b"there is room again")
    equal("read", client.read(at + 3, 19), b"there is room again")
EOF
stop_nbdcrypt
