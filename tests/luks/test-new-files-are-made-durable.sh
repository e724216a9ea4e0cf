#!/bin/bash
# A command that makes a file makes its name durable as well: where the folder can't be written to the disk, it fails with
# the reason, and does not say that it is done.
. "$(dirname "$0")/../support/functions.sh"

preload=$(realpath "${top_builddir:-.}/tests/support/no-folder-sync.so")
[ -e "$preload" ] || fail "tests/support/no-folder-sync.so was not built"
# A sanitizer's library wants to be the first; after this one it works as well.
export ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS-}

fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$test_dir/image
expect_success format "${fast[@]}" --size 1M "$image"
printf '{"type":"x","keyslots":[]}' >"$test_dir/json"
expect_success token import --token 0 "$image" "$test_dir/json"

# shellcheck disable=SC2034 # for expect_failure
run_as=(env "LD_PRELOAD=$preload")
new=$test_dir/new data=$test_dir/data
expect_failure 1 "'$new' can't be made durable: Input/output error" format "${fast[@]}" --size 1M "$new"
[ ! -e "$new" ] || fail "a volume that was not made is there"
expect_failure 1 "'$data' can't be made durable: Input/output error" \
    format "${fast[@]}" --size 1M --header "$new" "$data"
if [ -e "$new" ] || [ -e "$data" ]; then fail "a volume that was not made is there"; fi
truncate --size=1M "$data"
expect_failure 1 "'$new' can't be made durable: Input/output error" format "${fast[@]}" --header "$new" "$data"
if [ -e "$new" ] || [ ! -e "$data" ]; then fail "the header is there, or the image is not"; fi
expect_failure 1 "'$new' can't be made: Input/output error" header backup "$image" "$new"
rm "$new"
expect_failure 1 "'$new' can't be made: Input/output error" token export --token 0 "$image" "$new"
rm "$new"
expect_success format "${fast[@]}" --size 1M --force "$image" # it is there already
