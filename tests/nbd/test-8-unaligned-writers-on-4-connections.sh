#!/bin/bash
# Eight writers on four connections, whose byte ranges lie side by side in the same sectors, lose nothing of each
# other's; the result equals the model byte for byte.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" <<'EOF'
import random
import sys
import threading
from nbd_client import *

uri = sys.argv[1]
PIECE, COUNT, WRITERS, ROUNDS = 700, 1200, 8, 4
START = 1234
model = [b""] * COUNT
failures = []


def content(number, round_number):
    return bytes([number & 255, number >> 8, round_number]) * (PIECE // 3) + b"!"


def write_on_one_connection(connection):
    """Two of the eight writers: piece i belongs to writer i % 8, so all neighbours are somebody else's."""
    try:
        chance = random.Random(connection)
        client = Client(uri)
        mine = [i for i in range(COUNT) if i % WRITERS in (connection, connection + 4)]
        for round_number in range(ROUNDS):
            chance.shuffle(mine)
            for at in range(0, len(mine), 32):
                for number in mine[at:at + 32]:
                    model[number] = content(number, round_number)
                    client.send(CMD_WRITE, START + number * PIECE, 0, 0, model[number])
                for reply in client.receive_all().values():
                    reply.check()
        client.flush()
        client.disconnect()
    except BaseException as failure:
        failures.append(failure)
        raise


threads = [threading.Thread(target=write_on_one_connection, args=(i,)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    raise SystemExit("a writer failed")
with Client(uri) as client:
    equal("all pieces", client.read(START, PIECE * COUNT), b"".join(model))
EOF
}
on_each_pipeline 4M check
