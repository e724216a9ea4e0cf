#!/bin/bash
# 10,000 requests sent in one go are all answered, each with its own data.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import struct
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
COUNT = 10000
writer = Client(uri)
content = b"".join(struct.pack(">Q", number) * 64 for number in range(COUNT))
writer.write(0, content)
for client in all_styles(uri):
    requests, numbers = [], {}
    for number in range(COUNT):
        requests.append(client.request_bytes(CMD_READ, number * 512, 512))
        numbers[client.next_cookie - 1] = number
    client.send_bytes(b"".join(requests))
    for cookie, reply in client.receive_all().items():
        number = numbers[cookie]
        equal(f"read {number}", reply.check().data, content[number * 512:number * 512 + 512])

    # One byte each: every one a read-modify-write under LUKS, and all of them neighbours.
    requests = []
    for number in range(COUNT):
        requests.append(client.request_bytes(CMD_WRITE, number, 1, 0, bytes([number % 251])))
    client.send_bytes(b"".join(requests))
    replies = client.receive_all()
    equal("errors", {reply.error for reply in replies.values()}, {0})
    equal("bytes", client.read(0, COUNT), bytes(number % 251 for number in range(COUNT)))
    writer.write(0, content)
    client.disconnect()
writer.disconnect()
EOF
}
on_each_pipeline 16M check
