#!/bin/bash
# Unknown command flags, and flags that were not agreed on, get EINVAL; a payload is drained and not written,
# and the connection goes on.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

for client in all_styles(sys.argv[1]):
    client.write(0, b"C" * 4096)
    for bit in range(6 if client.extended else 5, 16): # 5: test-extended-headers
        for command in (CMD_READ, CMD_FLUSH, CMD_WRITE_ZEROES):
            length = 0 if command == CMD_FLUSH else 4096
            equal(f"command {command} with flag bit {bit}",
                  client.error_of(command, 0, length, 1 << bit), EINVAL)
        for length in (1, 4096, 1 << 20):
            equal(f"WRITE with flag bit {bit}",
                  client.error_of(CMD_WRITE, 0, length, 1 << bit, b"X" * length), EINVAL)
        if client.structured:
            equal(f"BLOCK_STATUS with flag bit {bit}",
                  client.error_of(CMD_BLOCK_STATUS, 0, 4096, 1 << bit), EINVAL)
    # Known flags that the command does not have.
    for command, flags in ((CMD_READ, (F_NO_HOLE, F_REQ_ONE, F_FAST_ZERO)),
                           (CMD_WRITE_ZEROES, (F_DF, F_REQ_ONE)),
                           (CMD_WRITE, (F_NO_HOLE, F_DF, F_REQ_ONE, F_FAST_ZERO))):
        for flag in flags:
            payload = b"X" * 4096 if command == CMD_WRITE else b""
            equal(f"command {command} with flags {flag}",
                  client.error_of(command, 0, 4096, flag, payload), EINVAL)
    if not client.structured:
        equal("DF without structured replies", client.error_of(CMD_READ, 0, 512, F_DF), EINVAL)
        equal("BLOCK_STATUS without structured replies",
              client.error_of(CMD_BLOCK_STATUS, 0, 4096), EINVAL)
    equal("read afterwards", client.read(0, 4096), b"C" * 4096)
    client.disconnect()

# Structured replies, but no context: BLOCK_STATUS has nothing to say.
with Client(sys.argv[1], contexts=()) as client:
    equal("BLOCK_STATUS without a context", client.error_of(CMD_BLOCK_STATUS, 0, 4096), EINVAL)
    equal("read afterwards", client.read(0, 4096), b"C" * 4096)
EOF
}
on_each_pipeline 16M check
