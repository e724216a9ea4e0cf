#!/bin/bash
# Two disks with one volume key, by a copied header or a shared detached one, are served with a warning.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
one=$test_dir/one copy=$test_dir/copy other=$test_dir/other header=$test_dir/header
expect_success format "${fast[@]}" --size 1M "$one"
cp "$one" "$copy"
expect_success format "${fast[@]}" --size 1M "$other"
expect_success format "${fast[@]}" --size 1M --header "$header" "$test_dir/data"
cp "$test_dir/data" "$test_dir/data2"
warning="have the same volume key: whoever reads their storage sees where the two disks are equal, and whoever writes \
it can exchange their sectors; format one of them anew"

# expect_log LINES EXPORT...: of a server with these exports.
expect_log() {
    local lines=$1 exports=()

    shift
    for export in "$@"; do
        exports+=(--export "$export")
    done
    start_nbdcrypt --key-file "$passphrase" "${exports[@]}"
    expect_equal "the log" "$lines" "$(cat "$server_log")"
    expect_alive "nbd+unix:///a?socket=$socket"
    stop_nbdcrypt
}

expect_log "nbdcrypt: exports 'a' and 'c' $warning" "a=$one" "b=$other" "c=$copy"
expect_log "nbdcrypt: exports 'a' and 'b' $warning" "a=$test_dir/data,header=$header" "b=$test_dir/data2,header=$header"
expect_log '' "a=$one" "b=$copy,read-only" "c=$other"
expect_log "" "a=$one,raw" "b=$copy"
