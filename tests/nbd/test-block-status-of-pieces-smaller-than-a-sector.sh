#!/bin/bash
# Storage that tells of pieces smaller than an encryption sector, however few at a time, is no end of the server: wherever
# a client asks, BLOCK_STATUS has an answer, and what is data is not called a hole.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires cryptsetup --version
volume=$(temp_file)
format_luks2 "$volume" 1M --sector-size 4096
payload_bytes=$((16 << 20))

# walk_all: each offset around the edges of sectors, with and without REQ_ONE, and two clients of others.
walk_all() {
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    for flags in 0, F_REQ_ONE:
        for offset in (at + by for at in range(0, 16384, 512) for by in (-1, 0, 1) if at + by >= 0):
            for length in 1, 511, 4096, 5000, 65536:
                extents = client.extents(offset, length, flags)
                told = sum(extent for extent, _ in extents)
                if not 0 < told <= length:
                    raise SystemExit(f"{length} bytes at {offset}: {extents}")
                # Where the remote of this test has data, and so the sector that it is in.
                if offset % 2048 < 1024 and extents[0][1] != 0:
                    raise SystemExit(f"data at {offset} is called {extents[0]}")
EOF
    nbdinfo --map "$uri" >"$log_dir/map"
    qemu-img map --output=json "$uri" >>"$log_dir/map" 2>"$log_dir/qemu-img"
    expect_alive
}

# A remote that tells 1 KiB at a time, data and holes in turn.
new_remote
start_fake "$volume" structured volatile=no lie=crumb
start_nbdcrypt --key-file "$passphrase" --read-only "$remote"
walk_all
stop_nbdcrypt

# A file that has extents of 1 KiB.
. "$support_dir/loop-devices.sh"
requires mkfs.ext4 -V
image=$(temp_file)
truncate --size=40M "$image"
mkfs.ext4 -q -b 1024 -O ^has_journal -E nodiscard "$image" >"$log_dir/mkfs" 2>&1
new_loop "$image"
mount_device "$loop"
folder=$mounted
cp --sparse=always "$volume" "$folder/volume"
python - "$folder/volume" "$payload_bytes" <<'EOF'
import os
import sys

file = os.open(sys.argv[1], os.O_RDWR)
os.ftruncate(file, int(sys.argv[2]))
os.ftruncate(file, int(sys.argv[2]) + (1 << 20))
for at in range(0, 65536, 2048):
    os.pwrite(file, b"d" * 1024, int(sys.argv[2]) + at)
os.fsync(file)
EOF
start_nbdcrypt --key-file "$passphrase" "$folder/volume"
walk_all
stop_nbdcrypt
