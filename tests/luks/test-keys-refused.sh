#!/bin/bash
# What `nbdcrypt key` refuses, and that it changes nothing then: wrong use (status 2), wrong keys, the last key, keyslots
# in use, what is no LUKS volume, what can't be written.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$(temp_file) luks1=$(temp_file) second=$(temp_file) wrong=$(temp_file) header=$test_dir/header
printf second >"$second"
printf 'wrong\n' >"$wrong"
format_luks2 "$image" 1M
truncate --size=3M "$luks1"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 "$luks1"
before=$(sha256_of "$image")
add=(key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}")

# Wrong use.
expect_failure 2 "no command was given: nbdcrypt key --help lists them" key
expect_failure 2 "there is no command 'key burn': nbdcrypt key --help lists them" key burn
for command in add change remove test list; do
    expect_failure 2 "no IMAGE was given: nbdcrypt key $command --help tells more" key "$command"
    expect_failure 2 "'two' is one operand too many: nbdcrypt key $command takes IMAGE" key "$command" one two
    expect_success key "$command" --help
    expect_match "$out" "^Usage: nbdcrypt key $command \[OPTIONS\] IMAGE$"
done
expect_success key --help
expect_match "$out" '^  change +replace a key'
expect_failure 2 "priority 'low' is none of prefer, normal and ignore" "${add[@]}" --priority low "$image"
expect_failure 2 "--key-file and --new-key-file can't both be standard input" \
    key change --key-file - --new-key-file - "$image"
run_nbdcrypt "${add[@]}" --new-slot 32 "$image"
expect_equal "exit status" 2 "$status"

# Options that do not fit the volume; nobody is asked for a passphrase before this is said.
expect_failure 1 "key derivation 'md5' is not supported (supported: argon2id, argon2i, pbkdf2)" \
    key add --pbkdf md5 "$image"
expect_failure 1 "LUKS1 has no argon2id; its keyslots use pbkdf2" key add --pbkdf argon2id "$luks1"
expect_failure 1 "the keyslots of LUKS1 have no priority" key add --priority prefer "$luks1"
expect_failure 1 "pbkdf2 has no lanes; they are for argon2id" key change "${fast[@]}" --pbkdf-parallel 2 "$image"

# Keys and keyslots.
newline="it ends with a newline, which counts (as for cryptsetup --key-file); if the passphrase was typed when the \
volume was made, remove the newline from the key file"
expect_failure 1 "image '$image': no keyslot opens with this key: $newline" \
    key add --key-file "$wrong" --new-key-file "$second" "${fast[@]}" "$image"
expect_failure 1 "image '$image': no keyslot opens with this key: $newline" \
    key change --key-file "$wrong" --new-key-file "$second" "${fast[@]}" "$image"
expect_failure 1 "image '$image': no keyslot opens with this key: $newline" key remove --key-file "$wrong" "$image"
expect_failure 1 "image '$image': keyslot 0 does not open with this key: $newline" \
    key test --slot 0 --key-file "$wrong" "$image"
expect_failure 1 "image '$image': keyslot 3 is not in use" key test --slot 3 --key-file "$passphrase" "$image"
expect_failure 1 "image '$image': keyslot 3 is not in use" key remove --slot 3 "$image"
expect_failure 1 "image '$image': keyslot 0 is in use: take another one, or remove its key first" \
    "${add[@]}" --new-slot 0 "$image"
expect_failure 1 "image '$luks1': there is no keyslot 8: LUKS1 has keyslots 0 to 7" "${add[@]}" --new-slot 8 "$luks1"
last="keyslot 0 holds the last key: without it nobody can read the data again; give --force to remove it all the same"
expect_failure 1 "image '$image': $last" key remove --slot 0 "$image"
expect_failure 1 "image '$image': $last" key remove --key-file "$passphrase" "$image"

# What is there instead of a volume, or can't be written.
expect_failure 1 "image '$second': no LUKS header found: if the header is apart, name it by --header" key list "$second"
chmod a-w "$image"
if [ "$(id -u)" -ne 0 ]; then
    run_nbdcrypt "${add[@]}" "$image"
    expect_equal "exit status" 1 "$status"
    expect_match "$err" "^nbdcrypt: image '$image': it can't be opened for writing"
fi
chmod u+w "$image"
expect_equal "the image" "$before" "$(sha256_of "$image")"

# All keyslots of LUKS1 are taken: nothing is overwritten in place.
for slot in {1..7}; do
    printf '%s' "$slot" >"$wrong.$slot"
    expect_success key add --key-file "$passphrase" --new-key-file "$wrong.$slot" "${fast[@]}" "$luks1"
    expect_message "$out" "The new key is in keyslot $slot of $luks1."
done
before=$(sha256_of "$luks1")
full="all 8 keyslots are in use; remove a key that is not needed"
expect_failure 1 "image '$luks1': $full" "${add[@]}" "$luks1"
expect_failure 1 "image '$luks1': $full" key change --key-file "$passphrase" --new-key-file "$wrong" "${fast[@]}" "$luks1"
expect_equal "the image" "$before" "$(sha256_of "$luks1")"

# The area of keyslots of LUKS2 is full, though there are numbers left: nothing is overwritten in place either.
format_luks2 "$luks1" 1M --luks2-keyslots-size 512k
expect_success "${add[@]}" "$luks1"
before=$(sha256_of "$luks1")
run_nbdcrypt "${add[@]}" "$luks1"
expect_equal "exit status" 1 "$status"
expect_match "$err" "^nbdcrypt: image '$luks1': libcryptsetup can't make the keyslot: "
expect_failure 1 "image '$luks1': no keyslot is free for the new key; remove a key that is not needed (key list shows them)" \
    key change --key-file "$passphrase" --new-key-file "$wrong" "${fast[@]}" "$luks1"
expect_equal "the image" "$before" "$(sha256_of "$luks1")"

# A detached header is changed where it is.
cryptsetup_quietly luksHeaderBackup --header-backup-file "$header" "$image"
chmod u+w "$header"
before=$(sha256_of "$image")
expect_success "${add[@]}" --header "$header" "$image"
expect_success key test --header "$header" --key-file "$second" "$image"
cryptsetup open --test-passphrase --disable-locks --header "$header" --key-file "$second" "$image"
expect_equal "the image" "$before" "$(sha256_of "$image")"

# The last key, by force.
expect_success key remove --slot 0 --force "$image"
expect_failure 1 "image '$image': LUKS header: no keyslot holds the volume key (erased?): no passphrase can open it" \
    key test --key-file "$passphrase" "$image"
if cryptsetup open --test-passphrase --disable-locks --key-file "$passphrase" "$image" >>"$log_dir/cryptsetup" 2>&1; then
    fail "cryptsetup still opens it"
fi
