#!/bin/bash
# `nbdcrypt compare` tells whether two images hold the same disk, and the first byte that differs: raw and encrypted ones, files and
# remote disks, of any size, with and without holes.
. "$(dirname "$0")/../support/functions.sh"

requires nbdcopy --version
plain=$test_dir/plain sparse=$test_dir/sparse
make_pattern "$plain" 3000500
truncate --size=40000512 "$plain"
make_pattern "$test_dir/part" 1M 2
dd if="$test_dir/part" of="$plain" bs=1M seek=20 conv=notrunc status=none
cp --sparse=always "$plain" "$sparse"

# expect_same OPTION... SOURCE TARGET
expect_same() {
    expect_success compare "$@"
    expect_message "$out" "They are the same."
}

# expect_difference BYTE OPTION... SOURCE TARGET
expect_difference() {
    local byte=$1

    shift
    run_nbdcrypt compare "$@"
    expect_equal "exit status of compare $*" 1 "$status"
    expect_message "$out" "They differ at byte $byte."
}

# expect_refused STATUS REGEX ARGUMENT...
expect_refused() {
    local expected_status=$1 regex=$2

    shift 2
    ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-} run_nbdcrypt "$@"
    expect_equal "exit status of 'nbdcrypt $*'" "$expected_status" "$status"
    expect_match "$err" "$regex"
}

expect_same "$plain" "$sparse"
for type in luks1 luks2; do
    volume=$test_dir/$type
    encrypt_by_nbdcrypt "$plain" "$volume" --type "$type"
    expect_same --key-file "$passphrase" "$sparse" "$volume"
    expect_same --source-key-file "$passphrase" "$volume" "$plain"
    expect_same --source-key-file "$passphrase" --key-file "$passphrase" "$volume" "$volume"
done

# Wherever it is: the first byte, an edge of a piece, in a hole, the last byte.
for byte in 0 262143 262144 2999999 15000001 20971521 40000511; do
    cp --sparse=always "$plain" "$test_dir/other"
    printf '\377\001' | dd of="$test_dir/other" bs=1 seek="$byte" count=1 conv=notrunc status=none
    printf '\001' | dd of="$test_dir/other" bs=1 seek=40000511 conv=notrunc status=none # a later one does not matter
    expect_difference "$byte" "$plain" "$test_dir/other"
    expect_difference "$byte" --key-file "$passphrase" "$test_dir/other" "$test_dir/luks2"
done

# Through a server, where the other end is a client.
start_nbdcrypt --raw "$sparse"
expect_same "$plain" "$uri"
expect_same --source-key-file "$passphrase" "$test_dir/luks2" "$uri"
stop_nbdcrypt

# What one has more is zeros, or a difference.
cp --sparse=always "$plain" "$test_dir/longer"
truncate --size=50M "$test_dir/longer"
run_nbdcrypt compare "$plain" "$test_dir/longer"
expect_equal "exit status" 0 "$status"
expect_match "$err" "the sizes differ: '$plain' has 40000512 bytes"
printf x | dd of="$test_dir/longer" bs=1 seek=50000000 conv=notrunc status=none
expect_difference 50000000 "$plain" "$test_dir/longer"
expect_difference 50000000 "$test_dir/longer" "$plain"

# JSON, of which the last line is the result.
run_nbdcrypt compare --json "$plain" "$test_dir/longer"
expect_equal "the last line" '{"event":"done","command":"compare","same":false,"size":52428800,"first-difference":50000000}' \
    "$(tail -n 1 "$out")"

# What can't be told is neither.
expect_refused 2 "image '$test_dir/nosuch': it can't be opened" compare "$plain" "$test_dir/nosuch"
expect_refused 2 "no keyslot|passphrase" compare --key-file "$test_dir/part" "$plain" "$test_dir/luks2"
expect_refused 2 "no TARGET was given" compare "$plain"
expect_refused 2 "--source-key-file is not for an image that is raw" compare --from-format raw --source-key-file "$passphrase" \
    "$plain" "$sparse"
expect_refused 2 "both keys can't be read from standard input" compare --source-key-file - --key-file - "$plain" "$plain"

# Nobody writes meanwhile.
start_nbdcrypt --key-file "$passphrase" "$test_dir/luks2"
expect_refused 2 "another program|served" compare --key-file "$passphrase" "$plain" "$test_dir/luks2"
stop_nbdcrypt
