#!/bin/bash
# --max-connections holds: one more is turned away, and let in when another has left.
. "$(dirname "$0")/functions.sh"

start_nbdcrypt --raw --max-connections 3 memory:1M
python - "$uri" <<'EOF'
import sys
from nbd_client import *

uri = sys.argv[1]
clients = [Client(uri) for _ in range(3)]


def one_more():
    try:
        return Client(uri, timeout_s=5)
    except (EndOfStream, ConnectionResetError, ConnectionRefusedError, BrokenPipeError, TimeoutError):
        return None


if one_more():
    raise AssertionError("a fourth client was let in")
for client in clients:
    equal("read", client.read(0, 4), bytes(4))
clients.pop().disconnect()
newcomer = wait_for(one_more, "a place is free again")
equal("read", newcomer.read(0, 4), bytes(4))
EOF
stop_nbdcrypt
