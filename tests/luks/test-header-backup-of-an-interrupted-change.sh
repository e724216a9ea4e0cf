#!/bin/bash
# A change that was interrupted between the two copies of a LUKS2 header leaves one that is older, an interrupted restore
# perhaps one that counts as equally old. In a backup both say the same, what the one that counts says; and so they do in
# an image that a backup with two different ones is restored to.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
second=$(temp_file) third=$(temp_file) other=$test_dir/other before=$test_dir/before after=$test_dir/after image=$test_dir/image
printf second >"$second"
printf third >"$third"

# expect_both_to_have_it FILE: the second key, in each copy of the header in FILE.
expect_both_to_have_it() {
    local at

    for at in 5000 21384; do
        cp "$1" "$test_dir/one"
        python -c 'import luks_image, sys; luks_image.damage(sys.argv[1], int(sys.argv[2]))' "$test_dir/one" "$at"
        expect_success key test --key-file "$second" --header "$test_dir/one" "$image"
    done
}

expect_success format --key-file "$passphrase" "${fast[@]}" --size 1M "$before"
cp "$before" "$after"
expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$after"
cp "$before" "$other"
expect_success key add --key-file "$passphrase" --new-key-file "$third" "${fast[@]}" "$other"

for older in "$before 0" "$before 1" "$other 1"; do
    read -r from at <<<"$older"
    note "copy $at is that of ${from##*/}"
    cp "$after" "$image"
    dd if="$from" of="$image" bs=16384 skip="$at" seek="$at" count=1 conv=notrunc status=none
    interrupted=$(sha256_of "$image")
    expect_success header backup --force "$image" "$test_dir/backup"
    expect_equal "the image" "$interrupted" "$(sha256_of "$image")"
    expect_both_to_have_it "$test_dir/backup"
    cryptsetup_quietly open --test-passphrase "$test_dir/backup"

    # One that was made otherwise, of the bytes as they are.
    head -c 16M "$image" >"$test_dir/raw"
    cp "$before" "$test_dir/restored"
    expect_success header restore --yes "$test_dir/restored" "$test_dir/raw"
    expect_both_to_have_it "$test_dir/restored"
done
