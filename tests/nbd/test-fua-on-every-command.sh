#!/bin/bash
# FUA is accepted on every command.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

for client in all_styles(sys.argv[1]):
    if not client.flags & TF_FUA or not client.flags & TF_FLUSH:
        raise AssertionError(f"FLUSH and FUA are not advertised: {client.flags:#x}")
    client.write(0, b"D" * 10000, F_FUA)
    client.write(10001, b"E" * 3, F_FUA)
    equal("read", client.read(0, 10000, F_FUA), b"D" * 10000)
    equal("FLUSH", client.error_of(CMD_FLUSH, flags=F_FUA), 0)
    client.write_zeroes(4096, 4096, F_FUA)
    client.write_zeroes(100, 50, F_FUA | F_NO_HOLE)
    client.trim(1 << 20, 1 << 20, F_FUA)
    if client.flags & TF_CACHE:
        equal("CACHE", client.error_of(CMD_CACHE, 0, 4096, F_FUA), 0)
    if client.structured:
        client.extents(0, client.size, F_FUA)
    equal("read", client.read(0, 10004),
          b"D" * 100 + bytes(50) + b"D" * 3946 + bytes(4096) + b"D" * 1808 + client.read(10000, 1)
          + b"E" * 3)
    client.disconnect()
EOF
}
on_each_pipeline 16M check --discard
