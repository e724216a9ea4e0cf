#!/bin/bash
# The persistent flag allow-discards is set by format, set and cleared later, also while the volume is served; cryptsetup
# sees the same, other flags stay, and TRIM goes through accordingly.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdinfo --version

flags_are() {
    expect_equal "flags for cryptsetup" "$1" \
        "$(cryptsetup luksDump --disable-locks "$image" | sed -n 's/^Flags:[[:space:]]*//p' | sed 's/ *$//')"
}

trim_is_offered() {
    nbdinfo --can trim "$uri"
}

image=$(temp_file)
rm "$image"
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
expect_success format "${fast[@]}" --key-file "$passphrase" --size 1M --discard "$image"
flags_are allow-discards
start_nbdcrypt --key-file "$passphrase" "$image"
trim_is_offered
# While it is served; it goes on as it began.
expect_success header discard "$image" off
flags_are "(no flags)"
trim_is_offered
stop_nbdcrypt
start_nbdcrypt --key-file "$passphrase" "$image"
if trim_is_offered; then fail "TRIM is offered without the flag"; fi
stop_nbdcrypt

expect_success header discard "$image" on
expect_success header discard "$image" on
flags_are allow-discards
expect_success key test --key-file "$passphrase" "$image"

# What makes no sense.
expect_failure 2 "'maybe' is neither on nor off" header discard "$image" maybe
expect_failure 2 "--discard: LUKS1 has no persistent flags; give it to serve" \
    format --type luks1 --discard --size 1M --key-file "$passphrase" "$test_dir/other"
truncate --size=0 "$image"
truncate --size=3M "$image"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 "$image"
expect_failure 1 "image '$image': LUKS1 has no persistent flags: serve it with --discard" header discard "$image" on
