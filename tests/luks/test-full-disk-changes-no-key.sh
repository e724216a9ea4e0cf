#!/bin/bash
# On a file system with room for ever more pages, each command that changes a header succeeds, or fails and leaves the
# keys as they were; the header is sparse, so that even what is there takes room when it is written.
. "$(dirname "$0")/../support/functions.sh"

requires unshare --version
requires fallocate --version
unshare --user --map-root-user --mount true 2>"$log_dir/unshare" || skip "no namespaces of one's own here"
work=$(temp_dir)
cd "$work"
printf first >first && printf second >second
printf '{"type":"example","keyslots":["0"]}' >token.json

cat >on-full-disk.sh <<'END'
# on-full-disk.sh: for each command, the disk has room for ever more pages until it succeeds.
set -euo pipefail
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)

# opens KEY
opens() {
    "$NBDCRYPT" key test --key-file "$1" disk/image >/dev/null 2>&1
}

fail() {
    echo "$*, $free pages free: status $status, $(cat err)" >&2
    exit 1
}

# is_state KEYS: all of them, and no others, open the image.
is_state() {
    local key

    for key in first second; do
        if [[ " $1 " = *" $key "* ]]; then opens "$key" || return 1; else ! opens "$key" || return 1; fi
    done
}

# try IMAGE BEFORE AFTER ARGUMENT...: keys that open IMAGE before and after the command, with disk/image in it.
try() {
    local image=$1 before=$2 after=$3 failures=0 pages

    shift 3
    for free in 0 1 2 3 4 6 64 4096 8192; do
        rm -f disk/*
        cp "$image" disk/image
        fallocate --dig-holes disk/image
        cat /dev/zero >disk/filling 2>/dev/null || true
        pages=$(($(stat --format=%s disk/filling) / 4096))
        [ "$pages" -gt "$free" ] || pages=$free
        truncate --size=$(((pages - free) * 4096)) disk/filling
        status=0
        "$NBDCRYPT" "$@" >out 2>err || status=$?
        if [ "$status" -eq 0 ]; then
            is_state "$after" || fail "$* has not done what it says"
            [ "$free" -lt 4096 ] || break
            continue
        fi
        [ "$status" -eq 1 ] || fail "$*"
        is_state "$before" || fail "$* has changed the keys"
        grep -q 'No space left on device' err || fail "$* does not say why"
        if [ "$1" = key ]; then
            grep -q '; now the old key opens it' err || fail "$* does not say which key opens it"
        fi
        failures=$((failures + 1))
    done
    [ "$status" -eq 0 ] || fail "$* never succeeds"
    echo "$type, $1 $2: failed $failures times" >&2
    failed=$((failed + failures))
}

mount -t tmpfs -o size=40M none disk
failed=0
for type in luks1 luks2; do
    "$NBDCRYPT" format --force --type "$type" --key-file first --size 1M "${fast[@]}" one.image >out
    if [ "$type" = luks1 ]; then # the free keyslots, which become holes
        dd if=/dev/zero of=one.image bs=4096 seek=64 count=400 conv=notrunc status=none
    fi
    cp one.image two.image
    "$NBDCRYPT" key add --key-file first --new-key-file second "${fast[@]}" two.image >out
    cp two.image other.image
    "$NBDCRYPT" key remove --key-file first other.image >out
    "$NBDCRYPT" header backup --force one.image backup >out
    try one.image first "first second" key add --key-file first --new-key-file second "${fast[@]}" disk/image
    try one.image first second key change --key-file first --new-key-file second "${fast[@]}" disk/image
    try two.image "first second" second key remove --key-file first disk/image
    try one.image first "" erase --yes disk/image
    try other.image second first header restore --yes disk/image backup
    try one.image first second format --force --type "$type" --key-file second "${fast[@]}" disk/image
    [ "$type" = luks1 ] || try one.image first first token import disk/image token.json
done
# What format had made larger is cut again, and what it had made is gone: the sentence says so, and the disk has its room.
status=0 free=1024
for type in luks1 luks2; do
    rm -f disk/*
    truncate --size=512K disk/image
    head -c 40000K /dev/zero >disk/filling
    used=$(df --output=used disk | tail -n 1)
    for what in image:"it is what it was" new:"it was removed again"; do
        ! "$NBDCRYPT" format --type "$type" --key-file first --size 64M "${fast[@]}" "disk/${what%%:*}" >out 2>err ||
            fail "format has succeeded on a full disk"
        grep -q "^nbdcrypt: 'disk/${what%%:*}': ${what#*:}: .*No space left on device$" err || fail "format does not say: $what"
        [ "$(stat --format=%s disk/image)" -eq 524288 ] || fail "format has left a file that is larger than it was"
        [ ! -e disk/new ] || fail "format has left a file that it made"
        [ "$(df --output=used disk | tail -n 1)" -le $((used + 512)) ] || fail "format has filled the disk"
    done
done
[ "$failed" -ge 15 ] || fail "the disk was not full often enough"
END
mkdir disk
unshare --user --map-root-user --mount env NBDCRYPT="$NBDCRYPT" bash on-full-disk.sh
