#!/bin/bash
# A client that asks for gigabytes and does not read makes the server wait, not grow; others are served
# meanwhile, and in the end every answer comes.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pid" <<'EOF'
import sys
import time
from nbd_client import *

uri, pid = sys.argv[1], sys.argv[2]
MIB = 1 << 20


def resident_mib():
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024


other = Client(uri)
other.write(0, b"b" * 65536)
for structured in (False, True):
    before = resident_mib()
    client = Client(uri, structured=structured, receive_buffer_bytes=65536)
    # 96 x 32 MiB = 3 GiB, and many small ones behind.
    requests = b"".join(client.request_bytes(CMD_READ, 0, 32 * MIB) for _ in range(96))
    requests += b"".join(client.request_bytes(CMD_READ, 0, 512) for _ in range(20000))
    client.socket.setblocking(False)
    sent = 0
    idle_since = time.monotonic()
    peak = before
    while sent < len(requests) and time.monotonic() - idle_since < 1.0:
        try:
            sent += client.socket.send(requests[sent:])
            idle_since = time.monotonic()
        except BlockingIOError:
            equal("another client's read", other.read(0, 65536), b"b" * 65536)
            other.write(100, b"b" * 1000)
        peak = max(peak, resident_mib())
    grown = peak - before
    if grown > 256:
        raise AssertionError(f"the server has grown by {grown} MiB for a client that does not read")
    client.socket.close()

# A modest amount, kept waiting and then read to the end.
client = Client(uri, receive_buffer_bytes=65536)
requests = b"".join(client.request_bytes(CMD_READ, 0, MIB) for _ in range(64))
client.send_bytes(requests)
wait_for(lambda: other.read(0, 512) == b"b" * 512, "another client's read")
replies = client.receive_all()
equal("replies", len(replies), 64)
for reply in replies.values():
    equal("data", reply.check().data[:65536], b"b" * 65536)
client.disconnect()
other.disconnect()
EOF
}
on_each_pipeline 64M check
