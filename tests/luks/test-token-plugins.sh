#!/bin/bash
# Tokens of other programs open their keyslots by libcryptsetup's plugins, only from the folder that --token-plugins names,
# and only plugins that others can't write.
. "$(dirname "$0")/../support/functions.sh"

plugin=${top_builddir:-.}/tests/support/luks-token-plugin.so
[ -r "$plugin" ] || fail "no $plugin: build it"

image=$(temp_file)
rm "$image"
printf 'from the device' >"$test_dir/key"
expect_success format --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M --key-file "$test_dir/key" "$image"
import() { # ID TYPE ANSWER
    printf '{"type":"%s","keyslots":["0"],"answer":"%s"}' "$2" "$3" >"$test_dir/token.json"
    expect_success token import --token "$1" "$image" "$test_dir/token.json"
}
import 0 test 'something else'
import 1 test 'from the device'
import 2 test pin
import 3 test fail
import 4 ../test 'from the device'
import 5 absent 'from the device'
import 6 test ''

folder=$test_dir/plugins
mkdir "$folder"
install -m 644 "$plugin" "$folder/libcryptsetup-token-test.so"
with=(--token-plugins "$folder")

expect_success key test --token 1 "${with[@]}" "$image"
expect_message "$out" "This key opens keyslot 0 of $image."
expect_success key test --token any "${with[@]}" "$image"
start_nbdcrypt --export "a=$image,token=1,token-plugins=$folder"
stop_nbdcrypt

expect_failure 1 "image '$image': token 0: keyslot 0 does not open with this key" key test --token 0 "${with[@]}" "$image"
expect_failure 1 "image '$image': token 2: it wants a PIN, which is not asked for here: give the passphrase by \
--key-command" key test --token 2 "${with[@]}" "$image"
expect_failure 1 "image '$image': token 3: its plugin gives no passphrase: The device does not answer" \
    key test --token 3 "${with[@]}" "$image"
expect_failure 1 "image '$image': token 4: its type '../test' is not that of a plugin" key test --token 4 "${with[@]}" "$image"
expect_failure 1 "image '$image': token 5: its plugin '$folder/libcryptsetup-token-absent.so' can't be used: No such file or \
directory" key test --token 5 "${with[@]}" "$image"
expect_failure 1 "image '$image': token 6: its plugin gives an empty passphrase" key test --token 6 "${with[@]}" "$image"
expect_failure 1 "image '$image': there is no token 7 in this header" key test --token 7 "${with[@]}" "$image"

chmod o+w "$folder/libcryptsetup-token-test.so"
expect_failure 1 "image '$image': token 1: its plugin '$folder/libcryptsetup-token-test.so' must be a file that root or you \
own and nobody else may write" key test --token 1 "${with[@]}" "$image"
chmod o-w "$folder/libcryptsetup-token-test.so"
printf 'no library' >"$folder/libcryptsetup-token-absent.so"
expect_failure 1 "image '$image': token 5: its plugin can't be loaded: $folder/libcryptsetup-token-absent.so: file too short" \
    key test --token 5 "${with[@]}" "$image"

expect_failure 1 "image '$image': token 1 is of type 'test', and only luks2-keyring is used here: give the passphrase by \
--key-command, or the folder of plugins by --token-plugins" key test --token 1 "$image"
expect_failure 2 "--token-plugins is for a key that a token names: give --token, too" key test "${with[@]}" "$image"
expect_failure 2 "--token-plugins 'x': give the whole path of the folder, from / on" \
    key test --token 1 --token-plugins x "$image"
