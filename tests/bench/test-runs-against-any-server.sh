#!/bin/bash
# nbdcrypt-bench drives nbdcrypt (memory, LUKS), nbdkit and qemu-nbd, over Unix sockets and TCP, with extended headers, with
# structured and with simple replies, and everything that it writes is verified.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

requires cryptsetup --version
requires nbdkit --version
requires qemu-nbd --version
requires nbdinfo --version

# Reads, a mix of everything with several connections, whole passes, and requests of 32 MiB.
drive() {
    local replies=$1 headers=${headers:-False}

    shift
    for simple in "" --no-extended-headers --simple; do
        [ "$simple" != --no-extended-headers ] || [ "$headers" = True ] || continue
        expect_bench $simple --json --count 2000 --depth 32 "$uri"
        expect_equal "requests" 2000 "$(figure total/requests)"
        expect_equal "bytes" $((2000 * 4096)) "$(figure total/bytes)"
        [ -n "$simple" ] ||
            expect_equal "structured replies of $*" "$replies" "$(figure export/structured_replies)"
        [ "$simple" = --simple ] ||
            expect_equal "extended headers of $*" "$([ -z "$simple" ] && echo "$headers" || echo False)" \
                "$(figure export/extended_headers)"
        expect_bench $simple --json --count 1500 --block 4K-64K --write 45 --zero 10 "$@" --verify "$uri"
        [ "$(figure verify/cells_checked)" -gt 0 ] || fail "nothing was verified"
        expect_bench $simple --json --passes 2 --pattern sequential --block 100000 --depth 3 "$uri"
        expect_equal "bytes of two passes" $((2 * (67108864 / 100000 * 100000))) "$(figure total/bytes)"
        expect_bench $simple --json --count 4 --depth 2 --block 32M --pattern zipf "$uri"
        expect_equal "bytes" $((128 << 20)) "$(figure total/bytes)"
    done
}

headers=True
start_nbdcrypt --raw memory:64M
drive True --connections 4 --threads 2 --trim 5
start_nbdcrypt --raw --listen 127.0.0.1:0 memory:64M
drive True --connections 4 --threads 2 --trim 5
image=$(temp_file)
format_luks2 "$image" 64M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" --discard "$image"
drive True --connections 4 --threads 2 --trim 5
start_nbdcrypt --raw --export "a disk=memory:64M"
drive True --connections 2

headers=False
new_socket
start_server nbdkit --foreground --unix "$socket" memory 64M
drive True --connections 4 --threads 2 --trim 5

new_socket
image=$(temp_file)
truncate --size=64M "$image"
start_server qemu-nbd --socket "$socket" --persistent --shared 8 --discard unmap --format raw "$image"
drive True --connections 1 --trim 5
