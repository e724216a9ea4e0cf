#!/bin/bash
# MULTI_CONN holds: what one connection wrote, a FLUSH on another covers and a third reads at once.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

clients = [Client(sys.argv[1]) for _ in range(6)]
for client in clients:
    if not client.flags & TF_MULTI_CONN:
        raise AssertionError(f"MULTI_CONN is not advertised: {client.flags:#x}")
for number in range(300):
    writer, flusher, reader = (clients[(number + k) % 6] for k in (0, 1, 3))
    data = bytes([number % 256]) * (1 + number * 37)
    writer.write(number * 511, data)
    equal("read before FLUSH", reader.read(number * 511, len(data)), data)
    flusher.flush()
    equal("read after FLUSH", reader.read(number * 511, len(data)), data)
for client in clients:
    client.disconnect()
EOF
}
on_each_pipeline 4M check
