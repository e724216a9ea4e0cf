#!/bin/bash
# The letters that users of nbdkit and qemu-nbd know do here what they do there: -U (Unix socket), -p (port), -r (read
# only) and -e (export name).  A port is one of the loopback.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version

image=$(temp_file)
truncate --size=1M "$image"
path=$(temp_socket)
start_nbdcrypt -r -U "$path" -p 0 -e disk --raw "$image"
expect_equal "the first URI" "nbd+unix:///disk?socket=$path" "$uri"
expect_match <(echo "${uris[1]}") '^nbd://127\.0\.0\.1:[0-9]+/disk$'
for one in "${uris[@]}"; do
    nbdinfo --is read-only "$one" || fail "$one can be written"
done
stop_nbdcrypt

start_nbdcrypt --listen localhost:0 --raw "$image"
expect_match <(echo "$uri") '^nbd://127\.0\.0\.1:[0-9]+/$'
expect_alive
