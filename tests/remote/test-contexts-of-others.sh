#!/bin/bash
# A raw export of a remote disk tells the metadata contexts of the remote server, through any number of nbdcrypts, as the
# server itself tells them; one that the server has lost meanwhile is an error until it has it again. An export that is not
# the remote disk byte for byte offers none of them.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires qemu-nbd --version

depth=qemu:allocation-depth dirty=qemu:dirty-bitmap:b0 last=qemu:dirty-bitmap:last
base=$(temp_file) disk=$(temp_file)
qemu-img create -q -f qcow2 "$base" 64M
qemu-io -f qcow2 -c 'write -P 1 0 1M' "$base" >"$log_dir/qemu-io"
qemu-img create -q -f qcow2 -b "$base" -F qcow2 "$disk"
qemu-img bitmap --add "$disk" b0
qemu-io -f qcow2 -c 'write -P 2 8M 64k' -c 'write -P 3 20M 1M' "$disk" >"$log_dir/qemu-io"
qemu-img bitmap --add "$disk" last
qemu-io -f qcow2 -c 'write -P 4 9M 128k' "$disk" >"$log_dir/qemu-io"

# start_qemu OPTION...: qemu-nbd of the disk. Read-only, so that the end of it leaves the bitmaps as they are.
start_qemu() {
    start_remote qemu-nbd --read-only --persistent --format=qcow2 --export-name= --socket="$remote_socket" "$@" "$disk"
}

# map_of CONTEXT URI: lines of START LENGTH FLAGS.
map_of() {
    nbdinfo --map="$1" "$2" | awk '{ print $1, $2, $3 }'
}

# contexts_of URI: in one line, sorted.
contexts_of() {
    nbdinfo --list --json "$1" | python -c 'import json, sys; print(*sorted(json.load(sys.stdin)["exports"][0]["contexts"]))'
}

new_remote
start_qemu -A -B b0 -B last --shared=8
maps=()
for context in base:allocation $depth $dirty $last; do
    map=$(temp_file)
    map_of "$context" "$remote" >"$map"
    maps+=("$context=$map")
done
expect_equal "what the test is about" "0 8388608 0
8388608 65536 1
8454144 983040 0
9437184 131072 1
9568256 11403264 0
20971520 1048576 1
22020096 45088768 0" "$(cat "${maps[2]#*=}")"
qemu_map() {
    qemu-img map --output=json --image-opts "driver=nbd,server.type=unix,server.path=$1,x-dirty-bitmap=$2"
}
qemu_map "$remote_socket" $dirty >"$log_dir/direct"

# compare NAME URI: all ways to ask.
compare() {
    local context

    expect_equal "contexts of $1" "base:allocation $depth $dirty $last" "$(contexts_of "$2")"
    for context in "${maps[@]}"; do
        expect_equal "${context%%=*} of $1" "$(cat "${context#*=}")" "$(map_of "${context%%=*}" "$2")"
    done
    python "$source_dir/tests/remote/contexts-of-others.py" "$2" "${maps[@]}" </dev/null
}

start_nbdcrypt --raw --threads 2 "$remote"
compare "a raw export" "$uri"
qemu_map "$socket" $dirty >"$log_dir/through"
cmp "$log_dir/direct" "$log_dir/through"

# nbdcrypt map, of both.
for context in $depth $dirty; do
    expect_success map --format raw --context "$context" "nbd+unix:///?socket=$socket"
    expect_equal "what map tells of $context" "$(map_of "$context" "$remote")" "$(awk 'NR > 1 { print $1, $2, $3 }' "$out")"
    expect_success map --format raw --json --context "$context" "$remote"
    expect_equal "the same as JSON" "$(map_of "$context" "$remote")" "$(sed -E 's/[^0-9]+/ /g; s/^ | $//g' "$out")"
done
run_nbdcrypt map --format raw --context qemu:dirty-bitmap:b1 "$remote"
expect_equal "exit status without such a context" 1 "$status"
expect_match "$err" "': its storage does not tell of the metadata context 'qemu:dirty-bitmap:b1'"

# A second nbdcrypt, which asks the first one for a context alone, by its number.
first=$socket first_pid=$pid
start_nbdcrypt --raw --threads 2 "nbd+unix:///?socket=$first"
compare "a chain" "$uri"
stop_nbdcrypt
pid=$first_pid
stop_nbdcrypt
kill_remote

# One connection, which all share.
start_qemu -A -B b0 -B last --shared=1
start_nbdcrypt --raw --threads 2 "$remote"
compare "a server that takes one connection" "$uri"
stop_nbdcrypt
kill_remote

# A bitmap that is gone when the server is back, and then is there again.
has_lost() {
    [ "$(grep -c 'the connection was lost' "$server_log")" -ge "$1" ]
}
lose_remote() {
    kill -KILL "$remote_pid"
    wait_until 30 has_lost "$1"
    rm -f "$remote_socket"
}
status_error() {
    python - "$uri" "$1" <<'PYTHON_END'
import sys
from nbd_client import *

print(Client(sys.argv[1], contexts=(sys.argv[2],)).error_of(CMD_BLOCK_STATUS, 0, 1 << 20))
PYTHON_END
}
start_qemu -A -B b0 -B last --shared=8
start_nbdcrypt --raw --threads 1 "$remote"
expect_equal "error of what is there" 0 "$(status_error $last)"
lose_remote 1
start_qemu -B b0 --shared=8
expect_equal "error of what is there" 0 "$(status_error $dirty)"
expect_equal "error of what is gone" 5 "$(status_error $last)"
expect_equal "error of what is gone" 5 "$(status_error $depth)"
expect_match "$server_log" "': the server does not have the metadata context '$last' any more: BLOCK_STATUS of it fails"
expect_equal "base:allocation" "$(cat "${maps[0]#*=}")" "$(map_of base:allocation "$uri")"
lose_remote 3
start_qemu -A -B b0 -B last --shared=8
compare "what is there again" "$uri"
stop_nbdcrypt

# A part of the disk.
start_nbdcrypt --raw "$remote&offset=1M&size=4M"
expect_equal "contexts of a part" base:allocation "$(contexts_of "$uri")"
stop_nbdcrypt
kill_remote

# A qcow2 image in the remote disk, and a volume.
start_remote qemu-nbd --persistent --format=raw --export-name= --socket="$remote_socket" -A --shared=8 "$base"
start_nbdcrypt --raw "$remote"
expect_equal "contexts of the image" "base:allocation $depth" "$(contexts_of "$uri")"
stop_nbdcrypt
start_nbdcrypt --raw "$remote&format=qcow2"
expect_equal "contexts of a disk in the image" base:allocation "$(contexts_of "$uri")"
stop_nbdcrypt
kill_remote
volume=$(temp_file)
format_luks2 "$volume" 32M
start_remote qemu-nbd --persistent --format=raw --export-name= --socket="$remote_socket" -A --shared=8 "$volume"
start_nbdcrypt --key-file "$passphrase" "$remote"
expect_equal "contexts of a volume" base:allocation "$(contexts_of "$uri")"
stop_nbdcrypt
