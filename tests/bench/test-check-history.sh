#!/bin/bash
# --check-history finds servers that answer wrongly under clients who read and write the same places: they lose writes,
# show old data, let each connection see its own, or tell that something is durable which is gone after a kill. It accuses
# nobody who loses what was not flushed, which the protocol allows.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

requires nbdkit python --dump-plugin

image=$(temp_file)
plugin=$source_dir/tests/bench/check-history-server.py
judge=(--check-history --connections 4 --block 16K --depth 4 --size 1M --timeout 20)

# serve LIE
serve() {
    truncate --size=0 "$image"
    truncate --size=1M "$image"
    new_socket
    lie=$1
    start_here
}

start_here() {
    rm -f "$socket"
    start_server nbdkit --foreground --unix "$socket" python "$plugin" "file=$image" "lie=$lie"
}

# It is killed while clients are at work, and started again.
kill_twice() {
    for _ in 1 2; do
        sleep 0.7
        kill -KILL "$pid"
        wait "$pid" || true
        start_here
    done
}

# judge_with_kills STATUS
judge_with_kills() {
    local status=0 bench_pid

    "$bench" "${judge[@]}" --time 2.5 "$uri" >"$log_dir/bench" 2>&1 &
    bench_pid=$!
    remember_pid "$bench_pid"
    kill_twice
    wait "$bench_pid" || status=$?
    expect_equal "exit status with a server that $lie, and is killed" "$1" "$status"
}

serve is-honest
expect_bench "${judge[@]}" --time 0.5 "$uri"
expect_match "$out" '^[1-9][0-9]* cells of 512 bytes read, 0 of them wrong, .*'
judge_with_kills 0
expect_match "$log_dir/bench" 'connections lost: [1-9][0-9]*$'

for lie in loses-writes old-data caches-apart; do
    serve $lie
    expect_bench_failure 1 'the server has answered [0-9]+ reads of a cell wrongly' "${judge[@]}" --time 1 "$uri"
    expect_match "$err" 'offset [0-9]+: (write [0-9]+ is there, and change [0-9]+ was sent after its answer, .*: it was lost|zeros are there, .*)$'
done

for lie in forgets-flush ignores-fua; do
    serve $lie
    judge_with_kills 1
    expect_match "$log_dir/bench" 'the server has answered [0-9]+ reads of a cell wrongly$'
done
