#!/bin/bash
# A report goes into reports of the first folder in $STATE_DIRECTORY; where that is gone it is made again; where the disk is full,
# or the folder can't be written to, the text is on standard error, with the reason, and nothing is left in the folder.  A reader
# of standard error that does not read holds up neither clients nor the next report.  No link is followed.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

requires nbdinfo --version
image=$(temp_file)
truncate --size=1M "$image"
said() {
    grep -qF -e "$1" "$server_log"
}

# ---- the service manager's folder ----
state=$(temp_dir)
reports=$state/reports
STATE_DIRECTORY=$state:/nowhere start_nbdcrypt --raw "$image"
kill -USR1 "$pid"
wait_for_report asked
rm -r "$reports"
kill -USR1 "$pid"
wait_for_report asked
expect_equal "mode of the folder" 700 "$(stat -c %a "$reports")"

# ---- a folder that has gone, with the one above ----
rm -r "$state"
kill -USR1 "$pid"
wait_until 20 said "nbdcrypt: a report can't be written to '$reports' (ENOENT): here it is"
wait_until 20 said "report (asked): somebody sent SIGUSR1; it stands above"
grep -q '^====  *Messages' "$server_log" || fail "the report is not on standard error"
stop_nbdcrypt

# ---- a folder that is none of ours ----
mkdir "$state" "$state/elsewhere"
ln -s elsewhere "$state/link"
start_nbdcrypt --raw --report-directory "$state/link" "$image"
kill -USR1 "$pid"
reports=$state/elsewhere
wait_for_report asked # the operator named it
stop_nbdcrypt

# ---- a full disk ----
if [ -w /dev/shm ]; then
    full=$(temp_dir)
    if unshare --mount true 2>/dev/null; then
        server_log=$log_dir/full
        # shellcheck disable=SC2016
        unshare --mount bash -c 'mount -t tmpfs -o size=4k none "$1" && exec "$2" serve --raw --unix "$3" --report-directory "$1" "$4"' \
            full "$full" "$NBDCRYPT" "$(temp_socket)" "$image" >"$test_dir/out" 2>"$server_log" &
        pid=$!
        remember_pid "$pid"
        is_ready() {
            [ -s "$test_dir/out" ]
        }
        wait_until 20 is_ready
        kill -USR1 "$pid"
        wait_until 20 said "nbdcrypt: a report can't be written to '$full' (ENOSPC): here it is"
        wait_until 20 said "it stands above"
        [ -z "$(find "/proc/$pid/root$full" -type f -name '*.txt')" ] || fail "half a report was left"
        kill -TERM "$pid"
        wait "$pid"
    fi
fi

# ---- a reader that does not read ----
mkfifo "$test_dir/log"
exec 9<>"$test_dir/log"
server_log=$log_dir/unread
: >"$server_log"
socket=$(temp_socket)
"$NBDCRYPT" serve --raw --unix "$socket" --control "$test_dir/control" "$image" >"$test_dir/out2" 2>"$test_dir/log" &
pid=$!
remember_pid "$pid"
is_there() {
    [ -s "$test_dir/out2" ]
}
wait_until 20 is_there
for _ in 1 2 3 4 5; do
    kill -USR1 "$pid"
    "$NBDCRYPT" ctl --socket "$test_dir/control" report >"$test_dir/report"
    grep -q '^====  *Messages' "$test_dir/report" || fail "that is no report"
    expect_equal "size" 1048576 "$(nbdinfo --size "nbd+unix:///?socket=$socket")"
done
kill -TERM "$pid"
wait "$pid" || fail "it ended with $?"
exec 9>&-
