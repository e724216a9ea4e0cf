#!/bin/bash
# check-peers.sh [SECONDS [NAME...]]: has nbdcrypt-bench --check-history judge NBD servers, each for SECONDS (10), in which it is
# killed every two seconds and started again. Run in the build folder. What is not installed is left out.
#
# A kill does not take what the kernel has in its cache. So some serve a disk that has a cache of its own, by another
# server that is killed with them: then only what was flushed is there afterwards.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

seconds=${1:-10}
shift || true
wanted=" $* "
source_folder=$(cd "$(dirname "$0")/.." && pwd)
bench=$PWD/nbdcrypt-bench
nbdcrypt=$PWD/nbdcrypt
folder=$(mktemp -d)
socket=$folder/socket store=$folder/store image=$folder/image
groups=()
trap 'kill_peer; rm -rf "$folder"' EXIT

# Not the judge.
kill_peer() {
    for group in "${groups[@]}"; do
        kill -KILL -- "-$group" 2>/dev/null || true
    done
    groups=()
}

# start SOCKET COMMAND...: in a group of processes of its own.
start() {
    local at=$1

    shift
    rm -f "$at"
    setsid "$@" >>"$folder/log" 2>&1 &
    groups+=($!)
    for _ in $(seq 200); do
        [ ! -S "$at" ] || return 0
        sleep 0.05
    done
    echo "'$*' does not start:" && tail "$folder/log" && exit 1
}

start_all() {
    rm -f "$folder/pid"
    [ "$kind" = on-file ] || start "$store" nbdkit -f -U "$store" python \
        "$source_folder/tests/bench/check-history-server.py" "file=$image" lie=none
    start "$socket" "${command[@]}"
    sleep 0.2 # a process of nbd-server that leaves its group has done so
    [ ! -s "$folder/pid" ] || groups+=("$(ps -o pgid= -p "$(cat "$folder/pid")" | tr -d ' ')")
}

# peer NAME KIND EXPORT COMMAND...: KIND is on-file or on-cache.
peer() {
    local name=$1 judging verdict="nothing is wrong"

    kind=$2 export_name=$3
    shift 3
    command=("$@")
    [ "$wanted" = "  " ] || [[ $wanted == *" $name "* ]] || return 0
    command -v "${command[0]}" >/dev/null || { echo "$name: not here" && return 0; }
    rm -f "$image"
    truncate --size=1M "$image"
    qemu-img create -q -f qcow2 "$image.qcow2" 1M
    start_all
    "$bench" --check-history -c 8 -d 8 -b 16K --time "$seconds" "nbd+unix:///$export_name?socket=$socket" \
        >"$folder/out" 2>&1 &
    judging=$!
    for _ in $(seq $((seconds / 2 - 1))); do
        sleep 2
        kill_peer
        start_all
    done
    wait "$judging" || verdict="not judged"
    ! grep -q "reads of a cell wrongly" "$folder/out" || verdict="WRONG"
    echo "$name: $verdict"
    sed -E 's/^/    /' "$folder/out" | tail -n 3
    kill_peer
}

cat >"$folder/nbd-server.conf" <<END
[generic]
unixsock=$socket
allowlist=true
[disk]
exportname=$image
flush=true
fua=true
trim=true
END

uri="nbd+unix:///?socket=$store"
peer nbdcrypt on-file "" "$nbdcrypt" serve --raw --unix "$socket" "$image"
peer nbdcrypt-remote on-cache "" "$nbdcrypt" serve --raw --unix "$socket" "$uri"
peer nbdkit on-file "" nbdkit -f -U "$socket" file "$image"
peer nbdkit-nbd on-cache "" nbdkit -f -U "$socket" nbd "socket=$store"
peer nbdkit-cache on-cache "" nbdkit -f -U "$socket" --filter=cache nbd "socket=$store"
peer nbdkit-cache-unsafe on-cache "" nbdkit -f -U "$socket" --filter=cache nbd "socket=$store" cache=unsafe
peer nbdkit-fua-discard on-cache "" nbdkit -f -U "$socket" --filter=fua nbd "socket=$store" fuamode=discard
peer nbdkit-cow on-file "" nbdkit -f -U "$socket" --filter=cow file "$image"
peer nbdkit-memory on-file "" nbdkit -f -U "$socket" memory 1M
peer qemu-nbd on-file "" qemu-nbd -f raw -k "$socket" --shared=16 --persistent "$image"
peer qemu-nbd-qcow2 on-file "" qemu-nbd -f qcow2 -k "$socket" --shared=16 --persistent "$image.qcow2"
peer qemu-nbd-nbd on-cache "" qemu-nbd -f raw -k "$socket" --shared=16 --persistent "$uri"
peer qemu-nbd-unsafe on-cache "" qemu-nbd -f raw --cache=unsafe -k "$socket" --shared=16 --persistent "$uri"
peer nbd-server on-file disk nbd-server -C "$folder/nbd-server.conf" -p "$folder/pid"
