#!/bin/bash
# Who follows events, and may no longer do so by the rules of a reload, is told so and hears nothing more.
. "$(dirname "$0")/../support/functions.sh"

[ "$(id -u)" -eq 0 ] || skip "it takes root, to be several users"
requires setpriv --version
chmod 755 "$test_dir"
folder=$(temp_dir) control=$(temp_socket)
config=$folder/nbdcrypt.conf
printf '%s\n' "[control]" "mode = 0666" "view = uid:64001" "view = uid:64002" "[export disk]" "image = memory:1M" "raw = yes" \
    >"$config"
chmod 600 "$config"
start_nbdcrypt --config "$config" --control "$control"
begun() { grep -q events.begin "$test_dir/$1"; }
for uid in 64001 64002; do
    setpriv --reuid=$uid --regid=$uid --clear-groups "$NBDCRYPT" ctl --socket "$control" events >"$test_dir/$uid" \
        2>"$test_dir/$uid.err" &
    follower[uid]=$!
    remember_pid $!
    wait_until 30 begun $uid
done

sed -i /64001/d "$config"
expect_success ctl --socket "$control" reload
status=0
wait "${follower[64001]}" || status=$?
expect_equal "status" 4 "$status"
expect_match "$test_dir/64001.err" "this user may not do that: it takes the role view"
expect_match "$server_log" "uid 64001: control: it may not do Events: that takes the role view"
told() { grep -q reload.done "$test_dir/64002"; }
wait_until 30 told
kill -0 "${follower[64002]}" || fail "who still may follow events was ended as well"
stop_nbdcrypt
