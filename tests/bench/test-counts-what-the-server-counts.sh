#!/bin/bash
# --count is exact: a server that counts itself has seen as many requests, and as many bytes, as nbdcrypt-bench reports.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

requires nbdkit memory --filter=stats --dump-plugin
requires nbdinfo --version

# served OPERATION: from the statistics of nbdkit's stats filter, "read: 12 ops, ..."
served() {
    awk -v name="$1:" '$1 == name { print $2 }' "$statistics"
}

check() {
    statistics=$(temp_file)
    new_socket
    start_server nbdkit --foreground --unix "$socket" --filter=stats memory 64M statsfile="$statistics"
    expect_bench --json "$@" "$uri"
    kill "$pid"
    wait "$pid" || true
    for command in read write trim zero; do
        expect_equal "$command requests with $*" "$(figure $command/requests)" "$(served $command | grep . || echo 0)"
    done
}

check --count 1
expect_equal "requests" 1 "$(figure total/requests)"
check --count 777 --depth 1
expect_equal "requests" 777 "$(figure total/requests)"
check --count 10001 --connections 7 --threads 3 --depth 64 --write 30 --trim 20 --zero 10
expect_equal "requests" 10001 "$(figure total/requests)"
check --passes 1 --pattern sequential --block 64K --connections 4 --threads 2
expect_equal "requests" 1024 "$(figure total/requests)"
