#!/bin/bash
# A client that does not finish its handshake in time (10 s by default) is sent away, however busy it is; one
# that did may idle.
. "$(dirname "$0")/../support/functions.sh"

start_nbdcrypt --raw --handshake-timeout 3 memory:1M
python - "$uri" <<'EOF'
import struct
import sys
import time
from nbd_client import *

uri = sys.argv[1]
idle = Client(uri)
start = time.monotonic()
silent = Client(uri, handshake=False)
half = Client(uri, handshake=False)
half.send_client_flags()
half.send_bytes(struct.pack(">QI", MAGIC_OPTION, OPT_LIST))
chatty = Client(uri, handshake=False)
chatty.send_client_flags()
while time.monotonic() - start < 2:
    chatty.option(OPT_LIST)
    time.sleep(0.1)
for client, what in ((silent, "silent"), (half, "half an option"), (chatty, "chatty")):
    client.expect_end()
    seconds = time.monotonic() - start
    if not 2.5 < seconds < 10:
        raise AssertionError(f"{what}: ended after {seconds:.1f} s")
equal("the idle client's read", idle.read(0, 4), bytes(4))
idle.disconnect()
EOF
stop_nbdcrypt
