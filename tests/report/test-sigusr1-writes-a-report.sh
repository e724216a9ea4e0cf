#!/bin/bash
# SIGUSR1 makes a report, as text and as JSON with the same facts, in files that the server's user alone can read; `ctl report` gives
# both; neither ends the server, from its first line to its last, nor do a thousand in a row; so many reports are kept.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

requires nbdinfo --version
image=$(temp_file)
control=$(temp_socket)
truncate --size=4M "$image"
start_nbdcrypt --raw --report-directory "$reports" --report-keep 2 --control "$control" "$image"

# ---- one that is asked for by a signal ----
kill -USR1 "$pid"
wait_for_report asked
expect_equal "mode of the files" "600 600" "$(stat -c %a "$report" "$json" | paste -sd' ')"
expect_equal "mode of the folder" 700 "$(stat -c %a "$reports")"
expect_same_facts "$report" "$json"
expect_in_report '^reason = somebody sent SIGUSR1$'
expect_in_report '^product = nbdcrypt$'
# As configure was told by whoever made a package (--with-vendor).
vendor=$(sed -n 's/^#define NBDCRYPT_VENDOR "\(.*\)"$/\1/p' "$(dirname "$NBDCRYPT")/config.log" 2>/dev/null || true)
grep -qF "vendor = ${vendor:-}" "$report" || fail "the report does not name the vendor '$vendor'"
expect_in_report "^pid = $pid\$"
expect_in_report 'name = nbdcrypt-0 '
expect_in_report 'name = nbdcrypt-guard '
is_logged() {
    grep -qF "$1" "$server_log"
}
wait_until 10 is_logged "report (asked): somebody sent SIGUSR1; it is in '$report'"

# ---- the control socket ----
ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
ctl report >"$test_dir/asked.txt"
ctl --json report >"$test_dir/asked.json"
expect_in_report '^reason = asked for on the control socket by ' "$test_dir/asked.txt"
expect_in_report '^ "reason": "asked for on the control socket by ' "$test_dir/asked.json"
is_whole "$test_dir/asked.json" || fail "that is no JSON"
expect_equal "the same sections" "$(grep -c '^====  ' "$test_dir/asked.txt")" \
    "$("$PYTHON" -c 'import json, sys; print(1 + len(json.load(open(sys.argv[1]))["sections"]))' "$test_dir/asked.json")"

# ---- many, while it serves ----
for _ in $(seq 1000); do
    kill -USR1 "$pid"
done &
signals=$!
nbdcopy "$uri" - | cmp - "$image"
wait "$signals"
wait_until 10 has_reports asked 2
expect_equal "it serves" 4194304 "$(nbdinfo --size "$uri")"
kill -USR1 "$pid"
is_forgotten() {
    [ ! -e "$report" ] && [ ! -e "$json" ] && [ "$(find "$reports" -type f | wc -l)" -eq 4 ]
}
wait_until 10 is_forgotten

# ---- at the end, and from the first line on ----
for _ in $(seq 200); do
    kill -USR1 "$pid" 2>/dev/null || break
done &
signals=$!
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
expect_equal "status of a server that was sent SIGUSR1 while it ended" 0 "$status"
wait "$signals" || true
trap '' USR1 # up to its first line
for _ in 1 2 3 4 5; do
    "$NBDCRYPT" serve --raw --unix "$(temp_socket)" --report-directory "$reports" "$image" >"$test_dir/started" 2>>"$log_dir/early" &
    early=$!
    remember_pid "$early"
    until [ -s "$test_dir/started" ]; do
        kill -USR1 "$early" 2>/dev/null || fail "SIGUSR1 ended a server that was starting"
    done
    : >"$test_dir/started"
    kill -TERM "$early"
    status=0
    wait "$early" || status=$?
    expect_equal "status of a server that was sent SIGUSR1 while it started" 0 "$status"
done
trap - USR1

# ---- in the sandbox ----
# A worker that has just been made, or a machine that is busy, may have no such stack yet.
asks_for_the_stack_of_a_worker() {
    kill -USR1 "$pid"
    wait_for_report asked
    grep -q 'function = loop_run ' "$report"
}
reports=$(temp_dir)/reports
start_nbdcrypt --raw --sandbox auto --report-directory "$reports" "$image"
for folder in "$reports" "$(dirname "$reports")"; do
    [ -d "$folder" ] || fail "$folder is not there"
done
wait_until 30 asks_for_the_stack_of_a_worker
stop_nbdcrypt
images=$(temp_dir)
truncate --size=1M "$images/image"
reports=$(temp_dir)/reports
run_nbdcrypt serve --raw --sandbox strict --unix "$(temp_socket)" --run true "$images/image"
if [ "$status" -eq 0 ]; then # this kernel has all that it takes
    start_nbdcrypt --raw --sandbox strict --report-directory "$reports" "$images/image"
    wait_until 30 asks_for_the_stack_of_a_worker
    expect_in_report '^sandbox = strict$'
    if ! is_sanitized; then
        kill -SEGV "$pid"
        wait "$pid" || true
        wait_for_report crash
        start_nbdcrypt --raw --sandbox strict --report-directory "$reports" "$images/image"
    fi
    kill -KILL "$pid"
    wait "$pid" || true
    wait_for_report killed
else
    note "without a strict sandbox: $(cat "$err")"
fi

# ---- other commands ----
"$NBDCRYPT" ctl --socket "$control" status >"$test_dir/out" 2>&1 || true
key=$test_dir/key
printf secret >"$key"
mkfifo "$test_dir/pipe"
"$NBDCRYPT" format --key-file "$test_dir/pipe" --size 1M --pbkdf pbkdf2 --pbkdf-iterations 1000 "$test_dir/new" 2>"$log_dir/format" &
command=$!
remember_pid "$command"
exec 8>"$test_dir/pipe" # it has come so far as to read it
kill -USR1 "$command"
printf secret >&8
exec 8>&-
wait "$command" || fail "SIGUSR1 ended a command"
