#!/bin/bash
# shellcheck disable=SC2016 # the shell inside nbdkit expands it
# Servers that lose, tear, misplace or forget writes now and then are found out by --verify while they run; one that does
# not passes.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/bench-functions.sh"

requires nbdkit eval --dump-plugin
requires nbdinfo --version

# serve PWRITE: nbdkit with a disk in a file, where PWRITE takes $3 bytes from standard input, to `store OFFSET` at $4.
# In $writes is how many there have been.
serve() {
    new_socket
    start_server nbdkit --foreground --unix "$socket" eval \
        thread_model='echo serialize_all_requests' \
        get_size='truncate -s 1M $tmpdir/disk; echo 1048576' \
        pread='dd if=$tmpdir/disk skip=$4 count=$3 iflag=skip_bytes,count_bytes status=none' \
        can_write='exit 0' \
        pwrite='echo >>$tmpdir/writes; writes=$(wc -l <$tmpdir/writes)
            store() { dd of=$tmpdir/disk seek=$1 conv=notrunc oflag=seek_bytes bs=64K iflag=fullblock status=none; }
            '"$1"
}

# Some of everything: what is wrong is seen sooner or later, one way or another.
mixed=(--verify --write 60 --count 200 --block 4K-16K)
# In order, and twice: the last pass lies over a whole first one.
in_order=(--verify --write 100 --pattern sequential --passes 2 --block 16K --depth 1)

# finds SENTENCE
finds() {
    expect_bench_failure 1 '[0-9]+ cells of 512 bytes do not hold what was written' "${mixed[@]}" "$uri"
    expect_bench_failure 1 "offset [0-9]+: $1" "${in_order[@]}" "$uri"
}

# Of the writes of one pass, some are bad in both.
bad='[ $((writes % 10)) = 0 ]'

serve 'store $4'
expect_bench "${mixed[@]}" "$uri"
expect_match "$out" '^verified: [1-9][0-9]* cells of 512 bytes were compared, 0 were wrong'
expect_bench "${in_order[@]}" "$uri"
expect_match "$out" '^verified: 2048 cells of 512 bytes were compared, 0 were wrong'

lost='write [0-9]+ is there, and write [0-9]+ was made later: it was lost'
serve "if $bad; then cat >/dev/null; else store \$4; fi"
finds "$lost"

serve "if $bad; then head -c 1024 | store \$4; else store \$4; fi"
finds "$lost"

serve "if $bad && [ \$4 -ge 65536 ]; then store \$((\$4 - 65536)); else store \$4; fi"
finds 'what is there belongs to offset [0-9]+: it was misplaced .*'

serve "if $bad; then tr A B | store \$4; else store \$4; fi"
finds 'the checksum does not fit: .*'
