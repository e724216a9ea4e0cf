#!/bin/bash
# An unknown command gets EINVAL, and the connection goes on.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

for client in all_styles(sys.argv[1]):
    client.write(4096, b"B" * 4096)
    for command in (8, 9, 100, 255, 256, 32768, 65535):
        for length in (0, 4096, 0xFFFFFFFF):
            equal(f"command {command}, length {length}",
                  client.error_of(command, 0, length), EINVAL)
    # In one go with others, between them.
    cookies = []
    data = b""
    for command in (CMD_READ, 99, CMD_READ, 77, CMD_READ):
        data += client.request_bytes(command, 4096, 4096)
        cookies.append(client.next_cookie - 1)
    client.send_bytes(data)
    replies = client.receive_all()
    equal("errors", [replies[cookie].error for cookie in cookies], [0, EINVAL, 0, EINVAL, 0])
    equal("data", replies[cookies[4]].data, b"B" * 4096)
    client.disconnect()
EOF
}
on_each_pipeline 16M check
