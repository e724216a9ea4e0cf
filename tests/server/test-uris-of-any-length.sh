#!/bin/bash
# The URI that the ready line and $uri tell is whole, however long the name of the export is: 4096 bytes are three times as
# many where each has to be written as %XX.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version

# encoded TEXT
encoded() {
    python -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' "$1"
}

for name in "$(printf 'x%.0s' {1..1020})" "$(printf '\xc3\xa4%.0s' {1..2048})"; do
    start_nbdcrypt --raw --name "$name" --listen 127.0.0.1:0 --unix "$test_dir/s" memory:1M
    expect_equal "URI of the socket" "nbd+unix:///$(encoded "$name")?socket=$test_dir/s" "${uris[0]}"
    expect_equal "URI of the port" "nbd://127.0.0.1:$port/$(encoded "$name")" "${uris[1]}"
    for uri in "${uris[@]}"; do
        expect_equal "size" 1048576 "$(nbdinfo --size "$uri")"
    done
    stop_nbdcrypt
    # shellcheck disable=SC2016 # the variable is that of the command
    run_nbdcrypt serve --raw --name "$name" --run 'nbdinfo --size "$uri"' memory:2M
    expect_message "$out" 2097152
done

# So is what is said of a path of the longest.
image=$(printf 'y%.0s' {1..4000})
expect_failure 1 "image '$image': it can't be opened: File name too long" serve --raw --unix "$(temp_socket)" "$image"
