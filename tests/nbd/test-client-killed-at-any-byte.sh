#!/bin/bash
# Clients that vanish in the middle of requests and of replies, at random bytes, politely or with a reset, harm
# nobody: others go on and read what they wrote.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

check() {
    python - "$uri" <<'EOF'
import random
import socket
import struct
import sys
from nbd_client import *

uri = sys.argv[1]
chance = random.Random(3)
witness = Client(uri)
MIB = 1 << 20
for number in range(150):
    victim = Client(uri, structured=chance.random() < 0.5)
    if chance.random() < 0.5:
        victim.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    script = b"".join(chance.choice((
        lambda: victim.request_bytes(CMD_READ, chance.randrange(4 * MIB), 100000),
        lambda: victim.request_bytes(CMD_WRITE, 4 * MIB + chance.randrange(MIB), 9000, 0, b"v" * 9000),
        lambda: victim.request_bytes(CMD_WRITE_ZEROES, 4 * MIB, 3000000),
        lambda: victim.request_bytes(CMD_FLUSH),
        lambda: victim.request_bytes(CMD_TRIM, 4 * MIB, MIB)))() for _ in range(8))
    victim.socket.settimeout(0.5)
    try:
        victim.socket.sendall(script[:chance.randrange(len(script) + 1)])
        if chance.random() < 0.3:
            victim.socket.recv(chance.randrange(1, 100000))
    except OSError:
        pass
    victim.socket.close()
    data = bytes([number + 1]) * 5001
    witness.write(number * 5001, data)
    equal("the witness's read", witness.read(number * 5001, 5001), data)
expected = b"".join(bytes([number + 1]) * 5001 for number in range(150))
equal("everything the witness wrote", witness.read(0, len(expected)), expected)
witness.disconnect()
EOF
}
on_each_pipeline 8M check --listen 127.0.0.1:0 --discard
