#!/bin/bash
# BLOCK_STATUS tells of up to 2^20 extents in one reply, with extended headers and without, also of what a remote server tells;
# its memory is bounded for all clients together, others go on meanwhile, and who takes it away in the middle harms nobody.
. "$(dirname "$0")/../support/functions.sh"

! is_sanitized || skip "a sanitizer's library has to come first, and here another one is preloaded"
# Files of ext4 end before 16 TiB; those of a tmpfs do not, and holes take no memory.
image=$(mktemp /dev/shm/nbdcrypt-test.XXXXXX 2>"$log_dir/mktemp") || image=$(temp_file)
clean_up_test() {
    rm -f "$image"
}
tebibytes=16
if ! truncate --size=16T "$image" 2>"$log_dir/truncate"; then
    tebibytes=12
    truncate --size=12T "$image" 2>"$log_dir/truncate" || skip "this file system has no files of 12 TiB"
fi
note "a file of $tebibytes TiB in $(stat --file-system --format=%T "$image")"
seek=$(realpath "${top_builddir:-.}/tests/support/odd-lseek.so")

# start_striped BYTES OPTION...: the file has data and holes in turn, each so long.
start_striped() {
    local stripe=$1

    shift
    ODD_LSEEK=$stripe LD_PRELOAD=$seek start_nbdcrypt --raw "$@" "$image"
}

check() {
    python "$source_dir/tests/nbd/a-million-extents-in-one-reply.py" "$@"
}

# As many stripes as one reply may have.
start_striped $((tebibytes << 20))
check whole "$uri" $((tebibytes << 20))
check by-many "$uri" "$pid"
store=$uri store_pid=$pid
start_nbdcrypt --raw "$store"
check of-a-remote "$uri" $((tebibytes << 20))
stop_nbdcrypt
pid=$store_pid
stop_nbdcrypt
start_striped 4096
check compact "$uri" 4096
stop_nbdcrypt
# Neither of these is a whole number of stripes.
start_striped 999936
check odd "$uri" 999936
stop_nbdcrypt
# What the file system itself says.
start_nbdcrypt --raw "$image"
check islands "$uri" "$image"
stop_nbdcrypt
