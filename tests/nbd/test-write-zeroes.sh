#!/bin/bash
# WRITE_ZEROES reads back as zeroes, whatever its alignment and length, and its neighbours stay.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
MIB = 1 << 20
for client in all_styles(uri):
    for flags in (0, F_NO_HOLE, F_FUA):
        model = bytearray(b"Z" * (2 * MIB))
        client.write(0, model)
        for offset, length in ((0, 4096), (8192, 512), (12289, 1), (16383, 2), (20479, 4098),
                               (100001, 300003), (MIB, 262144), (MIB + 300000, 262145)):
            client.write_zeroes(offset, length, flags)
            model[offset:offset + length] = bytes(length)
        equal("data", client.read(0, len(model)), bytes(model))
    # Far longer than any payload may be.
    start, length = 3 * MIB + 5, 200 * MIB
    client.write(start - 5, b"before")
    client.write(start + length - 3, b"...behind")
    client.write_zeroes(start, length)
    equal("before", client.read(start - 5, 5), b"befor")
    equal("behind", client.read(start + length, 6), b"behind")
    for offset in range(start, start + length, 20 * MIB):
        equal("zeroes", client.read(offset, 20 * MIB), bytes(20 * MIB))
    client.disconnect()
EOF
}
on_each_pipeline 256M check
