#!/bin/bash
# Clients are told that they may open several connections (CAN_MULTI_CONN) only where as many are let in as
# nbdcopy opens then; with fewer it copies through one.
. "$(dirname "$0")/../support/functions.sh"

requires nbdcopy --version
requires nbdinfo --version
disk=$(temp_file)
truncate --size=4M "$disk"

for limit in 1 2 3 4 5 per-client; do
    options=(--max-connections "$limit")
    [ "$limit" != per-client ] || options=(--listen 127.0.0.1:0 --max-connections-per-client 3)
    start_nbdcrypt --raw "${options[@]}" "$disk"
    expected=1
    case $limit in 1 | 2 | 3 | per-client) expected=0 ;; esac
    expect_equal "nbdinfo --can multi-conn, ${options[*]}" "$expected" \
        "$(nbdinfo --can multi-conn "$uri" && echo 1 || echo 0)"
    # It has one thread for each CPU and a connection for each thread, unless it is told more.
    nbdcopy --threads=4 --connections=4 "$disk" "$uri" || fail "nbdcopy can't copy with ${options[*]}"
    stop_nbdcrypt
done
