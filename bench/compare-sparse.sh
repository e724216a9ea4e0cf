#!/bin/bash
# What copying a sparse disk costs beside copying its data alone: nbdcopy of 1 TiB with 1 GiB of data, encrypted with
# --zero-holes, and of a disk of 1 GiB that is full; to nowhere, on a file system that has files of 1 TiB and 2 GiB to spare.
#
#     bench/compare-sparse.sh [ROUNDS]      in the build folder; 5 rounds by default
#
# Prints the medians of the wall time and of the server's CPU time, in seconds, and their ratios.
here=$(cd "$(dirname "$0")" && pwd)
export TEST_TIMEOUT_S=3600
. "$here/../tests/support/functions.sh"

rounds=${1:-5}
requires nbdcopy --version
image=$(temp_file) small=$(temp_file)

# serve_filled IMAGE SIZE DISTANCE: 64 runs of 16 MiB of data, so far from one another.
serve_filled() {
    format_luks2 "$1" "$2" --sector-size 4096
    start_nbdcrypt --key-file "$passphrase" --zero-holes "$1"
    python - "$uri" "$3" <<'END'
import os
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    for i in range(64):
        client.write(i * int(sys.argv[2]), os.urandom(16 << 20))
    client.flush()
    client.disconnect()
END
}

cpu_ticks() {
    awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# measure NAME URI PID: a line with both times.
measure() {
    local start cpu

    cpu=$(cpu_ticks "$3") start=$EPOCHREALTIME
    nbdcopy "$2" null:
    awk -v name="$1" -v start="$start" -v end="$EPOCHREALTIME" -v cpu="$(($(cpu_ticks "$3") - cpu))" \
        -v second="$(getconf CLK_TCK)" 'BEGIN { print name, end - start, cpu / second }'
}

median() {
    awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$test_dir/times" | sort -g |
        awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

serve_filled "$small" 1G $((16 << 20))
small_uri=$uri small_pid=$pid
serve_filled "$image" 1T $((16 << 30))
for ((round = 0; round < rounds; round++)); do
    measure full "$small_uri" "$small_pid"
    measure sparse "$uri" "$pid"
done >"$test_dir/times"
for column in 2 3; do
    awk -v what="$([ $column = 2 ] && echo "wall time" || echo "CPU time of the server")" \
        -v full="$(median full $column)" -v sparse="$(median sparse $column)" \
        'BEGIN { printf "%s: %.3f s for 1 GiB, %.3f s for 1 TiB with 1 GiB in it: %.2f times\n", what, full, sparse, sparse / full }'
done
stop_nbdcrypt
pid=$small_pid
stop_nbdcrypt
