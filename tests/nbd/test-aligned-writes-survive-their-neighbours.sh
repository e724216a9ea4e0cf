#!/bin/bash
# A whole-block WRITE or WRITE_ZEROES that lands while another request reads, changes and writes back a part of the
# same block is not lost: outside of the other's bytes its data is there.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

uri = sys.argv[1]
BLOCK, BLOCKS = 4096, 24
whole, odd = Client(uri), Client(uri)
for round_number in range(1, 120):
    zeroes = round_number % 3 == 0
    big = b"" if zeroes else bytes([round_number])
    small = bytes([round_number + 100])
    base = (round_number % 5) * BLOCK * BLOCKS
    requests = ([], [])
    for block in range(BLOCKS):
        at = base + block * BLOCK
        if zeroes:
            requests[0].append(whole.request_bytes(CMD_WRITE_ZEROES, at, BLOCK))
        else:
            requests[0].append(whole.request_bytes(CMD_WRITE, at, BLOCK, 0, big * BLOCK))
        for start in (100, 1000, 4000):
            requests[1].append(odd.request_bytes(CMD_WRITE, at + start, 50, 0, small * 50))
    # Now one, now the other is a little earlier.
    for client, requests_of in ((whole, requests[0]), (odd, requests[1]))[::(-1) ** round_number]:
        client.send_bytes(b"".join(requests_of))
    for client in (whole, odd):
        for reply in client.receive_all().values():
            reply.check()
    data = whole.read(base, BLOCK * BLOCKS)
    big = big or bytes(1)
    for block in range(BLOCKS):
        found = data[block * BLOCK:(block + 1) * BLOCK]
        rest = found
        for start in (100, 1000, 4000):
            piece = found[start:start + 50]
            if piece not in (small * 50, big * 50):
                raise AssertionError(f"round {round_number}, block {block}: a mixed piece at {start}")
            rest = rest[:start] + big * 50 + rest[start + 50:]
        equal(f"round {round_number}, block {block}, outside of the small writes", rest, big * BLOCK)
whole.disconnect()
odd.disconnect()
EOF
}
on_each_pipeline 4M check
