#!/bin/bash
# A request that takes too long is told when it has, with whose fault it is, and once more when it has ended: storage that
# hangs, a limit, a client that sends no payload.  The last ones are kept.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file) control=$(temp_socket)
truncate --size=4M "$image"
start_nbdcrypt --raw "$image"
storage=$pid storage_uri=$uri
start_nbdcrypt --raw --threads 1 --control "$control" --slow-request 300ms --export "far=$storage_uri" \
    --export "slow=memory:4M,limit-read-bandwidth=1000" --export "fast=memory:4M,slow-request=off,limit-iops=2"
unix=${uri##*socket=}
"$NBDCRYPT" ctl --socket "$control" events --type slow-request >"$test_dir/events" 2>"$log_dir/events" &
remember_pid $!
wait_until 20 grep -q events.begin "$test_dir/events"

# client EXPORT STATEMENT: a connection in Python, in the background.
client() {
    PYTHONPATH=$support_dir "$PYTHON" -c "import sys, os, nbd_client
from nbd_client import *
client = Client('nbd+unix:///$1?socket=$unix')
$2" &
    client_pid=$!
    remember_pid $client_pid
}

# told EXTENDED-REGEX
told() {
    grep -qE "warning: export '$1" "$server_log"
}

# ---- storage that stops ----
client far 'client.read(0, 512)'
wait "$client_pid"
stop_process "$storage"
client far 'client.read(4096, 512)'
wait_until 20 told "far': slow read 4096\+512 of client .*: [0-9]+ ms so far \(throttled 0, backend [1-9][0-9]*, crypto 0, waiting"
expect_success ctl --socket "$control" requests --slow
expect_match "$out" " no +.* far +read +4096 +512 "
kill -CONT "$storage"
wait "$client_pid"
wait_until 20 told "far': slow read 4096\+512 of client .*: [0-9]+ ms \(throttled 0, backend [1-9][0-9]*, crypto 0, waiting"
by="slow-request export='far' peer='client .*' reason=.read 4096\\+512: [0-9]+ ms"
wait_until 20 grep -qE "$by so far \\(throttled 0, backend [1-9]" "$test_dir/events"
wait_until 20 grep -qE "$by \\(throttled 0, backend [1-9]" "$test_dir/events"

# ---- a limit ----
client slow 'client.read(0, 1000); client.read(512, 512)'
wait "$client_pid"
wait_until 20 told "slow': slow read 512\+512 of client .*: [0-9]+ ms so far \(throttled [1-9][0-9]*, backend 0, crypto 0, waiting for the client 0\)"
wait_until 20 told "slow': slow read 512\+512 of client .*: [0-9]+ ms \(throttled [1-9][0-9]*, backend 0"

# ---- a client ----
client slow "client.send_bytes(client.request_bytes(CMD_WRITE, 0, 4096))
wait_for(lambda: os.path.exists('$unix.go'), 'the rest')
client.send_bytes(bytes(4096))
assert client.receive().error == 0"
wait_until 20 told "slow': slow write 0\+4096 of client .*: [0-9]+ ms so far \(throttled 0, backend 0, crypto 0, waiting for the client [1-9]"
touch "$unix.go"
wait "$client_pid"
wait_until 20 told "slow': slow write 0\+4096 of client .*: [0-9]+ ms \(throttled 0, backend 0, crypto 0, waiting for the client [1-9]"

# ---- what is kept, and what is not told ----
client fast 'client.read(0, 512); client.read(0, 512)'
wait "$client_pid"
expect_success ctl --socket "$control" --json requests --slow
"$PYTHON" -c "import json, sys; got = [(r['export'], r['operation'], r['ended']) for r in json.load(sys.stdin)]
assert got == [('far', 'read', True), ('slow', 'read', True), ('slow', 'write', True)], got" <"$out"
expect_success ctl --socket "$control" metrics
expect_message "$out" 'nbdcrypt_slow_requests_total{export="far"} 1'
expect_message "$out" 'nbdcrypt_slow_requests_total{export="slow"} 2'
expect_message "$out" 'nbdcrypt_slow_requests_total{export="fast"} 0'
expect_message "$out" 'nbdcrypt_slow_requests_total{export="(others)"} 0'
! told "fast'" || fail "a request was told of an export that wants none"
stop_nbdcrypt

expect_failure 2 "slow-request: '3' is no time from 50ms to 86400s: write a number with ms or s behind it, such as 500ms, or off" \
    serve --slow-request 3 --raw "$image"
