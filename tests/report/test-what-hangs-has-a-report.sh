#!/bin/bash
# A thread that does not answer has a report, with the function that it is in; so has a request that storage does not answer; once,
# however long it lasts.  A report comes also while the main thread, or malloc(), hangs; then it lacks what needs them, and says so.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

is_sanitized && skip "a sanitizer does not bear to be preloaded"
requires nbdinfo --version
image=$(temp_file)
control=$(temp_socket)
truncate --size=1M "$image"
start() {
    reports=$(temp_dir)/reports
    LD_PRELOAD=$trouble start_nbdcrypt --threads 2 --raw --report-directory "$reports" --stall-report 1 --hung-request 1 \
        --control "$control" "$image"
}
end() {
    kill -TERM "$pid"
    wait "$pid" || fail "the server ended with $?"
}
complete='^====  +Configuration'

# ---- a worker in a loop ----
start
make_trouble nbdcrypt-1 spin
wait_for_report stall
expect_in_report '^reason = thread nbdcrypt-1 has not answered for [0-9]+ s$'
expect_in_report 'name = nbdcrypt-1  state = R '
expect_in_report 'function = loop_run '
expect_in_report "$complete"
expect_same_facts "$report" "$json"
sleep 3 # it goes on, and has no other report
expect_equal "reports of one thread that hangs" 1 "$(reports_of stall | wc -l)"
make_trouble nbdcrypt-0 over
end

# ---- the main thread ----
start
make_trouble main spin
wait_for_report stall
expect_in_report '^reason = the main thread has not answered for [0-9]+ s$'
kill -USR1 "$pid"
wait_for_report asked
expect_in_report "$complete"
make_trouble nbdcrypt-0 over
end

# ---- malloc() ----
start
make_trouble nbdcrypt-0 no-memory
kill -USR1 "$pid"
wait_for_report asked
expect_in_report "$complete"
# Who tells others of the first one hangs, and lacks in the second.
kill -USR1 "$pid"
wait_for_report asked 2
expect_in_report '^missing = what needs locks or memory'
expect_in_report 'name = nbdcrypt-0 '
expect_in_report '^====  +Messages'
grep -qE "$complete" "$report" && fail "there is more in it than can be"
make_trouble nbdcrypt-0 over
kill -USR1 "$pid"
wait_for_report asked 3
expect_in_report "$complete"
end

# ---- nothing hangs ----
start
sleep 3
nbdinfo --size "$uri" >"$test_dir/size"
end
expect_equal "reports of a server that is well" 0 "$(find "$reports" -type f | wc -l)"
