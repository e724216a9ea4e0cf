#!/bin/bash
# Clients are told that they may open several connections (CAN_MULTI_CONN) only where as many are let in as
# nbdcopy opens then; with fewer it copies through one.
. "$(dirname "$0")/functions.sh"

requires nbdcopy --version
requires nbdinfo --version
disk=$(temp_file)
truncate --size=4M "$disk"

for limit in 1 2 3 4 5; do
    start_nbdcrypt --raw --max-connections "$limit" "$disk"
    expected=1
    [ "$limit" -ge 4 ] || expected=0
    expect_equal "nbdinfo --can multi-conn, --max-connections $limit" "$expected" \
        "$(nbdinfo --can multi-conn "$uri" && echo 1 || echo 0)"
    # It has one thread for each CPU and a connection for each thread, unless it is told more.
    nbdcopy --threads=4 --connections=4 "$disk" "$uri" || fail "nbdcopy can't copy with --max-connections $limit"
    stop_nbdcrypt
done
