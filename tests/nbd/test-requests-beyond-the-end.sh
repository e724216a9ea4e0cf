#!/bin/bash
# Requests that pass the end: EINVAL for reads, ENOSPC for writes; the payload is drained, nothing in front of
# the end is changed, and the connection goes on.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
for client in all_styles(uri):
    size = client.size
    client.write(size - 4096, b"L" * 4096)
    places = ((size, 1), (size - 1, 2), (size - 512, 1024), (size - 4096, 8192), (size + 1, 1),
              (size + (1 << 40), 512), ((1 << 63) - 1, 4096), ((1 << 63), 4096),
              ((1 << 64) - 4096, 4096), ((1 << 64) - 1, 1), ((1 << 64) - 1, 4096), (0, size + 1))
    for offset, length in places:
        where = f"{length} bytes at {offset:#x}"
        if length <= 1 << 20:
            equal(f"READ of {where}", client.error_of(CMD_READ, offset, length), EINVAL)
            equal(f"WRITE of {where}",
                  client.error_of(CMD_WRITE, offset, length, 0, b"X" * length), ENOSPC)
        equal(f"WRITE_ZEROES of {where}", client.error_of(CMD_WRITE_ZEROES, offset, length), ENOSPC)
        equal(f"TRIM of {where}", client.error_of(CMD_TRIM, offset, length), EINVAL)
        if client.flags & TF_CACHE:
            equal(f"CACHE of {where}", client.error_of(CMD_CACHE, offset, length), EINVAL)
        if client.structured:
            equal(f"BLOCK_STATUS of {where}", client.error_of(CMD_BLOCK_STATUS, offset, length),
                  EINVAL)
    equal("last block", client.read(size - 4096, 4096), b"L" * 4096)
    # The very last byte is inside.
    client.write(size - 1, b"E")
    equal("last byte", client.read(size - 1, 1), b"E")
    client.disconnect()
EOF
}
on_each_pipeline 16M check --discard
