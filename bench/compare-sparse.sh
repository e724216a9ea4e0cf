#!/bin/bash
# What copying a sparse disk costs beside copying its data alone: nbdcopy of 1 TiB with 1 GiB of data in 64 runs, and of a disk of
# 1 GiB that is full; to nowhere, on a file system that has files of 1 TiB and 4 GiB to spare.
#
#     bench/compare-sparse.sh [ROUNDS]      in the build folder; 5 rounds by default
#
#     nbdcrypt              encrypted, with --zero-holes
#     nbdcrypt-convert      the same server, and `nbdcrypt convert` as the client, into a file
#     nbdkit, qemu-nbd      plain files, where these programs are: how much of the rest is the client's
#
# Prints, of each server, the medians of the wall time and of the server's CPU time, in seconds, and their ratios.
here=$(cd "$(dirname "$0")" && pwd)
export TEST_TIMEOUT_S=3600
. "$here/../tests/support/functions.sh"

rounds=${1:-5}
requires nbdcopy --version
servers=(nbdcrypt)
for other in nbdkit qemu-nbd; do
    if "$other" --version >/dev/null 2>&1; then servers+=("$other"); fi
done
declare -A uri_of pid_of size=([full]=1G [sparse]=1T) distance_mib=([full]=16 [sparse]=16384)

# fill DISK: a plain file, whose disk is served by all.
fill() {
    truncate --size="${size[$1]}" "$test_dir/$1.raw"
    for i in {0..63}; do
        head -c 16M /dev/urandom | dd of="$test_dir/$1.raw" bs=1M seek=$((i * ${distance_mib[$1]})) conv=notrunc status=none
    done
}

# serve_by_SERVER DISK: sets $uri and $pid.
serve_by_nbdcrypt() {
    "$NBDCRYPT" convert --from-format raw --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --sector-size 4096 --zero-holes \
        "$test_dir/$1.raw" "$test_dir/$1.luks" >/dev/null
    start_nbdcrypt --key-file "$passphrase" --zero-holes "$test_dir/$1.luks"
}

serve_by_nbdkit() {
    nbdkit --foreground --readonly --unix "$1" file "$test_dir/$2.raw" &
}

serve_by_qemu-nbd() {
    qemu-nbd --persistent --shared=8 --read-only --format=raw --socket="$1" "$test_dir/$2.raw" &
}

# serve SERVER DISK
serve() {
    local socket

    if [ "$1" = nbdcrypt ]; then
        serve_by_nbdcrypt "$2"
    else
        socket=$(temp_socket)
        "serve_by_$1" "$socket" "$2"
        pid=$! uri="nbd+unix:///?socket=$socket"
        remember_pid "$pid"
        wait_until 20 test -S "$socket"
    fi
    uri_of[$1-$2]=$uri pid_of[$1-$2]=$pid
}

cpu_ticks() {
    awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# measure SERVER-DISK: a line with both times.
measure() {
    local start cpu

    rm -f "$test_dir/copy"
    cpu=$(cpu_ticks "${pid_of[$1]}") start=$EPOCHREALTIME
    case $1 in
    nbdcrypt-convert-*) "$NBDCRYPT" convert --from-format raw --to-format raw "${uri_of[$1]}" "$test_dir/copy" >/dev/null ;;
    *) nbdcopy "${uri_of[$1]}" null: ;;
    esac
    awk -v name="$1" -v start="$start" -v end="$EPOCHREALTIME" -v cpu="$(($(cpu_ticks "${pid_of[$1]}") - cpu))" \
        -v second="$(getconf CLK_TCK)" 'BEGIN { print name, end - start, cpu / second }'
}

median() {
    awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$test_dir/times" | sort -g |
        awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

for disk in full sparse; do
    fill "$disk"
    for server in "${servers[@]}"; do serve "$server" "$disk"; done
    uri_of[nbdcrypt-convert-$disk]=${uri_of[nbdcrypt-$disk]} pid_of[nbdcrypt-convert-$disk]=${pid_of[nbdcrypt-$disk]}
done
servers+=(nbdcrypt-convert)
for ((round = 0; round < rounds; round++)); do
    for server in "${servers[@]}"; do
        measure "$server-full"
        measure "$server-sparse"
    done
done >"$test_dir/times"
printf '%-18s%-12s%12s%12s%8s\n' SERVER SECONDS "1 GIB FULL" "IN 1 TIB" TIMES
for server in "${servers[@]}"; do
    for column in 2 3; do
        awk -v server="$server" -v what="$([ $column = 2 ] && echo "wall" || echo "its CPU")" \
            -v full="$(median "$server-full" $column)" -v sparse="$(median "$server-sparse" $column)" \
            'BEGIN { printf "%-18s%-12s%12.3f%12.3f%8.2f\n", server, what, full, sparse, sparse / full }'
    done
done
for one in "${!pid_of[@]}"; do
    pid=${pid_of[$one]}
    case $one in
    nbdcrypt-convert-*) ;;
    nbdcrypt-*) stop_nbdcrypt ;;
    *) kill "$pid" ;;
    esac
done
