#!/bin/bash
# A first SIGTERM waits for a client that does not take its answers; a second one does not.
. "$(dirname "$0")/functions.sh"

# It does not wait for its threads then, which is the point.
export TSAN_OPTIONS=${TSAN_OPTIONS-}:report_thread_leaks=0
start_nbdcrypt --raw memory:64M
mkfifo "$test_dir/stalled"
"$PYTHON" - "$uri" "$test_dir/stalled" <<'EOF' &
import sys
import time
from nbd_client import *

client = Client(sys.argv[1], receive_buffer_bytes=4096)
client.send_bytes(b"".join(client.request_bytes(CMD_READ, 0, 32 << 20) for _ in range(8)))
client.receive_bytes(1)
with open(sys.argv[2], "w") as ready:
    ready.write("stalled\n")
time.sleep(600)
EOF
remember_pid $!
read -r -t 60 _ <"$test_dir/stalled"
kill -TERM "$pid"
sleep 0.5
kill -0 "$pid" || fail "the server did not wait for the client at all"
[ "$(ps -o state= -p "$pid")" != Z ] || fail "the server did not wait for the client at all"
kill -TERM "$pid"
gone() {
    [ ! -e "/proc/$pid" ] || [ "$(ps -o state= -p "$pid")" = Z ]
}
wait_until 3 gone
