#!/bin/bash
# `nbdcrypt ctl log LEVEL --export NAME` changes what is logged of that export and its clients, and of nothing else; status shows
# it; it ends by itself after --for, or by `usual`; an export that is not there is told.
. "$(dirname "$0")/../support/functions.sh"

control=$(temp_socket)
start_nbdcrypt --control "$control" --raw --export vm1=memory:1M --export vm2=memory:1M

attach() {
    nbdinfo --size "nbd+unix:///$1?socket=$socket" >"$log_dir/size"
}

# expect_told COUNT NAME: so many lines tell that it was attached.  A line is written a moment later.
times_told() {
    grep -c "attached export '$1'" "$server_log" || true
}
is_told() {
    [ "$(times_told "$2")" -ge "$1" ]
}
expect_told() {
    wait_until 20 is_told "$1" "$2"
    expect_equal "times that $2 was told" "$1" "$(times_told "$2")"
}

level() {
    expect_success ctl --socket "$control" log "$@"
}

status_has() {
    "$NBDCRYPT" ctl --socket "$control" status >"$test_dir/status"
    expect_match "$test_dir/status" "^log levels +$1$"
}

# Less of one.
status_has -
level error --export vm1
status_has vm1=error
attach vm1
attach vm2
level usual --export vm1
status_has -
attach vm1
wait_until 20 grep -q "detached export 'vm1'" "$server_log"
expect_told 1 vm1
expect_told 1 vm2

# More of one, for a time.
level error
level notice --export vm2 --for 2
attach vm1
attach vm2
wait_until 20 grep -q "detached export 'vm2'" "$server_log"
expect_told 1 vm1
expect_told 2 vm2
is_over() {
    "$NBDCRYPT" ctl --socket "$control" status >"$test_dir/status"
    grep -qE '^log levels +-$' "$test_dir/status"
}
wait_until 20 is_over
attach vm2
level notice
attach vm1
wait_until 20 grep -qE "detached export 'vm1'" "$server_log"
expect_told 2 vm2

expect_failure 1 "there is no export 'vm3'" ctl --socket "$control" log debug --export vm3
expect_failure 2 "usual is the level of one export: write --export NAME" ctl --socket "$control" log usual
expect_failure 2 "--export is for ctl disconnect and log" ctl --socket "$control" rescan --export vm1
stop_nbdcrypt
