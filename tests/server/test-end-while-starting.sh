#!/bin/bash
# A server that has not started yet, since storage does not answer or somebody is asked for the passphrase, ends by SIGTERM
# and Ctrl-C at once, leaves no socket behind, and the terminal as it was.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

new_remote
disk=$(temp_file)
truncate --size=1M "$disk"
start_fake "$disk" greeting=none
for signal in TERM INT; do
    own_socket=$(temp_socket)
    log=$log_dir/starting-$signal
    "$PYTHON" -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$NBDCRYPT" serve --raw --unix "$own_socket" "$remote" >/dev/null 2>"$log" &
    pid=$!
    remember_pid "$pid"
    wait_until 20 test -S "$own_socket"
    kill -s "$signal" "$pid"
    status=0
    wait "$pid" || status=$?
    expect_equal "status after SIG$signal" $((128 + $(kill -l "$signal"))) "$status"
    expect_message "$log" "nbdcrypt: ended by a signal before it was ready"
    [ ! -e "$own_socket" ] || fail "the socket is still there"
done

image=$(temp_file)
format_luks2 "$image" 1M
python "$source_dir/tests/server/end-while-starting.py" "$NBDCRYPT" "$image" "$(temp_socket)" </dev/null

# A program that prints the key ends with it, whoever hears the signal first.
clean_up_test() {
    [ ! -s "$test_dir/key-pid" ] || kill -KILL "$(<"$test_dir/key-pid")" 2>/dev/null
}
gone() {
    ! kill -0 "$1" 2>/dev/null
}
for round in {1..8}; do
    : >"$test_dir/key-pid"
    "$NBDCRYPT" serve --unix "$(temp_socket)" --key-command "sh -c 'sleep 1000 & echo \$! >$test_dir/key-pid; wait'" "$image" \
        2>"$log_dir/key-$round" &
    pid=$!
    remember_pid "$pid"
    wait_until 20 test -s "$test_dir/key-pid"
    kill "$pid"
    wait "$pid" && fail "it ended with status 0"
    wait_until 5 gone "$(<"$test_dir/key-pid")"
done
