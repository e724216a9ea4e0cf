#!/bin/bash
# Builds nbdcrypt and serves an encrypted demo disk.
#
#     ./quickstart.sh              a volume of 256 MiB in ./demo, with a random key, on a Unix socket
#                                  and on 127.0.0.1:10809; Ctrl-C ends it
#     ./quickstart.sh --self-test  copies data in and out through a real client, compares, shows that
#                                  the file holds only ciphertext, and cleans up
#
# On Debian it installs with apt-get what is missing; elsewhere it names it and stops.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin # what this machine's system has, and nothing of a developer's
cd "$(dirname "$0")"

. tests/support/packages.sh

top=$PWD
build=$top/build
demo=$top/demo
program=$build/nbdcrypt

say() {
    printf '%s\n' "$*"
}

die() {
    echo "$0: $*" >&2
    exit 1
}

# Incremental: the second run takes a moment.  The whole output is in build/quickstart.log.
build_nbdcrypt() {
    local log=$build/quickstart.log

    mkdir -p "$build"
    say "Building in $build ..."
    [ ! -e config.status ] || program=$top/nbdcrypt
    if ! {
        [ -e configure ] || ./bootstrap
        if [ -e config.status ]; then
            make -j "$(nproc)"
        else
            cd "$build"
            [ -e config.status ] || ../configure
            make -j "$(nproc)"
        fi
    } >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "the build failed; the whole log is $log"
    fi
    cd "$top"
}

# make_volume KEY IMAGE SIZE: a LUKS2 volume with a random key that only its owner can read.
make_volume() {
    (umask 077 && head -c 64 /dev/urandom >"$1")
    "$program" format --key-file "$1" --size "$3" "$2" >/dev/null
}

# ---- the demo ----

# from_package COMMAND PACKAGE: what to say behind a command that may not be there.
from_package() {
    command -v "$1" >/dev/null || printf '  (package %s)' "$2"
}

# print_usage_of_demo TCP-URI UNIX-URI
print_usage_of_demo() {
    cat <<EOT

$program serves $demo/disk.luks. Its key is $demo/key (mode 0600).

  URIs   $1
         $2

In another terminal:

  what is served       nbdinfo '$2'
  copy a file in       nbdcopy FILE '$2'
  copy the disk out    nbdcopy '$2' disk.raw
  inspect with QEMU    qemu-img info '$2'$(from_package qemu-img qemu-utils)
  attach to a guest    qemu-system-x86_64 ... -drive 'file=$2,format=raw,if=virtio'$(from_package qemu-system-x86_64 qemu-system-x86)
  as a block device    sudo modprobe nbd && sudo nbd-client -unix $demo/nbd.sock /dev/nbd0 -b 4096$(from_package nbd-client nbd-client)
  put load on it       fio --name=load --ioengine=nbd --uri='$2' \\
                           --rw=randrw --bs=4k --iodepth=32 --size=256M --verify=crc32c$(from_package fio fio)
  look at the header   $program info $demo/disk.luks
  compare with others  make -C ${program%/*} bench-quick$(from_package python3 python3)$(from_package nbdkit nbdkit)

Ctrl-C ends the server.
EOT
}

# The server says where it is once it listens there: what is printed then holds.
run_demo() {
    if [ ! -e "$demo/disk.luks" ]; then
        mkdir -p "$demo"
        say "Making a volume of 256 MiB: $demo/disk.luks, key in $demo/key ..."
        # Under another name first: what is interrupted leaves no half of a volume.
        rm -f "$demo/disk.luks.new"
        make_volume "$demo/key" "$demo/disk.luks.new" 256M
        mv "$demo/disk.luks.new" "$demo/disk.luks"
    fi
    # The printer ends with the server, which closes its standard output.
    exec "$program" serve --key-file "$demo/key" --unix "$demo/nbd.sock" --listen 127.0.0.1:10809 \
        "$demo/disk.luks" > >(read -r -a uris && print_usage_of_demo "${uris[1]}" "${uris[0]}" && cat)
}

# ---- the self-test ----

server_pid=
work=

clean_up() {
    if [ -n "$server_pid" ]; then
        kill -KILL "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
    fi
    [ -z "$work" ] || rm -rf "$work"
}

# Serves the volume on a Unix socket and a free TCP port; sets server_pid, unix_uri, tcp_uri.
start_server() {
    local ready=$work/ready line fd

    rm -f "$ready"
    mkfifo "$ready"
    "$program" serve --key-file "$work/key" --unix "$work/sock" --listen 127.0.0.1:0 "$work/disk.luks" \
        >"$ready" 2>"$work/server.log" </dev/null &
    server_pid=$!
    exec {fd}<"$ready"
    IFS= read -r -t 60 -u "$fd" line || die "the server did not start: $(cat "$work/server.log")"
    unix_uri=$(tr ' ' '\n' <<<"$line" | grep '^nbd+unix:')
    tcp_uri=$(tr ' ' '\n' <<<"$line" | grep '^nbd:')
}

stop_server() {
    local status=0

    kill -TERM "$server_pid"
    wait "$server_pid" || status=$?
    server_pid=
    [ "$status" -eq 0 ] || die "the server ended with status $status: $(cat "$work/server.log")"
}

pattern='The quick brown fox jumps over the lazy dog. '

# 16 MiB of the same sentence: what could be found, or compressed, if it were stored as it is.
make_plain() {
    head -c $((16 << 20)) < <(yes "$pattern") >"$work/plain"
    truncate --size=64M "$work/plain"
}

compressed_percent() {
    echo $((100 * $(gzip -1 <"$1" | wc -c) / $(wc -c <"$1")))
}

# Nothing of the sentence is in the file, and what holds the data can't be compressed.
expect_ciphertext() {
    local payload=$work/payload stored

    if grep -qaF "quick brown fox" "$work/disk.luks"; then
        die "the image file holds the data in the clear"
    fi
    # A LUKS2 volume keeps its data behind its header of 16 MiB.
    dd if="$work/disk.luks" of="$payload" bs=1M skip=16 count=16 status=none
    stored=$(compressed_percent "$payload")
    [ "$stored" -ge 99 ] || die "the data in the image file compresses to $stored %: that is not ciphertext"
    say "  ok    the sentence is nowhere in the image file; its data compresses to $stored %" \
        "(in the clear: $(compressed_percent "$work/plain") %)"
}

run_self_test() {
    trap clean_up EXIT
    trap 'exit 1' INT TERM
    work=$(mktemp -d "${TMPDIR:-/tmp}/nbdcrypt-self-test.XXXXXX")
    make_volume "$work/key" "$work/disk.luks" 64M
    say "  ok    made a LUKS2 volume of 64 MiB with a random key"
    make_plain
    start_server
    say "  ok    serving it on $unix_uri and $tcp_uri"
    nbdcopy "$work/plain" "$unix_uri"
    say "  ok    nbdcopy wrote 64 MiB through the Unix socket: one sentence over and over, then zeros"
    nbdcopy "$tcp_uri" "$work/copy"
    cmp "$work/plain" "$work/copy" || die "what was read over TCP is not what was written"
    rm "$work/copy"
    say "  ok    nbdcopy read it back over TCP: every byte is the same"
    stop_server
    say "  ok    the server ended cleanly"
    expect_ciphertext
    start_server
    nbdcopy --connections=4 "$unix_uri" "$work/copy"
    cmp "$work/plain" "$work/copy" || die "after a restart something else is read than was written"
    stop_server
    say "  ok    after a restart, over 4 connections, it still reads the same"
    say "self-test passed"
}

case ${1-} in
'' | --self-test) [ $# -le 1 ] || die "too many arguments; see $0 --help" ;;
--help | -h) sed -n '2,/^set /{s/^# \{0,1\}//p}' "$0"; exit 0 ;;
*) echo "$0: unknown option '$1'; see $0 --help" >&2; exit 2 ;;
esac

packages_install build demo || exit 1
build_nbdcrypt
if [ "${1-}" = --self-test ]; then run_self_test; else run_demo; fi
