#!/bin/bash
# A server that is killed in the middle of a run has kept every write that it had answered: the state file of the run
# says which, and reading back after a restart proves it, on a plain file and through LUKS.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

requires cryptsetup --version

state=$(temp_file)

kill_and_read_back() {
    local bench_pid bench_status=0

    "$bench" --verify --state "$state" --write 60 --zero 5 --block 4K-64K --connections 4 --threads 2 --time 60 \
        "$uri" >"$log_dir/bench" 2>&1 &
    bench_pid=$!
    remember_pid "$bench_pid"
    sleep 1
    kill_nbdcrypt
    wait "$bench_pid" || bench_status=$?
    expect_equal "exit status of nbdcrypt-bench without a server" 1 "$bench_status"
    expect_match "$log_dir/bench" \
        '^nbdcrypt-bench: the server closed the connection while [0-9]+ requests were in flight$'

    start_nbdcrypt "${server_options[@]}" "$image"
    expect_bench --json --read-back --state "$state" --block 256K --connections 2 "$uri"
    [ "$(figure verify/cells_checked)" -gt 1000 ] || fail "hardly anything was compared"
    stop_nbdcrypt
}

image=$(temp_file)
truncate --size=64M "$image"
server_options=(--raw)
start_nbdcrypt "${server_options[@]}" "$image"
kill_and_read_back

format_luks2 "$image" 64M --sector-size 4096
server_options=(--key-file "$passphrase")
start_nbdcrypt "${server_options[@]}" "$image"
kill_and_read_back
