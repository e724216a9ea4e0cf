#!/bin/bash
# Servers that lose, tear, misplace or forget writes now and then are found out by --verify while they run; one that does
# not passes.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

requires nbdkit python --dump-plugin
requires nbdinfo --version

# A disk in memory. Each tenth write goes wrong in the way that `bad` names.
cp "$source_dir/tests/bench/verify-finds-a-broken-server.py" "$test_dir/disk.py"

# serve BAD
serve() {
    new_socket
    start_server nbdkit --foreground --unix "$socket" python "$test_dir/disk.py" "bad=$1"
}

# Some of everything: what is wrong is seen sooner or later, one way or another.
mixed=(--verify --write 60 --count 200 --block 4K-16K)
# In order, and twice: the last pass lies over a whole first one.
in_order=(--verify --write 100 --pattern sequential --passes 2 --block 16K --depth 1)

# finds SENTENCE
finds() {
    expect_bench_failure 1 '[0-9]+ cells of 512 bytes do not hold what was written' "${mixed[@]}" "$uri"
    expect_bench_failure 1 "offset [0-9]+: $1" "${in_order[@]}" "$uri"
}

serve nothing
expect_bench "${mixed[@]}" "$uri"
expect_match "$out" '^verified: [1-9][0-9]* cells of 512 bytes were compared, 0 were wrong'
expect_bench "${in_order[@]}" "$uri"
expect_match "$out" '^verified: 2048 cells of 512 bytes were compared, 0 were wrong'

lost='write [0-9]+ is there, and write [0-9]+ was made later: it was lost'
serve lost
finds "$lost"

serve torn
finds "$lost"

serve misplaced
finds 'what is there belongs to offset [0-9]+: it was misplaced .*'

serve changed
finds 'the checksum does not fit: .*'
