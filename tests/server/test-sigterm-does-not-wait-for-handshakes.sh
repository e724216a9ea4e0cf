#!/bin/bash
# SIGTERM while clients dawdle in their handshake: one that asks hears ERR_SHUTDOWN, and one that says nothing
# does not keep the server for the ten seconds that a handshake may take.
. "$(dirname "$0")/../support/functions.sh"

# One thread: when one client has been sent away, all have been told.
start_nbdcrypt --raw --threads 1 memory:1M
python - "$uri" "$pid" <<'EOF'
import os
import signal
import sys
import time
from nbd_client import *

uri, pid = sys.argv[1], int(sys.argv[2])
silent = Client(uri, handshake=False)
half = Client(uri, handshake=False)
half.send_client_flags()
half.send_bytes(b"IHAVE")
asking = Client(uri, handshake=False)
asking.send_client_flags()
equal("INFO", asking.option_result(OPT_INFO, asking.go_payload("")), REP_ACK)
idle = Client(uri)
start = time.monotonic()
os.kill(pid, signal.SIGTERM)
idle.expect_end()
try:
    equal("GO", asking.option_result(OPT_GO, asking.go_payload("")), REP_ERR_SHUTDOWN)
    asking.option(OPT_ABORT)
except (EndOfStream, ConnectionError):
    pass
for client in (asking, half, silent):
    client.expect_end()
seconds = time.monotonic() - start
if seconds > 5:
    raise AssertionError(f"the server waited {seconds:.1f} s for clients that had nothing in flight")
EOF
stopped=0
wait "$pid" || stopped=$?
expect_equal "exit status" 0 "$stopped"

