#!/bin/bash
# What is changed underneath a server between two runs is found: a flipped bit, old data that comes back, a block in the
# place of another, with and without the state file of the run that wrote.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"

image=$(temp_file) before=$(temp_file) after=$(temp_file) state=$(temp_file)
truncate --size=16M "$image"
start_nbdcrypt --raw "$image"

# copy_block FROM BLOCK TO BLOCK: of 4 KiB
copy_block() {
    dd if="$1" of="$3" bs=4096 count=1 skip="$2" seek="$4" conv=notrunc status=none
}

read_back() {
    expect_bench --read-back "$@" --block 64K --connections 4 "$uri"
    expect_match "$out" '^verified: 32768 cells of 512 bytes were compared, 0 were wrong'
}

# finds CELLS SENTENCE [OPTION...]: the run that reads back says so; then the image is whole again.
finds() {
    local cells=$1 sentence=$2

    shift 2
    expect_bench_failure 1 "$sentence" --read-back "$@" "$uri"
    expect_match "$err" "^nbdcrypt-bench: $cells cells of 512 bytes do not hold what was written\$"
}

restore() {
    cp "$after" "$image"
}

# Everything is written, and a part of it for a second time.
expect_bench --verify --write 100 --pattern sequential --passes 1 --connections 4 --depth 8 "$uri"
cp "$image" "$before"
expect_bench --verify --state "$state" --write 100 --pattern sequential --passes 2 --depth 8 --seed 99 "$uri"
cp "$image" "$after"
read_back
read_back --seed 99
read_back --state "$state"

for options in "--state $state" "--seed 99" ""; do
    # shellcheck disable=SC2086 # several words
    set -- $options

    printf '\001' | dd of="$image" bs=1 seek=$((4096 * 1000 + 777)) conv=notrunc status=none
    finds 1 'offset 4096512: the checksum does not fit: it was damaged, or written in part only' "$@"
    restore

    copy_block "$after" 17 "$image" 18
    finds 8 'offset 73728: what is there belongs to offset 69632: it was misplaced .*' "$@"
    restore

    copy_block "$before" 500 "$image" 500
    finds 8 'offset 2048000: what is there is of another run, with the seed .*: a write was lost' "$@"
    restore

    head -c 4096 /dev/zero >"$before.zero"
    copy_block "$before.zero" 0 "$image" 501
    finds 8 'offset 2052096: what is there was not written by nbdcrypt-bench, or .*' "$@"
    restore
done

# An older write of the same run: only who knows the order of writes can tell.
expect_bench --verify --write 100 --block 8K --pattern sequential --passes 1 --seed 5 "$uri"
cp "$image" "$before"
expect_bench --verify --state "$state" --write 100 --block 8K --pattern sequential --passes 2 --seed 5 "$uri"
copy_block "$before" 301 "$image" 301 # half of a block of that run
finds 8 'offset 1232896: write [0-9]+ is there, and write [0-9]+ was made later: it was lost' --state "$state"
finds 1 'offset 1232896: write [0-9]+ is there, and write [0-9]+ beside it, .* it was torn' --block 16K
