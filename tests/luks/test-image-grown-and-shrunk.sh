#!/bin/bash
# An image that was made larger or smaller between two runs: the export has the size that is left behind the header, what is
# in it stays, and an image without room for its data is refused.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
requires qemu-io --version

# resized TYPE SECTOR-OPTION...
resized() {
    local image plain offset

    image=$(temp_file) plain=$(temp_file)
    rm "$image"
    expect_success format --type "$@" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 4M --key-file "$passphrase" "$image"
    make_pattern "$plain" 4M
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_equal "size of a new $1" 4194304 "$(nbdinfo --size "$uri")"
    nbdcopy "$plain" "$uri"
    stop_nbdcrypt
    offset=$(($(stat --format %s "$image") - 4194304))

    truncate --size=$((offset + 6 * 1048576 + 511)) "$image" # a part of a sector does not count
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_equal "size of a grown $1" 6291456 "$(nbdinfo --size "$uri")"
    qemu-io --format raw --cmd 'write -P 71 6287360 4096' --cmd 'read -P 71 6287360 4096' "$uri" >"$log_dir/qemu-io" ||
        fail "the last sectors of a grown $1 can't be written"
    stop_nbdcrypt
    truncate --size=$((offset + 2 * 1048576)) "$image"
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_equal "size of a shrunk $1" 2097152 "$(nbdinfo --size "$uri")"
    truncate --size=2M "$plain"
    expect_image "$plain" "$uri"
    stop_nbdcrypt

    truncate --size="$offset" "$image"
    run_nbdcrypt serve --unix "$(temp_socket)" --key-file "$passphrase" "$image"
    expect_equal "status with a $1 without data" 1 "$status"
    expect_match "$err" "^nbdcrypt: image '$image': .*"
    truncate --size=$((offset / 2)) "$image"
    run_nbdcrypt serve --unix "$(temp_socket)" --key-file "$passphrase" "$image"
    expect_equal "status with half the header of a $1" 1 "$status"
    expect_match "$err" "^nbdcrypt: image '$image': .*"
    cat "$err"
}
resized luks1
resized luks2
resized luks2 --sector-size 512
