#!/bin/bash
# BLOCK_STATUS tells holes and data as the file has them: HOLE and ZERO for a hole of a raw file, HOLE alone
# under LUKS, where a hole decrypts to noise; one chunk per context; REQ_ONE gives one extent inside the request.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
python - "$test_dir" <<'EOF' || skip "this file system does not tell where files have holes"
import os
import sys

with open(sys.argv[1] + "/probe", "w+b") as file:
    file.truncate(1 << 20)
    sys.exit(0 if os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 0 else 1)
EOF

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
MIB = 1 << 20
client = Client(uri)
for start, length in ((2 * MIB, 2 * MIB), (8 * MIB, 65536)):
    client.write(start, b"d" * length)
hole = STATE_HOLE | STATE_ZERO if pipeline == "raw" else STATE_HOLE
expected = [(2 * MIB, hole), (2 * MIB, 0), (4 * MIB, hole), (65536, 0),
            (8 * MIB - 65536, hole)]


def walk(offset, length, flags=0):
    """The extents of a range, neighbours of one kind joined, from as many requests as it takes."""
    found, end = [], offset + length
    while offset < end:
        for extent, kind in client.extents(offset, end - offset, flags):
            extent = min(extent, end - offset)
            if found and found[-1][1] == kind:
                found[-1] = (found[-1][0] + extent, kind)
            else:
                found.append((extent, kind))
            offset += extent
    return found


equal("extents of the whole", walk(0, client.size), expected)
equal("extents of the whole, one by one", walk(0, client.size, F_REQ_ONE), expected)
equal("REQ_ONE", client.extents(0, client.size, F_REQ_ONE), [(2 * MIB, hole)])
equal("REQ_ONE inside an extent", client.extents(3 * MIB, 4096, F_REQ_ONE), [(4096, 0)])
equal("a piece", walk(4 * MIB - 8192, 16384), [(8192, 0), (8192, hole)])
equal("the last byte", walk(client.size - 1, 1), [(1, hole)])
equal("an odd piece", walk(2 * MIB + 1, 4097), [(4097, 0)])
# The range begins in a hole and ends in data, neither at a block.
equal("an odd piece across", walk(2 * MIB - 4099, 5000 + 4099), [(4099, hole), (5000, 0)])
client.disconnect()
EOF
}
on_each_pipeline 16M check
