#!/bin/bash
# A server that is told to end does so at once while it tries to connect to a remote server again: however long looking up
# the name takes, and whether the other end refuses, accepts nothing or says nothing.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

disk=$(temp_file)
make_pattern "$disk" 1M
export SLOW_RESOLVER=$test_dir/slow
preload=$(realpath "${top_builddir:-.}/tests/support/slow-resolver.so")
[ -e "$preload" ] || fail "tests/support/slow-resolver.so was not built"
# A sanitizer's library wants to be the first; after this one it works as well.
export ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS-}

# ends_soon: SIGTERM to $pid, and a clean end, in much less time than any of this takes.
ends_soon() {
    local start=${EPOCHREALTIME/./}

    stop_nbdcrypt
    [ $((${EPOCHREALTIME/./} - start)) -lt 5000000 ] || fail "the end took longer than 5 seconds: $1"
}

# lost: the server of $server_log has noticed it.
lost() {
    wait_until 30 grep -q 'connection was lost' "$server_log"
}

# The name.
start_nbdcrypt --raw --listen 127.0.0.1:0 "$disk"
behind=$pid far=nbd://localhost:$port/
LD_PRELOAD=$preload start_nbdcrypt --raw --threads 2 "$far"
front=$pid
nbdcopy "$uri" - | cmp - "$disk"
touch "$SLOW_RESOLVER"
pid=$behind
stop_nbdcrypt
pid=$front
lost
wait_until 30 grep -q 'slow-resolver: looking up localhost' "$server_log"
ends_soon "looking up a name"

# At the start, too, it is not waited for.
before=$SECONDS
LD_PRELOAD=$preload run_nbdcrypt serve --raw --unix "$(temp_socket)" "$far"
expect_equal "exit status" 1 "$status"
expect_match "$err" "^nbdcrypt: image 'nbd:.*': the server can't be reached: its name was not found within 10 seconds$"
[ $((SECONDS - before)) -lt 30 ] || fail "that took $((SECONDS - before)) seconds"

# One that says nothing, one that does not accept, and none.
for kind in silent full none; do
    new_remote
    start_fake "$disk" multi-conn
    start_nbdcrypt --raw --threads 2 "$remote"
    expect_image "$disk" "$uri"
    kill_remote
    case $kind in
    silent) start_fake "$disk" greeting=none ;;
    full)
        "$PYTHON" "$source_dir/tests/remote/sigterm-does-not-wait-for-connecting.py" "$remote_socket" </dev/null >"$test_dir/full" &
        remember_pid $!
        wait_until 30 grep -q full "$test_dir/full"
        ;;
    none) ;;
    esac
    lost
    ends_soon "the remote server is $kind"
done
