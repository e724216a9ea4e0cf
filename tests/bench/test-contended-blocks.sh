#!/bin/bash
# Where hundreds of requests fight for two blocks, each read still has one right answer, nothing is starved, and the mix
# stays what was asked for.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

start_nbdcrypt --raw memory:64M
expect_bench --json --verify --size 8K --connections 8 --threads 2 --depth 32 --write 30 --zero 20 --count 20000 "$uri"
expect_equal "requests" 20000 "$(figure total/requests)"
for part in "read 50" "write 30" "zero 20"; do
    read -r command percent <<<"$part"
    requests=$(figure "$command/requests")
    off=$((requests * 100 / 20000 - percent))
    [ "${off#-}" -le 3 ] ||
        fail "$requests of 20000 requests are $command, expected about $percent %"
done
[ "$(figure verify/cells_checked)" -gt 10000 ] || fail "hardly anything was compared"
