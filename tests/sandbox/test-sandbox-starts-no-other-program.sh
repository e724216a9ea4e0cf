#!/bin/bash
# Who breaks into the server can give orders to the process beside it, which is not in the sandbox.  It starts the key-commands
# that the options named when the server began, and nothing else: no other program or arguments, with no other environment,
# in no other folder; and so does its successor, of which it makes one at a time.  What may come later is said by --sandbox-programs.

. "$(dirname "$0")/../support/functions.sh"
unset TEST_SANDBOX

folder=$(temp_dir) made=$test_dir/made control=$(temp_socket)
printf passphrase >"$folder/key"
expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$folder/key" "$folder/one"
cp "$folder/one" "$folder/two"

ctl() {
    timeout 30 "$NBDCRYPT" ctl --socket "$control" "$@" >"$log_dir/ctl" 2>&1
}
refused='the sandbox lets only those programs be started that the options named when the server began'

# ---- what comes later, with strict ----
with_strict() {
    start_nbdcrypt --sandbox strict --sandbox-image-paths "$folder" --control "$control" --export "one=$folder/one,key-command=cat $folder/key"
    ! ctl add two "$folder/two" key-command="sh -c 'cat $folder/key'" || fail "another program was started"
    expect_match "$log_dir/ctl" "'sh' can't be started: $refused"
    ! ctl add two "$folder/two" key-command="cat $folder/key $folder/key" || fail "it had other arguments"
    ctl add two "$folder/two" key-command="cat $folder/key" || fail "the same command: $(cat "$log_dir/ctl")"
    stop_nbdcrypt
    start_nbdcrypt --sandbox strict --sandbox-image-paths "$folder" --sandbox-programs "/bin/nothing head" --control "$control" --export base=memory:1M,raw
    ! ctl add two "$folder/two" key-command="cat $folder/key" || fail "another program was started"
    ctl add two "$folder/two" key-command="head -c 100 $folder/key" || fail "one that may come: $(cat "$log_dir/ctl")"
    stop_nbdcrypt
    start_nbdcrypt --sandbox strict --sandbox-image-paths "$folder" --sandbox-programs any --control "$control" --export base=memory:1M,raw
    ctl add two "$folder/two" key-command="cat $folder/key" || fail "any program: $(cat "$log_dir/ctl")"
    stop_nbdcrypt
}
is_sanitized || with_strict # which needs a filter of system calls
# ---- and with auto ----
# With auto who may add exports may bring programs, but where that is said.
start_nbdcrypt --control "$control" --export base=memory:1M,raw
ctl add two "$folder/two" key-command="cat $folder/key" || fail "auto: $(cat "$log_dir/ctl")"
stop_nbdcrypt
start_nbdcrypt --sandbox-programs none --control "$control" --export base=memory:1M,raw
! ctl add two "$folder/two" key-command="cat $folder/key" || fail "auto, with none: a program was started"
stop_nbdcrypt

# ---- orders of somebody else ----
[ "$(id -u)" -eq 0 ] || skip "only root may take a socket from a server"
start_nbdcrypt --control none --report-directory "$folder" --export "one=$folder/one,key-command=env cat $folder/key"
spawner=$(pgrep --parent "$pid" --oldest)
"$PYTHON" "$(dirname "$0")/orders-of-a-broken-server.py" "$pid" "$spawner" "$made" "$folder" env cat "$folder/key" >"$log_dir/orders"
expect_equal "what came of the orders" "\
another program: 1 1
with the name of one: 1 1
in another folder: 1 1
one of them: started: 'passphrase'
other rules: 22 0
another program: 1 1
a successor: 0
one more: 11 0
one of its: 11 0
another program of its: 1 1
one of them of its: started: 'passphrase'" "$(cat "$log_dir/orders")"
[ ! -e "$made" ] || fail "a program was started"
[ -z "$(find "$folder" -name 'report*')" ] || fail "a report was written"
stop_nbdcrypt
