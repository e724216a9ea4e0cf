#!/bin/bash
# Reads and writes of distinct byte ranges, many in flight on one connection and not aligned to
# anything, do not disturb each other.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" "$pipeline" <<'EOF'
import random
import sys
from nbd_client import *

uri, pipeline = sys.argv[1:]
chance = random.Random(7)
for piece in (1000, 4096, 70000):
    for client in all_styles(uri):
        count = min(400, client.size // piece)
        start = client.size - count * piece
        model = [b"." * piece] * count
        for number in range(count):
            client.send(CMD_WRITE, start + number * piece, 0, 0, model[number])
            if number % 32 == 31:
                client.receive_all()
        client.receive_all()
        for _ in range(12):
            batch = chance.sample(range(count), 64)
            reads = {}
            for number in batch:
                if chance.random() < 0.5:
                    model[number] = chance.randbytes(piece)
                    client.send(CMD_WRITE, start + number * piece, 0, 0, model[number])
                else:
                    reads[client.send(CMD_READ, start + number * piece, piece)] = number
                if len(client.outstanding) >= 24:
                    reply = client.receive_all()
                    for cookie, answer in reply.items():
                        if cookie in reads:
                            equal("read in flight", answer.check().data, model[reads[cookie]])
                        answer.check()
            for cookie, answer in client.receive_all().items():
                answer.check()
                if cookie in reads:
                    equal("read in flight", answer.data, model[reads[cookie]])
        equal("everything", client.read(start, count * piece), b"".join(model)[:count * piece])
        client.disconnect()
EOF
}
on_each_pipeline 40M check
