#!/bin/bash
# The disks that tests/unit/test-luks-change and test-luks-restore leave behind when the power goes during a change of keys or
# a restore: cryptsetup opens each of them with a key that worked before, or with one of the backup.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

states=$(temp_dir) keys=$(temp_dir)
for key in first second changed later; do
    printf %s "$key" >"$keys/$key"
done

# expect_keys PROGRAM CLAIM: cryptsetup opens what is left behind while that is checked.
expect_keys() {
    local state key opened witnesses count=0

    LUKS_CHANGE_STATES=$states "${top_builddir:-$(dirname "$NBDCRYPT")}/tests/unit/$1" "$2" >"$log_dir/claims" 2>&1
    for state in "$states"/*; do
        IFS='|' read -ra witnesses <<<"${state##*.}"
        opened=no
        for key in "${witnesses[@]}"; do
            if cryptsetup open --test-passphrase --disable-locks --key-file "$keys/$key" "$state" \
                >>"$log_dir/cryptsetup" 2>&1; then
                opened=$key
                break
            fi
        done
        [ "$opened" != no ] || fail "cryptsetup can't open $state after '$2'"
        count=$((count + 1))
    done
    [ "$count" -gt 10 ] || fail "only $count states"
    note "$count states of '$2'"
    rm "$states"/*
}

for claim in 'LUKS1: keys' 'LUKS1: also' 'LUKS2: keys' 'older than the other'; do
    expect_keys test-luks-change "$claim"
done
for claim in 'LUKS1: keys' 'LUKS2: keys'; do
    expect_keys test-luks-restore "$claim"
done
