#!/bin/bash
# With --header, an image that begins with another volume's LUKS header is not served for writing: an image that was named by
# mistake, or the header file itself, stays what it is.  What only reads is warned.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
header=$test_dir/header data=$test_dir/data other=$test_dir/other old=$test_dir/old
uuid=12345678-1234-4321-8765-123456789abc other_uuid=87654321-1234-4321-8765-123456789abc
expect_success format --key-file "$passphrase" "${fast[@]}" --uuid "$uuid" --size 20M --header "$header" "$data"
would="which writes would destroy, for the header that was named"
other_volume="it begins with the LUKS header of the volume $other_uuid, $would is of the volume $uuid; is it the right \
image? (if $other_uuid is not needed any more, remove its mark: wipefs; if the two belong together, give both the same \
UUID: cryptsetup luksUUID)"

# expect_refused IMAGE WHY: by the server; it is not changed, and can be read.
expect_refused() {
    local before why="image '$1': $2"

    before=$(sha256_of "$1")
    expect_failure 1 "$why" serve --key-file "$passphrase" --unix "$(temp_socket)" --header "$header" "$1"
    expect_failure 1 "$why" serve --force-in-use --key-file "$passphrase" --unix "$(temp_socket)" --header "$header" "$1"
    expect_failure 1 "$why" serve --key-file "$passphrase" --unix "$(temp_socket)" --export "a=$1,header=$header"
    start_nbdcrypt --key-file "$passphrase" --read-only --header "$header" "$1"
    stop_nbdcrypt
    expect_message "$server_log" "nbdcrypt: $why"
    run_nbdcrypt info --json --header "$header" "$1"
    expect_equal "status of info" 0 "$status"
    expect_equal "what info says" "nbdcrypt: $why" "$(cat "$err")"
    expect_match "$out" "\"uuid\":\"$uuid\""
    expect_equal "the image" "$before" "$(sha256_of "$1")"
}

for type in luks1 luks2; do
    rm -f "$other"
    expect_success format --type "$type" --key-file "$passphrase" "${fast[@]}" --uuid "$other_uuid" --size 4M "$other"
    expect_refused "$other" "$other_volume"
done

# A header of which one copy, or both, are damaged belongs to somebody, too.
python -c 'import luks_image, sys; luks_image.damage(sys.argv[1], 5000)' "$other"
expect_refused "$other" "$other_volume"
python -c 'import luks_image, sys; luks_image.damage(sys.argv[1], 21384)' "$other"
expect_refused "$other" "$other_volume"
expect_refused "$header" "it begins with a LUKS header of the volume $uuid, $would, of the volume $uuid, says that data \
begins at byte 0; name the image that holds the data"

# The way on: a mark that is removed.
dd if=/dev/zero of="$other" bs=1M count=1 conv=notrunc status=none
start_nbdcrypt --key-file "$passphrase" --header "$header" "$other"
stop_nbdcrypt

# The volume's own header may be in front of its data.
expect_success format --key-file "$passphrase" "${fast[@]}" --size 4M "$old"
expect_success header backup "$old" "$test_dir/backup"
for named in "$test_dir/backup" "$old"; do
    start_nbdcrypt --key-file "$passphrase" --header "$named" "$old"
    stop_nbdcrypt
    run_nbdcrypt info --header "$named" "$old"
    expect_equal "what info says" "" "$(cat "$err")"
done
