#!/bin/bash
# Clients that ask for much and never read, or stop in the middle of a payload, do not delay another one.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" <<'EOF'
import sys
import time
from nbd_client import *

uri = sys.argv[1]
MIB = 1 << 20
worker = Client(uri)
stalled = []
for number in range(12):
    client = Client(uri, receive_buffer_bytes=4096)
    if number % 2:
        client.socket.sendall(b"".join(client.request_bytes(CMD_READ, 0, 8 * MIB) for _ in range(32)))
    else:
        client.socket.sendall(client.request_bytes(CMD_WRITE, 8 * MIB, 8 * MIB)[:28] + b"p" * 70000)
    stalled.append(client)
start = time.monotonic()
for number in range(200):
    data = bytes([number]) * 16384
    worker.write(number * 10000, data)
    equal("read", worker.read(number * 10000, 16384), data)
big = b"B" * (16 * MIB)
worker.write(16 * MIB, big)
equal("read of 16 MiB", worker.read(16 * MIB, 16 * MIB), big)
seconds = time.monotonic() - start
if seconds > 20:
    raise AssertionError(f"{seconds:.0f} s for work of less than one")
# A stalled one that begins to read gets everything, in chunks of one reply or of several.
partial, count = {}, 0
while stalled[1].outstanding:
    reply = stalled[1].receive_part(partial)
    if reply is not None:
        equal("length", len(reply.check().data), 8 * MIB)
        count += 1
equal("replies", count, 32)
worker.disconnect()
EOF
}
on_each_pipeline 40M check
