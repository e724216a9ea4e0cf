#!/bin/bash
# An export is suspended although a client has stopped in the middle of a WRITE, and although its storage answers nothing, with
# clients that wait for it or were told to go: those connections end, the key is gone, others go on when it is resumed.
. "$(dirname "$0")/../support/functions.sh"

is_sanitized && skip "a sanitizer keeps what was freed"

folder=$(temp_dir) control=$(temp_socket) far=$(temp_socket)
secret=$folder/key volume_key=$folder/volume-key
printf passphrase >"$secret"
"$PYTHON" -c 'import os, sys; sys.stdout.buffer.write(os.urandom(64))' >"$volume_key"
for name in disk slow; do
    expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$secret" \
        --volume-key-file "$volume_key" "$folder/$name"
done
NBDCRYPT_ALLOW_CORE=1
export NBDCRYPT_ALLOW_CORE

ctl() {
    timeout 30 "$NBDCRYPT" ctl --socket "$control" "$@"
}
at() {
    printf 'nbd+unix:///%s?socket=%s' "$1" "$socket"
}
expect_no_key() {
    local status=0

    "$PYTHON" "$source_dir/tests/control/suspended-export-has-no-key-in-memory.py" "$pid" "$volume_key" >"$log_dir/found" || status=$?
    [ "$status" -ne 77 ] || skip "the memory of another process can't be read here"
    [ "$status" -eq 1 ] || fail "the volume key is in memory, $1: $(cat "$log_dir/found")"
}

start_nbdcrypt --raw --unix "$far" --control none "$folder/slow"
storage=$pid
start_nbdcrypt --control "$control" --export "disk=$folder/disk,key-file=$secret" \
    --export "slow=nbd+unix:///?socket=$far,key-file=$secret"
mkfifo "$test_dir/go"
: >"$test_dir/said"
"$PYTHON" "$source_dir/tests/control/suspend-waits-for-nobody.py" "$(at disk)" "$(at slow)" <"$test_dir/go" >"$test_dir/said" 2>"$log_dir/clients" &
clients=$!
remember_pid "$clients"
exec 7>"$test_dir/go"
wait_until 30 grep -q ready "$test_dir/said"
stop_process "$storage"
echo >&7
wait_until 30 grep -q asked "$test_dir/said"
asks() {
    [ "$(ctl --json requests | grep -c '"slow"')" -eq 2 ]
}
wait_until 30 asks

# ---- one of the clients that wait for storage is told to go, too ----
ctl disconnect "$(ctl --json clients | "$PYTHON" -c 'import json, sys
print(next(one["id"] for one in json.load(sys.stdin) if one.get("export") == "slow"))')"
ctl suspend slow >"$log_dir/suspend" 2>&1 &
suspend=$!
remember_pid "$suspend"
ctl suspend disk || fail "a client that stopped within a WRITE keeps a key in memory"
wait "$suspend" || fail "storage that hangs keeps a key in memory: $(cat "$log_dir/suspend")"
expect_match "$server_log" "did not end a request within 5 seconds, and the key of export 'disk' has to go: its connection is ended"
expect_match "$server_log" "warning: export 'slow': .* requests that its storage has not answered"
expect_match "$server_log" "warning: export 'slow': its header could not be read now"
expect_no_key "suspended"

# ---- what storage answers later harms nobody ----
kill -CONT "$storage"
are_gone() {
    [ "$(grep -c "detached export 'slow'" "$server_log")" -eq 2 ]
}
wait_until 30 are_gone
expect_no_key "when storage has answered"
ctl resume disk
ctl resume slow
echo >&7
wait "$clients" || fail "a client failed"
expect_match "$test_dir/said" '^ended$'
"$(dirname "$NBDCRYPT")/nbdcrypt-bench" --verify --write 50 --count 50 --size 1M "$(at slow)" >"$log_dir/bench" ||
    fail "an export that was resumed has lost something"
stop_nbdcrypt
