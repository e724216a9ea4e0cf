#!/bin/bash
# The disks that tests/test-luks-change leaves behind when the power goes during a change of keys: cryptsetup opens
# each of them with a key that worked before.
. "$(dirname "$0")/functions.sh"

requires cryptsetup --version

states=$(temp_dir) keys=$(temp_dir)
for key in first second changed; do
    printf %s "$key" >"$keys/$key"
done
for claim in 'LUKS1: keys' 'LUKS1: also' 'LUKS2: keys' 'older than the other'; do
    LUKS_CHANGE_STATES=$states "${top_builddir:-$(dirname "$NBDCRYPT")}/tests/test-luks-change" "$claim" \
        >"$log_dir/claims" 2>&1
    count=0
    for state in "$states"/*; do
        case $state in
        *.any) set -- first changed ;;
        *) set -- "${state##*.}" ;;
        esac
        opened=no
        for key; do
            if cryptsetup open --test-passphrase --disable-locks --key-file "$keys/$key" "$state" \
                >>"$log_dir/cryptsetup" 2>&1; then
                opened=$key
                break
            fi
        done
        [ "$opened" != no ] || fail "cryptsetup can't open $state after '$claim'"
        count=$((count + 1))
    done
    [ "$count" -gt 10 ] || fail "only $count states"
    note "$count states of '$claim'"
    rm "$states"/*
done
