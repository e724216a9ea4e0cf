#!/bin/bash
# The volume key itself serves a disk, tells whether it is the one of a volume, and makes a new passphrase when all
# are lost; another key is refused, by the digest in the header.  cryptsetup reads the key that format was given,
# and writes the one that nbdcrypt takes.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version

plain=$(temp_file)
key=$(temp_file)
other=$(temp_file)
short=$(temp_file)
make_pattern "$plain" 1M
make_pattern "$other" 64
make_pattern "$short" 32
quick_pbkdf=(--pbkdf pbkdf2 --pbkdf-iterations 1000)

# dump_volume_key IMAGE FILE [PASSPHRASE-FILE]: cryptsetup's opinion; it makes the file.
dump_volume_key() {
    rm -f "$2"
    cryptsetup --batch-mode --disable-locks luksDump --dump-volume-key --volume-key-file "$2" \
        --key-file "${3-$passphrase}" "$1" >>"$log_dir/cryptsetup" 2>&1
}

# serves_with_key IMAGE OPTION...: what is written by the passphrase is read by the volume key alone.
serves_with_key() {
    local image=$1

    shift
    start_nbdcrypt --key-file "$passphrase" "$image"
    nbdcopy "$plain" "$uri"
    stop_nbdcrypt
    start_nbdcrypt "$@" "$image"
    expect_image "$plain" "$uri"
    stop_nbdcrypt
}

# What cryptsetup made.
image=$(temp_file)
format_luks2 "$image" 1M
dump_volume_key "$image" "$key"
serves_with_key "$image" --volume-key-file "$key"
expect_success key test --volume-key-file "$key" "$image"
expect_message "$out" "This is the volume key of $image."
start_nbdcrypt --export "a=$image,volume-key-file=$key"
expect_image "$plain" "$uri"
stop_nbdcrypt

# Another one is refused, and so is one of another length.
wrong="image '$image': the volume key of '$other' is not the one of this volume"
expect_failure 1 "$wrong" serve --unix "$(temp_socket)" --volume-key-file "$other" "$image"
expect_failure 1 "$wrong" key test --volume-key-file "$other" "$image"
expect_failure 1 "$wrong" key add --volume-key-file "$other" --new-key-file "$passphrase" "$image"
expect_failure 1 "image '$image': the volume key of '$short': it has 32 bytes, but this volume has a key of 64" \
    key test --volume-key-file "$short" "$image"

# A new passphrase instead of one that is lost; cryptsetup takes it.
new=$(temp_file)
printf 'new passphrase' >"$new"
expect_success key add "${quick_pbkdf[@]}" --volume-key-file "$key" --new-key-file "$new" "$image"
expect_message "$out" "The new key is in keyslot 1 of $image."
expect_success key remove --slot 0 "$image"
dump_volume_key "$image" "$test_dir/again" "$new"
cmp "$key" "$test_dir/again"

# format: the key is that of the file.  A cipher that cryptsetup opens only with the kernel's help is no different.
made=$(temp_file)
for options in "--key-bits 256 --type luks2" "--key-bits 256 --type luks1"; do
    rm -f "$made"
    read -r -a words <<<"$options"
    expect_success format "${words[@]}" "${quick_pbkdf[@]}" --size 1M --key-file "$passphrase" \
        --volume-key-file "$short" "$made"
    dump_volume_key "$made" "$test_dir/again"
    cmp "$short" "$test_dir/again"
done
for type in luks2 luks1; do
    rm -f "$made"
    expect_success format --type "$type" --cipher serpent-xts-plain64 "${quick_pbkdf[@]}" --size 1M \
        --key-file "$passphrase" --volume-key-file "$other" "$made"
    serves_with_key "$made" --volume-key-file "$other"
    expect_failure 1 "image '$made': the volume key of '$key' is not the one of this volume" \
        key test --volume-key-file "$key" "$made"
done
# The last one is of LUKS1, which tells the size of the key even when no keyslot is left.
expect_success key remove --force --slot 0 "$made"
expect_success key add "${quick_pbkdf[@]}" --volume-key-file "$other" --new-key-file "$new" "$made"
expect_success key test --key-file "$new" "$made"
rm -f "$made"
expect_failure 1 "'$made': the volume key has 32 bytes, but 512 bits are 64: give --key-bits 256, or another key" \
    format --size 1M --key-file "$passphrase" --volume-key-file "$short" "$made"
cat "$short" "$short" >"$test_dir/twice"
expect_failure 1 "'$made': the two halves of the volume key are the same, which makes XTS weak" \
    format --size 1M --key-file "$passphrase" --volume-key-file "$test_dir/twice" "$made"
[ ! -e "$made" ] || fail "a format that was refused made the image"

# What makes no sense.
expect_failure 2 "--key-file and --volume-key-file can't both be used: leave out one of the two" \
    serve --key-file x --volume-key-file y "$image"
expect_failure 2 "--volume-key-file is empty: give the name of a file, or leave it out" \
    key test --volume-key-file '' "$image"
expect_failure 2 "--volume-key-file needs no keyslot: leave out --slot" \
    key test --slot 1 --volume-key-file "$key" "$image"
expect_failure 2 "--raw serves without LUKS, so --volume-key-file can't be used: leave out one of the two" \
    serve --raw --volume-key-file "$key" "$image"
expect_failure 2 "--key-file and --volume-key-file can't both be standard input" \
    format --size 1M --key-file - --volume-key-file - "$made"
