#!/bin/bash
# Clients of the control socket that mean no good: the server answers others at once all the while, keeps no descriptor of
# theirs, and gives no more memory away than its limits say.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate --size=1M "$image"
control=$(temp_socket)
export NBDCRYPT_ALLOW_CORE=1 # its descriptors can be counted then
start_nbdcrypt --raw --control "$control" "$image"
export -n NBDCRYPT_ALLOW_CORE

"$PYTHON" "$source_dir/tests/control/hostile-clients-harm-nobody.py" "$control" "$pid" </dev/null

expect_alive
stop_nbdcrypt

[ "$(id -u)" -eq 0 ] || skip "the rest takes root, to be several users"
requires setpriv --version

# ---- all places but those that are kept: strangers of seven users have theirs, the next one none, and root always one ----
chmod 755 "$test_dir"
start_nbdcrypt --raw --control "$control" --control-mode 0666 "$image"
# as_user UID ARGUMENT...: in a subshell, which becomes it; the shell reads the script, which that user may not.
as_user() {
    exec setpriv "--reuid=$1" "--regid=$1" --clear-groups "$PYTHON" - "$control" "${@:2}" < <(
        cat "$support_dir/varlink_client.py"
        grep -v '^from varlink_client ' "$source_dir/tests/control/hostile-clients-harm-nobody-takes-places.py"
    )
}
strangers=()
for uid in 6400{1..7}; do
    as_user "$uid" 8 >"$test_dir/places-$uid" 2>"$log_dir/places-$uid" &
    strangers+=($!)
    remember_pid $!
done
for uid in 6400{1..7}; do
    wait_until 30 grep -qx "8 places" "$test_dir/places-$uid"
done
expect_equal "what one more user is told" "too many are connected" "$(as_user 64008 0)"
for _ in {1..20}; do
    expect_success ctl --socket "$control" status
done
kill "${strangers[@]}"
wait "${strangers[@]}" || true
there_is_a_place() {
    [ "$(as_user 64008 0)" = "a place" ]
}
wait_until 30 there_is_a_place
stop_nbdcrypt
