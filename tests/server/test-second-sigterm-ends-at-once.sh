#!/bin/bash
# A first SIGTERM waits for a client that does not take its answers; a second one does not.  What comes within a second is
# no second one: timeout(1) sends two.
. "$(dirname "$0")/../support/functions.sh"

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
gone() {
    [ ! -e "/proc/$pid" ] || [ "$(ps -o state= -p "$pid")" = Z ]
}
begin=$(date +%s%N)
while [ $(($(date +%s%N) - begin)) -lt 500000000 ]; do
    kill -TERM "$pid"
    kill -INT "$pid"
    # A machine that was busy for so long says nothing.
    [ $(($(date +%s%N) - begin)) -gt 900000000 ] || ! gone || fail "two signals at once ended it"
    sleep 0.05
done
while [ $(($(date +%s%N) - begin)) -lt 1100000000 ]; do
    ! gone || fail "the server did not wait for the client"
    sleep 0.05
done
kill -TERM "$pid"
wait_until 3 gone
expect_match "$server_log" "ended by a second signal; what was not flushed may be lost$"
