# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is for the tests, or by functions.sh
# What the tests of nbdcrypt-bench share; to be sourced after functions.sh.

bench=$(dirname "$NBDCRYPT")/nbdcrypt-bench
[ -x "$bench" ] || fail "no $bench: build it"

# run_bench ARGUMENT...: to its end.  Sets $status, $out and $err (files).
bench_count=0
run_bench() {
    bench_count=$((bench_count + 1))
    out=$log_dir/bench-out-$bench_count err=$log_dir/bench-err-$bench_count status=0
    timeout 120 "$bench" "$@" </dev/null >"$out" 2>"$err" || status=$?
}

# expect_bench ARGUMENT...: it succeeds, and has nothing to complain about.
expect_bench() {
    run_bench "$@"
    [ "$status" -eq 0 ] || fail "'nbdcrypt-bench $*' ended with status $status: $(cat "$err")"
    [ ! -s "$err" ] || fail "'nbdcrypt-bench $*' succeeded, but wrote: $(cat "$err")"
}

# expect_bench_failure STATUS EXTENDED-REGEX ARGUMENT...: it fails with this status, and a line of standard error is
# "nbdcrypt-bench: " and something that matches to its end.
expect_bench_failure() {
    local expected_status=$1 regex=$2

    shift 2
    run_bench "$@"
    expect_equal "exit status of 'nbdcrypt-bench $*' ($(cat "$err"))" "$expected_status" "$status"
    expect_match "$err" "^nbdcrypt-bench: $regex\$"
}

# figure PATH: of the JSON that the last run printed, such as total.requests
figure() {
    python - "$out" "$1" <<'PYTHON_END'
import json
import sys

value = json.load(open(sys.argv[1]))
for name in sys.argv[2].split("/"):
    value = value[name]
print(value)
PYTHON_END
}

# start_server COMMAND...: one that others wrote, listening on $socket.  Sets $pid.  What it prints is not among the logs
# that are searched for failed assertions: nbdkit 1.32 has one when a client vanishes.
start_server() {
    server_count=$((server_count + 1))
    "$@" </dev/null >"$test_dir/other-server-$server_count" 2>&1 &
    pid=$!
    remember_pid "$pid"
    wait_until 30 nbdinfo --size "$uri" >"$log_dir/waiting" 2>&1
}

# new_socket: sets $socket and $uri for start_server.
new_socket() {
    socket=$(temp_socket)
    uri="nbd+unix:///?socket=$socket"
}
