# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # $port is for the tests; $log_dir and others are those of functions.sh
# For tests of certificates and pre-shared keys: servers that others wrote.  Sourced after functions.sh.

# listen_for LOG COMMAND...: starts a server that takes a listening socket from its service manager, on a free port.
# Sets $pid and $port.  It need not be ready: clients wait in the queue of the socket.
listen_for() {
    local log=$1 told=$test_dir/port

    shift
    rm -f "$told"
    "$PYTHON" "$source_dir/tests/support/tls-peers-listen-for.py" "$told" "$@" </dev/null >"$log_dir/$log" 2>&1 &
    pid=$!
    remember_pid "$pid"
    wait_until 30 test -e "$told"
    port=$(cat "$told")
}

end_peer() {
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

# serve_by_nbdkit FILE OPTION...
serve_by_nbdkit() {
    local file=$1

    shift
    listen_for nbdkit nbdkit --foreground --exit-with-parent --tls=require "$@" file "$file"
}

# serve_by_qemu_nbd FILE CREDENTIALS: "tls-creds-x509,dir=...".
serve_by_qemu_nbd() {
    listen_for qemu-nbd qemu-nbd --persistent --shared=0 --object "$2,id=tls0,endpoint=server" \
        --tls-creds tls0 -f raw "$1"
}

# expect_refused COMMAND...: it fails, and not because it is killed or does not exist.
expect_refused() {
    local status=0

    timeout 30 "$@" >"$log_dir/refused" 2>&1 || status=$?
    if [ "$status" -eq 0 ] || [ "$status" -ge 124 ]; then
        fail "status $status, but a refusal was expected: $*"
    fi
}
