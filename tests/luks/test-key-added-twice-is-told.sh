#!/bin/bash
# `nbdcrypt key add` of a passphrase that opens the volume already adds it, and warns of it; of another one it does not.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

image=$(temp_file) second=$(temp_file)
printf second >"$second"

# add SLOT WARNING KEY...: adds the last KEY.
add() {
    local slot=$1 warning=$2

    run_nbdcrypt key add --key-file "$passphrase" --new-key-file "$3" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$image"
    expect_equal "status of key add" 0 "$status"
    expect_equal "what key add prints" "The new key is in keyslot $slot of $image." "$(<"$out")"
    expect_equal "what key add warns of" "$warning" "$(<"$err")"
}

for type in luks1 luks2; do
    truncate --size=0 "$image"
    truncate --size=20M "$image"
    cryptsetup_quietly luksFormat --type $type "${fast_pbkdf[@]}" "$image"
    add 1 "" "$second"
    remove='too, and did before: to take it away, remove both keyslots'
    add 2 "nbdcrypt: this passphrase opens keyslot 1, $remove" "$second"
    add 3 "nbdcrypt: this passphrase opens keyslot 0, $remove" "$passphrase"
    cryptsetup open --test-passphrase --disable-locks --key-slot 2 --key-file "$second" "$image"
done
