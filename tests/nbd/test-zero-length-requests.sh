#!/bin/bash
# A request of length 0 gets an answer, and the connection goes on.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

for client in all_styles(sys.argv[1]):
    client.write(0, b"A" * 4096)
    for command in (CMD_READ, CMD_WRITE, CMD_WRITE_ZEROES, CMD_TRIM, CMD_CACHE, CMD_BLOCK_STATUS):
        for offset in (0, 1, client.size):
            reply = client.call(command, offset, 0)
            if reply.error not in (0, EINVAL, ENOSPC):
                raise AssertionError(f"command {command} of length 0: error {reply.error}")
            if command == CMD_READ and reply.error == 0:
                equal("data of an empty read", reply.data, b"")
    equal("read afterwards", client.read(0, 4096), b"A" * 4096)
    client.disconnect()
EOF
}
on_each_pipeline 16M check
