#!/bin/bash
# READ and WRITE of 32 MiB work in both reply styles, at any alignment; longer ones get a clean error or
# the end of the connection, never a wrong byte, and other clients do not notice.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import random
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
LENGTH = 32 << 20
other = Client(uri)
other.write(0, b"O" * 4096)
minimum, preferred, maximum = other.block_sizes()
if maximum < LENGTH:
    raise AssertionError(f"maximum payload {maximum}")
content = random.Random(1).randbytes(LENGTH)
for number, client in enumerate(all_styles(uri)):
    for offset in (4096, 8193 + number):
        client.write(offset, content)
        equal("data", client.read(offset, LENGTH), content)
    client.disconnect()

for structured in (False, True):
    for command, length in ((CMD_READ, LENGTH + 1), (CMD_READ, 40 << 20), (CMD_WRITE, LENGTH + 1),
                            (CMD_WRITE, 40 << 20)):
        client = Client(uri, structured=structured)
        before = client.read(64 << 20, 4096)
        try:
            # The server may hang up while the payload is still being sent.
            reply = client.call(command, 64 << 20, length, 0,
                                b"P" * length if command == CMD_WRITE else b"")
        except (EndOfStream, ConnectionResetError, BrokenPipeError):
            continue
        if reply.error:
            if reply.error not in (EINVAL, EOVERFLOW, ENOMEM):
                raise AssertionError(f"{length} bytes: error {reply.error}")
            equal("read afterwards", client.read(64 << 20, 4096), before)
        elif command == CMD_READ:
            equal("data", reply.data[:4096], before)
        client.disconnect()
equal("another client's read", other.read(0, 4096), b"O" * 4096)
other.disconnect()
EOF
}
on_each_pipeline 128M check
