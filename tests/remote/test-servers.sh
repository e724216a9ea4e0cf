#!/bin/bash
# Disks of nbdkit, qemu-nbd and nbdcrypt are served as they are: the same data both ways, the same extents, size, block
# sizes and abilities.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

requires nbdkit memory --filter=blocksize-policy --dump-plugin
requires nbdkit memory --filter=multi-conn --dump-plugin
requires qemu-nbd --version

pattern=$(temp_file)
make_pattern "$pattern" 16M

# check NAME: writes through us, reads directly, and the other way round.
check() {
    local copy

    copy=$(temp_file)
    start_nbdcrypt --raw --threads 2 "$remote"
    nbdcopy "$pattern" "$uri"
    nbdcopy --request-size=65536 "$remote" "$copy"
    cmp "$pattern" "$copy" || fail "$1 did not get what was written"
    expect_image "$pattern" "$uri"
    expect_bench --verify --write 50 --zero 5 --trim 5 --block 512-64K --connections 4 --time 1 "$uri"
    stop_nbdcrypt
    rm "$copy"
}

new_remote
start_remote nbdkit --foreground --unix "$remote_socket" memory 16M
check "nbdkit memory"
start_nbdcrypt --raw "$remote"
python "$source_dir/tests/remote/servers.py" "$uri" </dev/null
stop_nbdcrypt
kill_remote

# One connection only.
start_remote nbdkit --foreground --unix "$remote_socket" --filter=multi-conn memory 16M multi-conn-mode=disable
check "nbdkit without multi-conn"
kill_remote

# Block sizes: requests of ours are larger than its maximum.
start_remote nbdkit --foreground --unix "$remote_socket" --filter=blocksize-policy memory 16M \
    blocksize-minimum=4096 blocksize-preferred=65536 blocksize-maximum=65536 blocksize-error-policy=error
check "nbdkit with blocks of 4096"
start_nbdcrypt --raw "$remote"
expect_equal "preferred block size" 65536 "$(nbdinfo --json "$uri" | grep -oP '"block_size_preferred": \K\d+')"
stop_nbdcrypt
kill_remote

# What it can't do is not offered.
start_remote nbdkit --foreground --unix "$remote_socket" --readonly memory 16M
start_nbdcrypt --raw "$remote"
nbdinfo --is read-only "$uri"
stop_nbdcrypt
kill_remote

disk=$(temp_file)
truncate --size=16M "$disk"
start_remote qemu-nbd --persistent --shared=0 --format=raw --socket="$remote_socket" "$disk"
check "qemu-nbd"
kill_remote

# qemu-nbd that takes one client after the other.
start_remote qemu-nbd --persistent --format=raw --socket="$remote_socket" "$disk"
check_alone() {
    start_nbdcrypt --raw --threads 2 "$remote"
    nbdcopy "$pattern" "$uri"
    expect_image "$pattern" "$uri"
    stop_nbdcrypt
}
check_alone
kill_remote

# nbdcrypt itself, twice.
start_nbdcrypt --raw --unix "$remote_socket" "$disk"
first=$pid
check "nbdcrypt"
pid=$first
stop_nbdcrypt
