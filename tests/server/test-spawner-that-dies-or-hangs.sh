#!/bin/bash
# The process that starts programs for a server is killed: it does not stay in the table of processes, that is told, and the next
# program starts.  It hangs: the server ends all the same when it is told to, and with it what was started.
. "$(dirname "$0")/../support/functions.sh"

folder=$(temp_dir) control=$(temp_socket)
printf passphrase >"$folder/key"
expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$folder/key" "$folder/one"
cp "$folder/one" "$folder/two"
cp "$folder/one" "$folder/three"

ctl() {
    timeout 30 "$NBDCRYPT" ctl --socket "$control" "$@"
}
spawner() {
    ps -o pid= --ppid "$pid" | tr -d ' '
}
has_no_child() {
    [ -z "$(spawner)" ]
}
# In a sandbox there is no other one.
start_nbdcrypt --control "$control" --export "one=$folder/one,key-command=cat $folder/key"
kill -KILL "$(spawner)"
wait_until 30 has_no_child
expect_match "$server_log" 'error: .*and the sandbox lets no other one be started'
! ctl add two "$folder/two" key-command="cat $folder/key" 2>"$log_dir/add" || fail "a program was started in a sandbox"
expect_match "$log_dir/add" "'cat' can't be started: .* restart the server"
stop_nbdcrypt

start_nbdcrypt --sandbox off --control "$control" --export "one=$folder/one,key-command=cat $folder/key"
first=$(spawner)

kill -KILL "$first"
wait_until 30 has_no_child
expect_match "$server_log" 'warning: .*which starts programs, has ended; another one is started when it is needed'
ctl add two "$folder/two" key-command="cat $folder/key" || fail "no program is started any more"
second=$(spawner)
[ "$second" != "$first" ] || fail "there is no other one"

# ---- it hangs, with a program that runs ----
"$NBDCRYPT" ctl --socket "$control" add three "$folder/three" key-command="sh -c 'echo \$\$ >$folder/program; sleep 600'" \
    >"$log_dir/add" 2>&1 &
add=$!
remember_pid "$add"
wait_until 30 test -s "$folder/program"
kill -STOP "$second"
before=$SECONDS
stop_nbdcrypt
[ $((SECONDS - before)) -lt 20 ] || fail "the end took $((SECONDS - before)) s"
wait "$add" && fail "an export was added to a server that ended"
is_gone() {
    ! kill -0 "$1" 2>"$log_dir/kill" || [ "$(ps -o stat= -p "$1" | cut -c 1)" = Z ]
}
wait_until 30 is_gone "$second"
wait_until 30 is_gone "$(cat "$folder/program")"

# ---- in the sandbox no other one can be started, and that is told ----
start_nbdcrypt --control "$control" --sandbox auto --export "one=$folder/one,key-command=cat $folder/key"
kill -KILL "$(spawner)"
wait_until 30 has_no_child
expect_match "$server_log" 'error: .*which starts programs, has ended, and the sandbox lets no other one be started'
! ctl add two "$folder/two" key-command="cat $folder/key" 2>"$log_dir/add" || fail "a program was started"
expect_match "$log_dir/add" 'which starts programs, and the sandbox lets no other one be started: restart the server'
stop_nbdcrypt
