# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is for the tests, or by functions.sh
# What the tests of remote disks share; to be sourced after functions.sh.

# new_remote: a name for the remote server's socket.  Sets $remote_socket and $remote, the IMAGE.
new_remote() {
    remote_socket=$(temp_socket)
    remote="nbd+unix:///?socket=$remote_socket"
}

# start_remote COMMAND...: a server of others, listening on $remote_socket.  Sets $remote_pid.
remote_count=0
start_remote() {
    remote_count=$((remote_count + 1))
    "$@" </dev/null >"$test_dir/remote-$remote_count" 2>&1 &
    remote_pid=$!
    remember_pid "$remote_pid"
    wait_until 30 nbdinfo --size "$remote" >"$log_dir/waiting" 2>&1
}

# start_fake FILE [BEHAVIOUR...]: tests/support/nbd_server.py, listening on $remote_socket.  Sets $remote_pid.
start_fake() {
    local ready=$test_dir/fake-ready line

    rm -f "$ready"
    mkfifo "$ready"
    "$PYTHON" -m nbd_server "$remote_socket" "$@" </dev/null >"$ready" 2>>"$log_dir/fake" &
    remote_pid=$!
    remember_pid "$remote_pid"
    IFS= read -r -t 30 line <"$ready" || fail "the fake server did not start"
}

# kill_remote: SIGKILL, and its socket is gone, as after a crash and a clean start.
kill_remote() {
    kill -KILL "$remote_pid"
    wait "$remote_pid" 2>/dev/null || true
    rm -f "$remote_socket"
}
