#!/bin/bash
# What comes behind a WRITE_ZEROES of 128 MiB on an encrypted export is answered before it, several of them
# go at once, and a client that leaves in the middle does no harm.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

image=$(temp_file)
format_luks2 "$image" 192M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" "$image"
python - "$uri" <<'EOF'
import sys
from nbd_client import *

MIB = 1 << 20
LONG = 128 * MIB
with Client(sys.argv[1]) as client:
    client.write(0, b"Z" * MIB)
    client.write(LONG, b"Y" * 4 * MIB)
    zeroes = client.send(CMD_WRITE_ZEROES, MIB - 5, LONG)
    others = [client.send(CMD_WRITE_ZEROES, LONG + (4 + i) * MIB, MIB) for i in range(4)]
    quick = [client.send(CMD_READ, 0, 4096), client.send(CMD_WRITE, LONG + 3 * MIB, payload=b"X" * 4096)]
    order = [client.receive().cookie for _ in range(7)]
    equal("answered", sorted(order), sorted([zeroes] + others + quick))
    if order.index(zeroes) < max(map(order.index, quick)):
        raise SystemExit(f"what came behind the zeroes {zeroes} waited for them: {order}")
    equal("in front", client.read(0, MIB - 5), b"Z" * (MIB - 5))
    for offset in (MIB - 5, 50 * MIB + 1, LONG - 5):
        equal("zeroes", client.read(offset, MIB), bytes(MIB))
    equal("behind", client.read(LONG + MIB - 5, 5), b"Y" * 5)
    equal("written meanwhile", client.read(LONG + 3 * MIB, 4096), b"X" * 4096)
# One goes without a word, the next one finds all in order.
with Client(sys.argv[1]) as client:
    client.send(CMD_WRITE_ZEROES, 0, LONG)
with Client(sys.argv[1]) as client:
    equal("behind", client.read(LONG + MIB, MIB), b"Y" * MIB)
    client.disconnect()
EOF
stop_nbdcrypt
