#!/bin/bash
# Plugins of nbdkit hosted here beside nbdkit, and a remote NBD server (nbdkit's memory) through us beside the way straight to
# it.
#
#     bench/compare-backends.sh [ROUNDS [SECONDS]]      in the build folder; 5 rounds of 3 s by default
#
#     memory-nbdkit memory-hosted      file-nbdkit file-hosted
#     remote-direct                    the client speaks with nbdkit itself
#     remote-raw remote-luks2          through nbdcrypt (whose CPU time alone is counted, without nbdkit's)
here=$(cd "$(dirname "$0")" && pwd)
export TEST_TIMEOUT_S=3600
. "$here/../tests/support/functions.sh"
. "$here/../tests/support/bench-functions.sh"
# shellcheck source=bench/side-by-side.sh
. "$here/side-by-side.sh"

requires nbdkit memory --dump-plugin

size=256M
servers='memory-nbdkit memory-hosted file-nbdkit file-hosted remote-direct remote-raw remote-luks2'
file=$(temp_file)
truncate -s $size "$file"

# One server each that stays: straight, raw and below LUKS; its pages are there.
new_socket
start_server nbdkit --foreground --unix "$socket" memory 288M
memory_pid=$pid memory_uri=$uri
fill() {
    "$bench" --write 100 --pattern sequential --block 256K --size $size --passes 1 "$uri" >"$log_dir/fill"
}
"$NBDCRYPT" format --pbkdf pbkdf2 --pbkdf-iterations 1000 --sector-size 4096 --key-file "$passphrase" "$memory_uri" \
    >"$log_dir/format"
start_nbdcrypt --key-file "$passphrase" "$memory_uri"
fill
stop_nbdcrypt

# start_nbdkit PLUGIN ARGUMENT...
start_nbdkit() {
    new_socket
    start_server nbdkit --foreground --unix "$socket" "$@"
}

# measure SERVER JOB BENCH-OPTION...
measure() {
    local offset=0

    case $1 in
    memory-nbdkit) start_nbdkit memory $size ;;
    memory-hosted) start_nbdcrypt --raw "nbdkit:memory?size=$size" ;;
    file-nbdkit) start_nbdkit file "$file" ;;
    file-hosted) start_nbdcrypt --raw "nbdkit:file?file=$file" ;;
    remote-direct) pid=$memory_pid uri=$memory_uri offset=32M ;; # behind the header
    remote-raw) start_nbdcrypt --raw "$memory_uri" && offset=32M ;;
    remote-luks2) start_nbdcrypt --key-file "$passphrase" "$memory_uri" ;;
    esac
    case $1 in
    memory-*) fill ;;
    esac
    measure_nbd "$@" --offset $offset --size $size
    if [ "$pid" != "$memory_pid" ]; then
        kill "$pid"
        wait "$pid" || true
    fi
}

in_turn 'randread-1 --depth 1' 'randread-4x32 --depth 32 --connections 4' 'randwrite-4x32 --depth 32 --connections 4 --write 100' \
    'read-256K --block 256K --depth 16 --pattern sequential'
