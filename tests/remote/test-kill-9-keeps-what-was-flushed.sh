#!/bin/bash
# A remote server that forgets what was not flushed is killed and restarted again and again under load: the client of
# nbdcrypt sees no connection lost, and everything that a FLUSH had confirmed is there.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires cryptsetup --version

disk=$(temp_file)

progress=$test_dir/progress

# What the client has counted: batches that a FLUSH confirmed, and such that it refused.
has_progressed() {
    read -r confirmed refused <"$progress" && [ "$confirmed" -ge "$1" ]
} 2>/dev/null

# wait_for_progress: some batches were confirmed; then any moment will do.
wait_for_progress() {
    wait_until 60 has_progressed "$((confirmed + 5))"
    sleep "0.0$((RANDOM % 10))"
}

# load MULTI-CONN...: several restarts while a client writes and flushes.
load() {
    local client

    new_remote
    start_fake "$disk" "$@"
    start_nbdcrypt "${server_options[@]}" "$remote"
    rm -f "$test_dir/done"
    : >"$progress"
    confirmed=0 refused=0
    "$PYTHON" "$source_dir/tests/remote/kill-9-keeps-what-was-flushed-load.py" "$uri" "$test_dir/done" "$progress" </dev/null &
    client=$!
    remember_pid "$client"
    # At any moment, until one of these moments was between a write and its FLUSH.
    for ((restarts = 0; restarts < 10 || (restarts < 200 && refused < 1); restarts++)); do
        wait_for_progress
        kill_remote
        start_fake "$disk" "$@"
    done
    wait_for_progress
    : >"$test_dir/done"
    wait "$client" || fail "the client is not content"
    stop_nbdcrypt
    expect_match "$server_log" 'connected again$'
    kill_remote
}

truncate --size=2M "$disk"
server_options=(--raw --threads 3)
load
load multi-conn
format_luks2 "$disk" 2M --sector-size 4096
server_options=(--key-file "$passphrase" --threads 3)
load multi-conn
