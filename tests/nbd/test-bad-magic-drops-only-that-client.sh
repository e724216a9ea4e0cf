#!/bin/bash
# A request with a wrong magic number ends its connection, and no other.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import struct
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
other = Client(uri)
other.write(0, b"M" * 4096)
for magic in (0, 0x12560953, 0x25609514, 0x21E41C71, 0xFFFFFFFF, MAGIC_SIMPLE_REPLY):
    for structured in (False, True):
        client = Client(uri, structured=structured)
        good = client.request_bytes(CMD_READ, 0, 4096)
        bad = struct.pack(">IHHQQI", magic, 0, CMD_READ, 1, 0, 4096)
        client.send_bytes(good + bad + good)
        # What came before may be answered; nothing that came behind.
        try:
            reply = client.receive()
            equal("data", reply.data, b"M" * 4096)
            client.receive()
            raise AssertionError("a second reply after a bad magic number")
        except (EndOfStream, ConnectionResetError):
            pass
        equal("another client's read", other.read(0, 4096), b"M" * 4096)
other.disconnect()
EOF
}
on_each_pipeline 16M check
