#!/bin/bash
# SIGTERM and clients that do not close: one to which nothing is due is not waited for; storage that is slow is, and its
# answers come; one that asks for ever, takes no answer or stops in the middle of a request is left after some seconds, and the
# log says which of these it was.
. "$(dirname "$0")/../support/functions.sh"

requires nbdkit --filter=delay memory --version

# ends_within SECONDS: SIGTERM has been sent at $sent_at, in microseconds.
ends_within() {
    local stopped=0

    wait "$pid" || stopped=$?
    expect_equal "exit status" 0 "$stopped"
    [ $((${EPOCHREALTIME/./} - sent_at)) -lt $(($1 * 1000000)) ] || fail "the end took longer than $1 s"
}

# Nothing is due, and what is sent now is nobody's fault.
start_nbdcrypt --raw --listen 127.0.0.1:0 --unix "$(temp_socket)" memory:64M
coproc HOLD { exec "$PYTHON" - "${uris[@]}" <<'EOF'
import signal
import sys
from nbd_client import *

clients = [Client(uri) for uri in sys.argv[1:] for _ in range(20)]
for client in clients:
    client.read(0, 512)
print("ready", flush=True)
for client in clients:
    client.expect_end()
    try:
        client.send(CMD_WRITE, 0, 0, 0, b"\xff" * 100000)
    except ConnectionError:
        pass
print("told", flush=True)
signal.pause()
EOF
} 2>>"$log_dir/hold"
# shellcheck disable=SC2153 # bash sets it
hold_pid=$HOLD_PID
remember_pid "$hold_pid"
read -r -t 60 -u "${HOLD[0]}" _ || fail "the clients are not ready"
sent_at=${EPOCHREALTIME/./}
kill "$pid"
ends_within 4
grep -E 'answers|request|lost' "$server_log" && fail "it says what is not so"
kill "$hold_pid"
wait "$hold_pid" 2>>"$log_dir/hold" || true

# The answer of slow storage comes, however long the client hears nothing.
slow_socket=$(temp_socket)
nbdkit --foreground --unix "$slow_socket" --filter=delay memory 1M wdelay=7 2>"$log_dir/nbdkit" &
remember_pid $!
wait_until 20 test -S "$slow_socket"
start_nbdcrypt --raw --threads 1 --unix "$(temp_socket)" --export "memory=memory:64M,raw" \
    --export "slow=nbd+unix:///?socket=$slow_socket,raw"
sent_at=${EPOCHREALTIME/./}
python - "$socket" "$pid" <<'EOF'
import os
import select
import signal
import sys
import threading
from nbd_client import *

socket, pid = sys.argv[1], int(sys.argv[2])
uri = f"nbd+unix:///memory?socket={socket}"
slow = Client(f"nbd+unix:///slow?socket={socket}")
slow.send(CMD_WRITE, 0, 0, 0, b"a" * 4096)
half, deaf, asking = (Client(uri) for _ in range(3))
half.send_bytes(half.request_bytes(CMD_WRITE, 0, 4096, 0, b"b" * 4096)[:1000])
deaf.send_bytes(b"".join(deaf.request_bytes(CMD_READ, 0, 256 << 10) for _ in range(64)))
select.select([deaf.socket], [], []) # answers come, and so the server has what was sent before

def ask():
    try:
        while True:
            asking.send(CMD_READ, 0, 512)
    except (EndOfStream, ConnectionError, OSError):
        pass

def take():
    try:
        while asking.socket.recv(1 << 16):
            pass
    except ConnectionError:
        pass

threads = [threading.Thread(target=what) for what in (ask, take)]
for thread in threads:
    thread.start()
os.kill(pid, signal.SIGTERM)
equal("errors of the WRITE to slow storage", [reply.error for reply in slow.receive_all().values()], [0])
slow.expect_end()
for thread in threads:
    thread.join()
EOF
ends_within 20
expect_equal "lines of dropped clients" 2 "$(grep -c dropped "$server_log")"
expect_match "$server_log" 'did not send the rest of its request; dropped$'
expect_match "$server_log" 'did not take its last answers; dropped$'
