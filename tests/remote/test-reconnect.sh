#!/bin/bash
# A remote server that goes away: requests wait for it and are sent again, for retry-for seconds; one that comes back with
# another size is refused; one that stalls is given up after timeout seconds, and delays nobody else.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

disk=$(temp_file)
make_pattern "$disk" 4M

# read_in_background: a client that reads all, to $test_dir/copy; sets $reader.
read_in_background() {
    nbdcopy --requests=4 "$uri" "$test_dir/copy" 2>"$log_dir/reader" &
    reader=$!
    remember_pid "$reader"
}

# expect_error NUMBER COMMAND [WITHIN-SECONDS]
expect_error() {
    python "$source_dir/tests/remote/reconnect-expect-error.py" "$uri" "$1" "$2" "${3:-10}" </dev/null
}

write_succeeds() {
    expect_error 0 CMD_WRITE 2>>"$log_dir/write"
}

flush_succeeds() {
    expect_error 0 CMD_FLUSH 2>>"$log_dir/flush"
}

for kind in "" multi-conn; do
    # Requests wait for the server.
    new_remote
    start_fake "$disk" ${kind:+"$kind"}
    start_nbdcrypt --raw --threads 2 "$remote"
    nbdcopy "$uri" "$test_dir/copy"
    kill_remote
    wait_until 30 grep -q 'connection was lost' "$server_log"
    read_in_background
    kill -0 "$reader" || fail "the reader did not wait"
    start_fake "$disk" ${kind:+"$kind"}
    wait "$reader"
    cmp "$disk" "$test_dir/copy" || fail "something else was read after the server was back"
    expect_match "$server_log" 'connected again$'

    # A clean end of ours while the server is away.
    kill_remote
    stop_nbdcrypt

    # Not for longer than they were told to; and what comes then fails at once, until the server is back.
    start_fake "$disk" ${kind:+"$kind"}
    start_nbdcrypt --raw --threads 2 "$remote&retry-for=1"
    expect_error 0 CMD_READ
    kill_remote
    expect_error 5 CMD_READ 9
    expect_match "$server_log" 'requests fail until the server is back$'
    expect_error 5 CMD_WRITE 0.5
    start_fake "$disk" ${kind:+"$kind"}
    wait_until 30 grep -q 'connected again' "$server_log"
    wait_until 30 nbdcopy "$uri" "$test_dir/copy" 2>"$log_dir/copying"
    cmp "$disk" "$test_dir/copy"

    # A FLUSH whose writes may be lost fails, once.  (Each worker has a connection of its own that comes back.)
    wait_until 30 write_succeeds
    kill_remote
    start_fake "$disk" ${kind:+"$kind"}
    expect_error 5 CMD_FLUSH
    wait_until 30 flush_succeeds
    stop_nbdcrypt
    kill_remote

    # retry-for=0: at once.
    start_fake "$disk" ${kind:+"$kind"}
    start_nbdcrypt --raw --threads 1 "$remote&retry-for=0"
    expect_error 0 CMD_READ
    kill_remote
    wait_until 30 grep -q 'requests fail until' "$server_log"
    expect_error 5 CMD_READ 0.5
    stop_nbdcrypt

    # Another disk.
    start_fake "$disk" ${kind:+"$kind"}
    start_nbdcrypt --raw --threads 1 "$remote"
    expect_error 0 CMD_READ
    kill_remote
    start_fake "$disk" ${kind:+"$kind"} size=8388608
    expect_error 5 CMD_READ 9
    expect_match "$server_log" 'it now has 8388608 bytes and had 4194304: it is not the same disk$'
    kill_remote
    start_fake "$disk" ${kind:+"$kind"}
    wait_until 30 nbdcopy "$uri" "$test_dir/copy" 2>"$log_dir/copying"
    stop_nbdcrypt
    kill_remote

    # One that stalls: it is left, its request sent again on a new connection, which answers.
    start_fake "$disk" ${kind:+"$kind"} stall=1 once
    start_nbdcrypt --raw --threads 1 "$remote&timeout=1"
    nbdcopy "$uri" "$test_dir/copy"
    cmp "$disk" "$test_dir/copy"
    expect_match "$server_log" 'connection was lost \(a request was not answered in time\)$'
    stop_nbdcrypt
    kill_remote

    # One that stalls for good: other exports go on, and its requests fail in the end.
    start_fake "$disk" ${kind:+"$kind"} stall=0
    start_nbdcrypt --raw --threads 1 --export "far=$remote&timeout=1&retry-for=2" --export "near=$disk"
    uri="nbd+unix:///far?socket=$socket"
    read_in_background
    uri="nbd+unix:///near?socket=$socket"
    expect_error 0 CMD_READ 0.5
    wait "$reader" && fail "a server that answers nothing was read from"
    expect_error 0 CMD_READ 0.5
    stop_nbdcrypt
    kill_remote
done

# A server that is restarted as planned answers ESHUTDOWN for a while: no READ or WRITE fails.
new_remote
start_nbdcrypt --raw --unix "$remote_socket" "$disk"
behind=$pid
start_nbdcrypt --raw --threads 2 "$remote"
front=$pid front_uri=$uri front_log=$server_log
"$bench" --verify --write 50 --block 4K-64K --connections 4 --time 2 "$front_uri" >"$log_dir/bench" 2>&1 &
load=$!
remember_pid "$load"
before=$(sha256_of "$disk")
has_changed() {
    [ "$(sha256_of "$disk")" != "$before" ]
}
wait_until 30 has_changed
pid=$behind
stop_nbdcrypt
start_nbdcrypt --raw --unix "$remote_socket" "$disk"
behind=$pid
wait "$load" || fail "the load did not survive a planned restart"
wait_until 30 grep -q 'connected again' "$front_log"
uri=$front_uri
wait_until 30 flush_succeeds # not at first: the load did not flush, and the server behind was another one
pid=$front
stop_nbdcrypt
pid=$behind
stop_nbdcrypt
