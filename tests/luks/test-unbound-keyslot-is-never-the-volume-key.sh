#!/bin/bash
# A keyslot that holds another key than that of the volume (cryptsetup luksAddKey --unbound) opens nothing, whatever its
# size and wherever the others are; a wrong passphrase is called wrong beside it.  A volume key of another length is
# another key, though the digest in the header can't tell those two apart.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

image=$(temp_file) unbound=$(temp_file) other=$(temp_file)
printf 'the passphrase of another key' >"$unbound"
printf 'of no key at all' >"$other"
format_luks2 "$image" 1M

# add_unbound BITS: in the next keyslot.
add_unbound() {
    cryptsetup --batch-mode --disable-locks luksAddKey --unbound --key-size "$1" "${fast_pbkdf[@]}" "$image" "$unbound" \
        >>"$log_dir/cryptsetup" 2>&1
}

# refuse MESSAGE ARGUMENT...
refuse() {
    local before

    before=$(sha256_of "$image")
    expect_failure 1 "image '$image': $1" "${@:2}" "$image"
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
}

expect_nothing_opens() {
    refuse "no keyslot opens with this key" key test --key-file "$unbound"
    refuse "no keyslot opens with this key" key test --key-file "$other"
    refuse "no keyslot opens with this key" serve --unix "$test_dir/socket" --key-file "$unbound"
    refuse "keyslot $1 holds another key than that of the volume" key test --slot "$1" --key-file "$unbound"
    refuse "keyslot $1 holds another key than that of the volume" key change --slot "$1" --key-file "$unbound" \
        --new-key-file "$other" --pbkdf pbkdf2 --pbkdf-iterations 1000
}

add_unbound 256
expect_nothing_opens 1
add_unbound 512
expect_nothing_opens 2
expect_success key test --key-file "$passphrase" "$image"
expect_message "$out" "This key opens keyslot 0 of $image."

# The other keyslot is one that libcryptsetup would not open by itself: now we try them, one by one.
good=$(temp_file)
cp "$image" "$good"
python - "$image" <<'END'
import sys
import luks_image


def change(document):
    document["keyslots"]["0"]["area"]["encryption"] = "serpent-xts-plain64"


luks_image.change_luks2_json(sys.argv[1], change)
END
expect_nothing_opens 2
cp "$good" "$image"

# None is tried.
expect_success key priority --slot 0 "$image" ignore
refuse "all keyslots have the priority ignore, so none is tried: name one with --slot, or give one another priority \
(nbdcrypt key priority)" key test --key-file "$passphrase"
expect_success key test --slot 0 --key-file "$passphrase" "$image"
expect_success key priority --slot 0 "$image" normal

# The last key of the volume goes, the other one stays.
expect_success key remove --slot 0 --force "$image"
expect_failure 1 "image '$image': LUKS header: no keyslot holds the volume key (erased?): no passphrase can open it" \
    key test --key-file "$passphrase" "$image"

# A key and the same one with zeros behind it have one digest, for PBKDF2 pads keys with zeros.
short=$(temp_file) long=$(temp_file)
make_pattern "$short" 32
{ cat "$short"; head --bytes=32 /dev/zero; } >"$long"
for type in luks1 luks2; do
    for made in "$short 256 32 $long 64" "$long 512 64 $short 32"; do
        read -r right bits right_bytes wrong wrong_bytes <<<"$made"
        truncate --size=0 "$image"
        truncate --size=20M "$image"
        force=(--pbkdf-force-iterations 1000)
        [ "$type" = luks1 ] || force+=(--pbkdf pbkdf2)
        cryptsetup_quietly luksFormat --type $type "${force[@]}" --key-size "$bits" --volume-key-file "$right" "$image"
        expect_success key test --volume-key-file "$right" "$image"
        for command in "key test" "serve --unix $test_dir/socket" "key add --new-key-file $other"; do
            # shellcheck disable=SC2086
            refuse "the volume key of '$wrong': it has $wrong_bytes bytes, but this volume has a key of $right_bytes" \
                $command --volume-key-file "$wrong"
        done
    done
done
