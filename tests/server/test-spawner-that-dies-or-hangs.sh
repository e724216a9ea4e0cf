#!/bin/bash
# The process that starts programs for a server is killed: it does not stay in the table of processes, that is told, and the next
# program starts, also in a sandbox, which takes from the server what that needs.  It hangs: the server ends all the same when it is told to, and with it what was started.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

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
is_gone() {
    ! kill -0 "$1" 2>"$log_dir/kill" || [ "$(ps -o stat= -p "$1" | cut -c 1)" = Z ]
}
has_no_child() {
    [ -z "$(spawner)" ]
}
# ---- in a sandbox there are two, and the one that lives makes the next ----
# wait_for_two PID...: there are two again, and none of these.
are_two_others() {
    local found

    found=$(spawner)
    [ "$(wc -l <<<"$found")" -eq 2 ] && ! grep -qxF "$(printf '%s\n' "$@")" <<<"$found"
}
# Once it is through with its beginning.
works_here() {
    [ "$(readlink "/proc/$1/cwd")" = "$PWD" ]
}
# In a strict sandbox it lets nobody but root look into it.
lets_nobody_look() {
    ! readlink "/proc/$1/cwd" >"$log_dir/cwd" 2>&1
}
start_nbdcrypt --control "$control" --report-directory "$reports" --export "one=$folder/one,key-command=cat $folder/key"
wait_until 30 are_two_others 1
for round in 1 2 3 4 5 6; do
    victim=$(spawner | sed -n "$((round % 2 + 1))p")
    kill -KILL "$victim"
    wait_until 30 are_two_others "$victim"
    ctl add two "$folder/two" key-command="cat $folder/key" || fail "no program is started after the end of $victim"
    ctl remove two
done
expect_equal "how often it was told" 6 "$(grep -c 'which starts programs, has ended; another one has taken its place' "$server_log")"
for pid_of_one in $(spawner); do
    expect_equal "no_new_privs of a successor" 1 "$(awk '/^NoNewPrivs:/ { print $2 }' /proc/"$pid_of_one"/status)"
    if [ "${TEST_SANDBOX-}" = strict ] && [ "$(id -u)" -ne 0 ]; then
        wait_until 10 lets_nobody_look "$pid_of_one"
        continue
    fi
    wait_until 10 works_here "$pid_of_one"
    expect_equal "sockets of a successor" 1 "$(find /proc/"$pid_of_one"/fd -lname 'socket:*' | wc -l)"
done
# What has taken the place of another one knows what to do when the server is gone.
victims=$(spawner)
kill -KILL "$pid"
wait "$pid" || true
wait_for_report killed
for pid_of_one in $victims; do
    wait_until 30 is_gone "$pid_of_one"
done

# Both at once: nothing can be started any more, and that is told.
start_nbdcrypt --control "$control" --export "one=$folder/one,key-command=cat $folder/key"
wait_until 30 are_two_others 1
# shellcheck disable=SC2046 # numbers
stop_process $(spawner)
# shellcheck disable=SC2046 # numbers
kill -KILL $(spawner)
wait_until 30 has_no_child
expect_match "$server_log" 'error: .*and the sandbox lets no other one be started'
! ctl add two "$folder/two" key-command="cat $folder/key" 2>"$log_dir/add" || fail "a program was started in a sandbox"
expect_match "$log_dir/add" "'cat' can't be started: .* restart the server"
stop_nbdcrypt
expect_equal "times that it is told" 1 "$(grep -c 'error: .*and the sandbox lets no other one be started' "$server_log")"

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
stop_process "$second"
before=$SECONDS
stop_nbdcrypt
[ $((SECONDS - before)) -lt 20 ] || fail "the end took $((SECONDS - before)) s"
wait "$add" && fail "an export was added to a server that ended"
wait_until 30 is_gone "$second"
wait_until 30 is_gone "$(cat "$folder/program")"
