#!/bin/bash
# `nbdcrypt convert` copies a disk into a volume, out of it, and from one into another: files, remote disks, new and existing volumes, with
# holes where that is safe. What can't be is refused, and nothing is lost by it.
. "$(dirname "$0")/../support/functions.sh"

requires nbdcopy --version
requires qemu-img --version
requires_python_module cryptography
plain=$test_dir/plain target=$test_dir/target
make_pattern "$test_dir/part" 2M 2
truncate --size=20M "$plain"
dd if="$test_dir/part" of="$plain" bs=1M conv=notrunc status=none
dd if="$test_dir/part" of="$plain" bs=1M seek=11 conv=notrunc status=none
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
new=(--key-file "$passphrase" "${fast[@]}")

# expect_refused STATUS REGEX ARGUMENT...
expect_refused() {
    local expected_status=$1 regex=$2

    shift 2
    ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-} run_nbdcrypt "$@"
    expect_equal "exit status of 'nbdcrypt $*'" "$expected_status" "$status"
    expect_match "$err" "$regex"
}

# expect_disk [OPTION...] TARGET: it holds the disk, says our own reader and another one.
expect_disk() {
    expect_success compare --key-file "$passphrase" "${@:1:$#-1}" "$plain" "${!#}"
}

# ---- into a volume ----

expect_success convert "${new[@]}" --verify "$plain" "$target"
expect_message "$out" "$target holds the disk of $plain now."
expect_message "$out" "Zeros:    written and encrypted; --zero-holes keeps holes, which shows what is in use"
expect_disk "$target"
expect_equal "size of the file" $((36 << 20)) "$(size_of "$target")"
expect_equal "mode" 600 "$(stat --format=%a "$target")"
expect_success token list "$target"
[ ! -s "$out" ] || fail "a token is left: $(cat "$out")"
python - "$target" "$passphrase" "$plain" <<'EOF' || fail "somebody else reads something else"
import sys
from luks_image import LuksImage

plain = open(sys.argv[3], "rb").read()
sys.exit(LuksImage(*sys.argv[1:3]).read(0, len(plain)) != plain)
EOF

# Sizes that are no multiple of anything.
for size in 1 4097 262145 3000001; do
    head -c "$size" "$test_dir/part" >"$test_dir/odd"
    [ "$size" -le 2097152 ] || head -c "$size" "$plain" >"$test_dir/odd"
    rm -f "$test_dir/odd.luks" "$test_dir/odd.raw"
    expect_success convert "${new[@]}" --verify "$test_dir/odd" "$test_dir/odd.luks"
    expect_success convert --to-format raw --source-key-file "$passphrase" --verify "$test_dir/odd.luks" "$test_dir/odd.raw"
    cmp -n "$size" "$test_dir/odd" "$test_dir/odd.raw" || fail "a disk of $size bytes is not what it was"
done

# With holes: the same disk, and little room.
expect_success convert "${new[@]}" --zero-holes --verify "$plain" "$test_dir/sparse"
expect_disk --zero-holes "$test_dir/sparse"
[ "$(du --block-size=1M "$test_dir/sparse" | cut -f 1)" -le 22 ] ||
    fail "holes are not kept: $(du -m "$test_dir/sparse")"

# Into a volume that is there, whatever it is, with its own key; a detached header.
expect_success format --key-file "$passphrase" "${fast[@]}" --type luks1 --size 21M "$test_dir/luks1"
expect_success convert --key-file "$passphrase" --existing --verify "$plain" "$test_dir/luks1"
expect_success format --key-file "$passphrase" "${fast[@]}" --size 20M "$test_dir/existing"
uuid=$("$NBDCRYPT" info "$test_dir/existing" | grep UUID)
expect_success convert --key-file "$passphrase" --existing --verify "$plain" "$test_dir/existing"
expect_disk "$test_dir/existing"
expect_equal "its header" "$uuid" "$("$NBDCRYPT" info "$test_dir/existing" | grep UUID)"
expect_success convert "${new[@]}" --header "$test_dir/header" --verify "$plain" "$test_dir/detached"
expect_disk --header "$test_dir/header" "$test_dir/detached"

# ---- out of it, and through servers ----

expect_success convert --source-key-file "$passphrase" --to-format raw "$target" "$test_dir/raw"
cmp "$plain" "$test_dir/raw" || fail "the plain disk is another one"
[ "$(du -m "$test_dir/raw" | cut -f 1)" -le 6 ] || fail "zeros are written out: $(du -m "$test_dir/raw")"
truncate --size=36M "$test_dir/remote"
start_nbdcrypt --raw "$test_dir/remote"
expect_success convert "${new[@]}" --source-key-file "$passphrase" --verify "$target" "$uri"
expect_disk "$uri"
expect_success convert --source-key-file "$passphrase" --to-format raw --overwrite "$uri" "$test_dir/raw"
stop_nbdcrypt
cmp -n "$(size_of "$plain")" "$plain" "$test_dir/raw" || fail "the plain disk is another one"

# ---- JSON ----

rm "$target"
expect_success convert "${new[@]}" --json --bandwidth 16M "$plain" "$target"
"$PYTHON" -c 'import json, sys
lines = [json.loads(line) for line in sys.stdin]
assert lines[-1] == {"event": "done", "command": "convert", "size": 20971520, "holes": False, "verified": False}, lines
assert all(line["event"] == "progress" and line["done"] <= line["size"] for line in lines[:-1]), lines' <"$out"

# ---- refused ----

before=$(sha256_of "$target")
expect_refused 1 "'$target' is a LUKS volume: --existing keeps it with its keys and replaces its data" convert "${new[@]}" "$plain" "$target"
expect_refused 1 "'$target' is not empty: it holds .*; give --overwrite" convert --to-format raw "$plain" "$target"
expect_refused 1 "are the same image" convert --to-format raw --overwrite "$plain" "$plain"
expect_refused 1 "are the same image" convert --to-format raw --overwrite "$plain" "file:$test_dir/../$(basename "$test_dir")/plain"
expect_refused 1 "passphrase|keyslot" convert --existing --key-file "$test_dir/part" "$plain" "$target"
expect_refused 1 "passphrase|keyslot" convert --source-key-file "$test_dir/part" --to-format raw "$target" "$test_dir/never"
expect_refused 1 "--existing: '$plain' holds no LUKS volume" convert --existing --key-file "$passphrase" "$test_dir/part" "$plain"
truncate --size=0 "$test_dir/nothing"
expect_refused 1 "'$test_dir/nothing' has no data" convert "${new[@]}" "$test_dir/nothing" "$test_dir/never"
expect_refused 1 "can't be opened" convert "${new[@]}" "$test_dir/nosuch" "$test_dir/never"
expect_refused 2 "both keys can't be read from standard input" convert --source-key-file - --key-file - "$target" "$test_dir/never"
expect_refused 2 "leave out one of them" convert "${new[@]}" --existing --overwrite "$plain" "$target"
truncate --size=30M "$test_dir/larger"
expect_refused 1 "'$target' has room for 20971520 bytes, but the disk in '$test_dir/larger' has 31457280" convert --existing \
    --key-file "$passphrase" "$test_dir/larger" "$target"
expect_equal "the volume" "$before" "$(sha256_of "$target")"
[ ! -e "$test_dir/never" ] || fail "a target was made for nothing"
start_nbdcrypt --key-file "$passphrase" "$target"
expect_refused 1 "another program|served" convert --existing --key-file "$passphrase" "$plain" "$target"
expect_refused 1 "another program|served" convert --overwrite "${new[@]}" "$plain" "$target"
expect_refused 1 "another program|served" convert --source-key-file "$passphrase" --to-format raw "$target" "$test_dir/never"
stop_nbdcrypt
expect_disk "$target"

# A reader of the progress who goes away harms nothing.
rm "$target"
"$NBDCRYPT" convert "${new[@]}" --json --bandwidth 16M "$plain" "$target" 2>"$log_dir/pipe" | head -n 1 >"$log_dir/first" || true
expect_disk "$target"

# A source that is written meanwhile is told.
rm "$target"
"$NBDCRYPT" convert "${new[@]}" --bandwidth 8M "$plain" "$target" >"$log_dir/changed" 2>&1 &
converting=$!
remember_pid "$converting"
wait_until 20 test -e "$target"
printf x | dd of="$plain" bs=1 seek=1000 conv=notrunc status=none
status=0
wait "$converting" || status=$?
expect_equal "exit status with a changed source" 1 "$status"
expect_match "$log_dir/changed" "'$plain' was changed while it was copied|is not what that began with"
expect_refused 1 "its data is not whole" serve --key-file "$passphrase" --run true "$target"
expect_success convert "${new[@]}" --overwrite "$plain" "$target"
expect_disk "$target"
