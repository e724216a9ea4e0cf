#!/bin/bash
# A server that is killed has a report all the same, of what it was doing, from the process beside it; one that ends in good order,
# that fails to start, or that has reported its own crash, has none.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

requires qemu-io --version
image=$(temp_file)
truncate --size=4M "$image"

# ---- kill -9 while a client is attached ----
start_nbdcrypt --raw --report-directory "$reports" "$image"
mkfifo "$test_dir/commands"
qemu-io --format raw "$uri" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
client=$!
remember_pid "$client"
exec 7>"$test_dir/commands"
echo 'write 0 64k' >&7
has_written() {
    grep -qs 'wrote 65536' "$test_dir/answers"
}
wait_until 20 has_written
kill -KILL "$pid"
wait "$pid" || true
wait_for_report killed
expect_equal "mode of the files" "600 600" "$(stat -c %a "$report" "$json" | paste -sd' ')"
expect_in_report '^reason = the server has gone without a word: it was killed \(SIGKILL\)'
expect_in_report "^pid = $pid\$"
expect_in_report 'state = transmission '
expect_in_report 'written_bytes = 65536'
expect_in_report "text = client .* attached export ''"
exec 7>&-
# beside_is_gone PID: nothing is left that could write one.
beside_is_gone() {
    ! pgrep -f "^nbdcrypt-spawner $1 " >/dev/null
}
wait_until 20 beside_is_gone "$pid"
expect_equal "reports of one that was killed, with two processes beside" 1 "$(reports_of killed | wc -l)"

# ---- those that have none ----
expect_no_report() {
    wait_until 20 beside_is_gone "$pid"
    [ ! -e "$reports" ] || expect_equal "reports after $1" 0 "$(reports_of killed | wc -l)"
}
reports=$(temp_dir)/reports
start_nbdcrypt --raw --report-directory "$reports" "$image"
kill -TERM "$pid"
wait "$pid" || fail "it ended with $?"
expect_no_report "an end in good order"

if ! is_sanitized; then # which would tell it itself
    start_nbdcrypt --raw --report-directory "$reports" "$image"
    kill -SEGV "$pid"
    wait "$pid" || true
    wait_for_report crash
    expect_no_report "a crash"
fi

"$NBDCRYPT" serve --raw --report-directory "$reports" --unix "$(temp_socket)" "$test_dir/nowhere" >"$test_dir/out" 2>"$log_dir/failed" &
pid=$!
wait "$pid" && fail "it serves what is not there"
expect_no_report "a start that failed"

mkfifo "$test_dir/key"
"$NBDCRYPT" format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M "$test_dir/disk" >"$test_dir/out" 2>&1
"$NBDCRYPT" serve --key-file "$test_dir/key" --report-directory "$reports" --unix "$(temp_socket)" "$test_dir/disk" \
    >"$test_dir/out" 2>"$log_dir/early" &
pid=$!
remember_pid "$pid"
exec 8>"$test_dir/key" # it reads the key
kill -TERM "$pid"
wait "$pid" && fail "it ended as if nothing had been"
exec 8>&-
expect_no_report "an end before it was ready"
