#!/bin/bash
# DISC behind requests in flight: all of them are answered, DISC is not, then the stream ends; what was
# written is there.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
for client in all_styles(uri):
    parts, reads = [], []
    for number in range(200):
        parts.append(client.request_bytes(CMD_WRITE, number * 16384, 16384, 0,
                                          bytes([number]) * 16384))
        parts.append(client.request_bytes(CMD_READ, 8 << 20, 16384))
        reads.append(client.next_cookie - 1)
    wanted = len(client.outstanding)
    parts.append(client.request_bytes(CMD_DISC))
    disconnect = client.next_cookie - 1
    del client.outstanding[disconnect]
    client.send_bytes(b"".join(parts))
    replies = client.receive_all()
    equal("replies", len(replies), wanted)
    equal("errors", {reply.error for reply in replies.values()}, {0})
    client.expect_end()
    with Client(uri) as check:
        for number in range(200):
            equal("data", check.read(number * 16384, 16384), bytes([number]) * 16384)
        check.write_zeroes(0, 200 * 16384)
EOF
}
on_each_pipeline 16M check
