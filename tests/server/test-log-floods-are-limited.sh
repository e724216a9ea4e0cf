#!/bin/bash
# What a stranger can make the server say is written a few times a minute, and the rest is counted: clients that are
# turned away, that send garbage, and that ask for what does not exist. Each line has its time, process and level;
# the journal, which adds these, gets the level alone. Attaching and detaching are told without --verbose.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate --size=1M "$image"

# lines MESSAGE: how many of the log hold it.
lines() {
    grep -cE -- "$1" "$server_log" || true
}

start_nbdcrypt --raw --max-connections 1 --listen 127.0.0.1:0 "$image"
"$PYTHON" -c 'import signal, sys, nbd_client
client = nbd_client.Client(sys.argv[1])
print(flush=True)
signal.pause()' "$uri" >"$test_dir/attached" &
stays=$!
remember_pid "$stays"
wait_until 30 test -s "$test_dir/attached"
nbdinfo "$uri" >"$log_dir/refused" 2>&1 && fail "a second client was served"
python - "$port" <<'PYTHON_END'
import socket
import sys

for _ in range(300):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as stranger:
        stranger.recv(1)
PYTHON_END
kill "$stays"
wait "$stays" || true
# A connection of its own kind is told although the others were many.
wait_until 30 nbdinfo "$uri" >"$log_dir/served" 2>&1
stop_nbdcrypt
line='^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z nbdcrypt\[[0-9]+\] '
expect_match "$server_log" "${line}warning: client 127\.0\.0\.1:[0-9]+: turned away"
expect_match "$server_log" "${line}notice: client 127\.0\.0\.1:[0-9]+: attached export ''"
expect_match "$server_log" "${line}notice: client 127\.0\.0\.1:[0-9]+: detached export ''"
expect_match "$server_log" "${line}warning: [0-9]+ more like this in the last minute: client 127\.0\.0\.1:[0-9]+: turned away"
expect_equal "lines about clients that were turned away" 51 "$(lines 'turned away')"

# The same on a stream of the journal.
exec {log}<>"$test_dir/journal"
JOURNAL_STREAM=$(stat --format=%d:%i "$test_dir/journal")
export JOURNAL_STREAM
ready=$test_dir/ready-journal
mkfifo "$ready"
"$NBDCRYPT" serve --raw --unix "$(temp_socket)" "$image" </dev/null >"$ready" 2>&"$log" &
pid=$!
remember_pid "$pid"
wait_for_ready "$ready"
nbdinfo "$uri" >"$log_dir/served" 2>&1
stop_nbdcrypt
expect_match "$test_dir/journal" "^<5>client pid [0-9]+ uid $(id -u): attached export ''"
# What is said before the log has its thread, and by other commands, has its level, too; elsewhere it names the program.
"$NBDCRYPT" format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --cipher aes-cbc-plain64 --size 1M \
    "$test_dir/weak" >"$log_dir/format" 2>&"$log"
"$NBDCRYPT" info "$test_dir/missing" 2>&"$log" && fail "an image that is missing was shown"
"$NBDCRYPT" serve --key-file "$passphrase" --unix "$(temp_socket)" "$image" 2>&"$log" && fail "no LUKS volume was served"
expect_match "$test_dir/journal" "^<3>.*$test_dir/missing"
expect_match "$test_dir/journal" "^<4>aes-cbc-plain64 "
expect_match "$test_dir/journal" "^<3>.*$image"
if grep -qv '^<[3-7]>' "$test_dir/journal"; then fail "a line has no level: $(grep -v '^<' "$test_dir/journal")"; fi
run_nbdcrypt info "$test_dir/missing"
expect_match "$err" '^nbdcrypt: '
unset JOURNAL_STREAM

# A server that a command brings along does not talk about its clients.
run_nbdcrypt serve --raw --run "nbdinfo --size \"\$uri\" >/dev/null" "$image"
expect_equal "exit status" 0 "$status"
expect_equal "what serve --run says" "" "$(cat "$err")"
