#!/bin/bash
# A token of type luks2-keyring opens its keyslots by the user key that it names: one that `cryptsetup token add` or
# `nbdcrypt token import` made, for any cipher.  Other tokens are refused, and other keyslots are not tried.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version

image=$(temp_file)
format_luks2 "$image" 1M
cryptsetup --batch-mode --disable-locks token add --token-id 3 --key-slot 0 --key-description nbdcrypt:good "$image"
import() { # ID JSON
    printf '%s' "$2" >"$test_dir/token.json"
    expect_success token import --token "$1" "$image" "$test_dir/token.json"
}
import 1 '{"type":"luks2-keyring","keyslots":["0"],"key_description":"nbdcrypt:wrong"}'
import 5 '{"type":"systemd-tpm2","keyslots":["0"]}'
import 6 '{"type":"luks2-keyring","keyslots":[],"key_description":"nbdcrypt:good"}'

# Without a keyring.
expect_failure 1 "image '$image': token 5 is of type 'systemd-tpm2', and only luks2-keyring is used here: give the \
passphrase by --key-command, or the folder of plugins by --token-plugins" key test --token 5 "$image"
expect_failure 1 "image '$image': there is no token 7 in this header" key test --token 7 "$image"
expect_failure 2 "--token 'x' is neither any nor a number from 0 to 31" key test --token x "$image"
expect_failure 2 "--token '32' is neither any nor a number from 0 to 31" serve --token 32 "$image"
expect_failure 2 "--key-size is not for a key that --token names" key test --token any --key-size 5 "$image"
expect_failure 2 "export 'a': key-file and token can't both be used: leave out one of the two" \
    serve --export "a=$image,key-file=x,token=any"
bare=$(temp_file)
encrypted_plain=$(temp_file)
truncate --size=1M "$encrypted_plain"
encrypt_to_luks1 "$encrypted_plain" "$bare"
expect_failure 1 "image '$bare': the header has no token of type luks2-keyring" key test --token any "$bare"
expect_failure 1 "image '$bare': LUKS1 has no tokens" key test --token 0 "$bare"

# with_keys COMMAND...: in a session keyring of its own that holds the passphrase as nbdcrypt:good, and another one.
with_keys() {
    "$PYTHON" "$source_dir/tests/luks/keyring-tokens-with-keys.py" "$passphrase" "$@" </dev/null
}

status=0
with_keys true || status=$?
[ "$status" -ne 77 ] || skip "there is no keyring here"

# says MESSAGE ARGUMENT...: of nbdcrypt with the keys, success or not.
says() {
    local message=$1

    shift
    with_keys "$NBDCRYPT" "$@" </dev/null >"$log_dir/said" 2>&1 || true
    expect_message "$log_dir/said" "$message"
}

says "This key opens keyslot 0 of $image." key test --token 3 "$image"
says "This key opens keyslot 0 of $image." key test --token any "$image"
says "nbdcrypt: image '$image': token 1: keyslot 0 does not open with this key" key test --token 1 "$image"
says "nbdcrypt: image '$image': token 6: it is for no keyslot" key test --token 6 "$image"
says "nbdcrypt: image '$image': token 3: it is not for keyslot 2" key test --token 3 --slot 2 "$image"
says "The new key is in keyslot 1 of $image." key add --pbkdf pbkdf2 --pbkdf-iterations 1000 --token any \
    --new-key-command 'printf second' "$image"
expect_success key test --slot 1 --key-command 'printf second' "$image"

# serve reads the key once.
with_keys "$NBDCRYPT" serve --export "a=$image,token=any" --unix "$test_dir/socket" \
    --run "nbdinfo --size \"\$uri\"" >"$log_dir/said" 2>&1
expect_message "$log_dir/said" 1048576

# Where cryptsetup would need the kernel for the keyslot.
serpent=$(temp_file)
rm "$serpent"
expect_success format --cipher serpent-xts-plain64 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M \
    --key-file "$passphrase" "$serpent"
image=$serpent
import 0 '{"type":"luks2-keyring","keyslots":["0"],"key_description":"nbdcrypt:good"}'
says "This key opens keyslot 0 of $serpent." key test --token 0 "$serpent"
