#!/bin/bash
# A conversion that finds its target's disk full says so, leaves nothing that looks whole, and goes on when there is room.
. "$(dirname "$0")/../support/functions.sh"

requires unshare --user --map-root-user --mount true
plain=$test_dir/plain
make_pattern "$plain" 20M
mkdir "$test_dir/disk"
cat >"$test_dir/on-full-disk.sh" <<'END'
set -euo pipefail
fail() { echo "$*" >&2; exit 1; }
convert() { "$NBDCRYPT" convert --key-file passphrase --pbkdf pbkdf2 --pbkdf-iterations 1000 "$@" >out 2>err; }

for target in disk/volume disk/raw; do
    mount -t tmpfs -o size=30M none disk # a new one: a ring that is being taken down may hold files that were removed
    format=luks key=(--key-file passphrase)
    [ "$target" = disk/volume ] || format=raw key=()
    head -c 14M /dev/zero >disk/filling
    status=0
    if [ "$format" = luks ]; then convert plain "$target" || status=$?; else
        "$NBDCRYPT" convert --to-format raw plain "$target" >out 2>err || status=$?
    fi
    [ "$status" -eq 1 ] || fail "$target: status $status"
    grep -q "^nbdcrypt: '$target': writing at byte [0-9]* failed: No space left on device; " err || fail "$target: $(cat err)"
    if [ "$format" = luks ]; then
        grep -q 'what is done is kept, and the same command goes on with it' err || fail "$target: $(cat err)"
        ! "$NBDCRYPT" serve --key-file passphrase --run true "$target" 2>err || fail "it is served"
        grep -q 'its data is not whole' err || fail "$(cat err)"
    else
        grep -q 'its start is left empty; --overwrite begins anew' err || fail "$target: $(cat err)"
        cmp -s -n 1048576 "$target" /dev/zero || fail "a half disk has its start"
    fi
    mount -o remount,size=60M none disk # with its source: else options are added that take users who are not there
    if [ "$format" = luks ]; then convert --verify plain "$target"; else
        "$NBDCRYPT" convert --to-format raw --overwrite --verify plain "$target" >out
    fi
    "$NBDCRYPT" compare "${key[@]}" plain "$target" >out || fail "it is another disk"
done
END
cd "$test_dir"
unshare --user --map-root-user --mount env NBDCRYPT="$NBDCRYPT" bash on-full-disk.sh || fail "see above"
