#!/bin/bash
# `nbdcrypt map` shows extents as qemu-img does, and as the storage of an encrypted disk has them; `nbdcrypt measure` tells a size that is
# enough for a target, and no more than that.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-img --version
plain=$test_dir/plain
make_pattern "$test_dir/part" 1M
truncate --size=64M "$plain"
dd if="$test_dir/part" of="$plain" bs=1M conv=notrunc status=none
dd if="$test_dir/part" of="$plain" bs=1M seek=40 conv=notrunc status=none

# normal FILE: JSON in one form.
normal() { "$PYTHON" -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1])), sort_keys=True))' "$1"; }

# expect_refused STATUS REGEX ARGUMENT...
expect_refused() {
    local expected_status=$1 regex=$2

    shift 2
    ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-} run_nbdcrypt "$@"
    expect_equal "exit status of 'nbdcrypt $*'" "$expected_status" "$status"
    expect_match "$err" "$regex"
}

expect_success map --json "$plain"
cp "$out" "$test_dir/ours"
qemu-img map --output=json -f raw "$plain" >"$test_dir/theirs"
expect_equal "the map" "$(normal "$test_dir/theirs")" "$(normal "$test_dir/ours")"
expect_success map "$plain"
expect_match "$out" '^ +1048576 +40894464  hole$'
expect_match "$out" '^ +41943040 +1048576  data$'
expect_success map --format raw "file:$plain?offset=1048576&size=40894464"
expect_equal "lines" "                   0            40894464  hole" "$(tail -n +2 "$out")"

# Holes of a volume are noise, or zeros if that was agreed on.
volume=$test_dir/volume
expect_success format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 64M "$volume"
expect_success map --key-file "$passphrase" "$volume"
expect_equal "what it is" "hole that does not read as zeros" "$(tail -n +2 "$out" | sed 's/^ *[0-9]* *[0-9]* *//')"
start_nbdcrypt --zero-holes --key-file "$passphrase" "$volume"
qemu-io -f raw -c 'write -P 7 4M 1M' "$uri" >/dev/null
stop_nbdcrypt
expect_refused 1 "give --zero-holes" map --key-file "$passphrase" "$volume"
expect_success map --zero-holes --key-file "$passphrase" "$volume"
expect_match "$out" '^ +4194304 +1048576  data$'
expect_match "$out" '^ +5242880 +61865984  hole$'

# Storage that can't tell.
run_nbdcrypt map memory:1M
expect_match "$err" "its storage can't tell where it has data"
expect_equal "lines" "                   0             1048576  data" "$(tail -n +2 "$out")"

# ---- measure ----

# number MEMBER
number() { "$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$out" "$1"; }

expect_success measure --json "$plain"
expect_equal "size of the target" $((80 << 20)) "$(number required)"
expect_equal "all of it" $((80 << 20)) "$(number fully-allocated)"
expect_equal "room" $((80 << 20)) "$(number allocated)"
expect_success measure --json --zero-holes "$plain"
expect_equal "room with holes" $((18 << 20)) "$(number allocated)"
expect_success measure --json --to-format raw "$plain"
expect_equal "size of a raw target" $((64 << 20)) "$(number required)"
expect_equal "room of a raw target" $((2 << 20)) "$(number allocated)"
expect_success measure --json --size 1000
expect_equal "in whole sectors" $(((16 << 20) + 1024)) "$(number required)"
expect_success measure --size 1G
expect_message "$out" "Size of the target:   1090519040 bytes (1 GiB)"
expect_success measure --json --zero-holes --source-key-file "$passphrase" --source-zero-holes "$volume"
expect_equal "room of what a volume has" $((17 << 20)) "$(number allocated)"
expect_refused 2 "of what. SOURCE or --size SIZE tells" measure
expect_refused 2 "leave out one of SOURCE and --size" measure --size 1M "$plain"
expect_refused 2 "--to-format 'qcow2' is neither raw nor luks" measure --to-format qcow2 "$plain"

# It is enough, to the byte.
truncate --size=$((80 << 20)) "$test_dir/enough"
expect_success format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 64M "$test_dir/enough"
expect_equal "size of the file" $((80 << 20)) "$(size_of "$test_dir/enough")"
