#!/bin/bash
# Where the control socket is: in the folder of the service manager, or of the user.  A second server starts without one and says
# so; the socket of a dead one is taken over, a file that is none is not; --control none is none.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate --size=1M "$image"
runtime=$(temp_dir)
chmod 700 "$runtime"
export XDG_RUNTIME_DIR=$runtime
[ ! -w /run/nbdcrypt ] || skip "this machine has a server of its own, with its folder"

# expect_pid PID [ARGUMENT...]: of the server that ctl finds.
expect_pid() {
    local expected=$1

    shift
    expect_success ctl --json status "$@"
    expect_match "$out" "\"pid\": *$expected,"
}

start_nbdcrypt --raw "$image" --read-only
first=$pid
expect_pid "$first"
expect_equal "mode of the folder" 700 "$(stat --format=%a "$runtime/nbdcrypt")"

start_nbdcrypt --raw "$image" --read-only
expect_match "$server_log" "the control socket '$runtime/nbdcrypt/control' is another server's, so that this one has none"
expect_pid "$first"
stop_nbdcrypt
expect_pid "$first"

# One that was asked for must be had.
expect_failure 1 "--control: Unix socket '$runtime/nbdcrypt/control': another server is using it; stop that server or choose \
another path" serve --raw --read-only --control "$runtime/nbdcrypt/control" --unix "$(temp_socket)" "$image"

pid=$first
kill_nbdcrypt
[ -S "$runtime/nbdcrypt/control" ] || fail "there is no stale socket"
# The kernel takes what a killed process had apart a moment later.
nobody_answers() {
    run_nbdcrypt ctl status
    [ "$status" -eq 3 ]
}
wait_until 20 nobody_answers
expect_match "$err" "no server answers at the control socket '$runtime/nbdcrypt/control': Connection refused"
start_nbdcrypt --raw "$image"
expect_pid "$pid"
stop_nbdcrypt
[ ! -e "$runtime/nbdcrypt/control" ] || fail "the socket was left there"

# The service manager's folder comes first.
mkdir "$runtime/service"
export RUNTIME_DIRECTORY=$runtime/service:$runtime/other
start_nbdcrypt --raw "$image"
[ -S "$runtime/service/control" ] || fail "there is no socket in RUNTIME_DIRECTORY"
expect_pid "$pid"
stop_nbdcrypt
unset RUNTIME_DIRECTORY

# Nowhere is a folder for it.
unset XDG_RUNTIME_DIR
start_nbdcrypt --raw --verbose "$image"
expect_match "$server_log" "there is no control socket, because neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR names a folder"
stop_nbdcrypt
export XDG_RUNTIME_DIR=$runtime

# No socket: no word of it, and no name.
start_nbdcrypt --raw --control none "$image"
stop_nbdcrypt
[ ! -e "$runtime/nbdcrypt/control" ] || fail "--control none has one"
echo >"$runtime/nbdcrypt/control"
start_nbdcrypt --raw "$image"
expect_match "$server_log" "there is no control socket: .*a file of that name is there and is no socket"
stop_nbdcrypt
[ -f "$runtime/nbdcrypt/control" ] || fail "somebody's file is gone"
rm "$runtime/nbdcrypt/control"

# Who is brought along by a command has none.
run_nbdcrypt serve --raw --run "test ! -e $runtime/nbdcrypt/control" "$image"
expect_equal "status of a command that looks" 0 "$status"

# Wrong use.
expect_failure 2 "--control: the path is empty" serve --raw --control= "$image"
expect_failure 2 "--control none and --control-view contradict each other: leave out one of the two" \
    serve --raw --control none --control-view uid:0 "$image"
expect_failure 2 "--control-admin any: whoever can connect would have this role: name users (uid:) or groups (gid:)" \
    serve --raw --control-admin any "$image"
expect_failure 2 "--control-view net:10.0.0.0/8: clients of the control socket are users of this machine: write uid:USER or \
gid:GROUP" serve --raw --control-view net:10.0.0.0/8 "$image"
expect_failure 2 "--control-mode 888: it is a mode of files in octal digits, such as 0660" serve --raw --control-mode 888 "$image"
expect_failure 2 "--control-view uid:nobody-of-that-name: this machine has no user 'nobody-of-that-name'" \
    serve --raw --control-view uid:nobody-of-that-name "$image"
