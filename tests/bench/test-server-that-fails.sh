#!/bin/bash
# A server that dies, hangs, refuses or fails requests ends a run with a sentence and exit status 1.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

requires nbdkit memory --filter=error --dump-plugin
requires nbdinfo --version

# in_the_middle SIGNAL REGEX [OPTION...]: of a run, the server gets a signal.
in_the_middle() {
    local signal=$1 regex=$2 bench_pid bench_status=0

    shift 2
    "$bench" --time 60 "$@" "$uri" >"$log_dir/bench" 2>&1 &
    bench_pid=$!
    remember_pid "$bench_pid"
    sleep 0.7
    kill "-$signal" "$pid"
    wait "$bench_pid" || bench_status=$?
    expect_equal "exit status after $signal" 1 "$bench_status"
    expect_match "$log_dir/bench" "^nbdcrypt-bench: $regex\$"
}

for options in "" "--write 50 --block 256K --connections 4 --threads 2" "--warm-up 50"; do
    start_nbdcrypt --raw memory:64M
    # shellcheck disable=SC2086 # several words
    in_the_middle KILL 'the server closed the connection while [0-9]+ requests were in flight' $options
done

start_nbdcrypt --raw memory:64M
in_the_middle STOP 'the server has not answered for 2 seconds, and [0-9]+ requests wait for it' \
    --timeout 2 --connections 4 --threads 2
kill -CONT "$pid"

# A full queue of connections, and a handshake without an answer.
start_nbdcrypt --raw memory:64M
stop_process "$pid"
expect_bench_failure 1 ".*: the server does not answer during the handshake" --timeout 1 "$uri"
kill -CONT "$pid"

new_socket
start_server nbdkit --foreground --unix "$socket" --filter=error memory 64M error-pwrite=ENOSPC error-pwrite-rate=1%
expect_bench --count 1000 "$uri"
expect_bench_failure 1 'the server answers WRITE of 4096 bytes at offset [0-9]+ with ENOSPC \(no space left\)' \
    --count 100000 --write 50 "$uri"

new_socket
expect_bench_failure 1 ".*: $socket: can't connect: No such file or directory; is the server running\?" "$uri"
expect_bench_failure 1 ".*: 127.0.0.1 port 1: can't connect: Connection refused; .*" nbd://127.0.0.1:1

start_nbdcrypt --read-only --raw --export known=memory:1M
expect_bench_failure 1 ".*: export 'other': there is no such export.*" "nbd+unix:///other?socket=$socket"
known="nbd+unix:///known?socket=$socket"
expect_bench_failure 1 ".*: export 'known': it is read-only: .*" --write 1 "$known"
expect_bench_failure 1 ".*: export 'known': the area \(offset 1048000, 1000 bytes\) goes beyond its end at 1048576" \
    --offset 1048000 --size 1000 "$known"
expect_bench_failure 1 ".*: export 'known': the area of 1048576 bytes has no room for a request of 2097152 .*" \
    --block 2M "$known"
expect_bench_failure 1 'there is no process 99999999' --server-pid 99999999 --count 1 "$known"

# What is no NBD server.
new_socket
"$PYTHON" - "$socket" <<'EOF2' &
import socket
import sys

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    client = listener.accept()[0]
    client.sendall(b"220 mail.example.org ESMTP ready and waiting\r\n")
    client.close()
EOF2
remember_pid $!
wait_until 10 test -S "$socket"
expect_bench_failure 1 ".*: this is no NBD server, or one from before 2011" "$uri"
