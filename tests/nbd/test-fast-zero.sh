#!/bin/bash
# FAST_ZERO is advertised; where zeroes must be written out (LUKS) it gets ENOTSUP at once and changes nothing.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
for client in all_styles(uri):
    if not client.flags & TF_FAST_ZERO or not client.flags & TF_WRITE_ZEROES:
        raise AssertionError(f"FAST_ZERO or WRITE_ZEROES is not advertised: {client.flags:#x}")
    client.write(0, b"F" * 65536)
    for offset, length in ((0, 65536), (4096, 4096), (1, 100)):
        for more in (0, F_NO_HOLE):
            error = client.error_of(CMD_WRITE_ZEROES, offset, length, F_FAST_ZERO | more)
            if pipeline != "raw" or error:
                equal("FAST_ZERO", error, ENOTSUP)
                equal("data", client.read(0, 65536), b"F" * 65536)
            else:
                equal("data", client.read(offset, length), bytes(length))
                client.write(0, b"F" * 65536)
    client.disconnect()
EOF
}
on_each_pipeline 16M check
