#!/bin/bash
# A header that is not what the user demands is refused before the key is read; the digest of a header names
# its volume key, and stays while keys and labels change.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

# digest_by_hand HEADER-IMAGE [FORM]: as the manual describes it, from what cryptsetup says of a LUKS2 volume, or from
# the bytes of a LUKS1 header.
digest_by_hand() {
    cryptsetup --disable-locks luksDump --dump-json-metadata "$1" >"$test_dir/dump" 2>/dev/null || true
    python "$source_dir/tests/luks/header-demands-digest-by-hand.py" "$1" "$test_dir/dump" "${2-2}" </dev/null
}

digest_of() {
    "$NBDCRYPT" info "$1" | sed -n 's/^Header digest: *//p'
}

uuid=12345678-1234-4321-8765-123456789abc
image=$(temp_file) old=$(temp_file) second=$test_dir/second
printf 'another' >"$second"
format_luks2 "$image" 1M --sector-size 4096 --uuid $uuid
truncate --size=3M "$old"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 --key-size 256 --uuid $uuid "$old"

digest=$(digest_of "$image")
expect_equal "digest of LUKS2" "$(digest_by_hand "$image")" "$digest"
expect_equal "digest of LUKS1" "$(digest_by_hand "$old")" "$(digest_of "$old")"
expect_success header discard "$image" on
expect_equal "digest of LUKS2 with a flag" "$(digest_by_hand "$image")" "$(digest_of "$image")"
expect_success header discard "$image" off
expect_equal "digest of LUKS2 without the flag" "$digest" "$(digest_of "$image")"
# Digests of the old form are still taken.
expect_success info --header-digest "$(digest_by_hand "$image" 1)" "$image"
expect_success info --header-digest "$(digest_by_hand "$old" 1)" "$old"
expect_failure 1 "image '$old': LUKS header: its digest is $(digest_by_hand "$old" 1), and another one is demanded: the \
header has another volume key or another layout than it had" info --header-digest "$(digest_by_hand "$image" 1)" "$old"

# What fits is served.
start_nbdcrypt --key-file "$passphrase" --expect-uuid ${uuid^^} --header-digest "$digest" \
    --cipher aes-xts-plain --cipher aes-xts-plain64 --min-key-bits 512 --max-pbkdf-iterations 1000 \
    --max-pbkdf-memory-kib 1 "$image"
stop_nbdcrypt
start_nbdcrypt --key-file "$passphrase" --min-key-bits 256 \
    --export "a=$image,min-key-bits=512,header-digest=$digest" --export "b=$old,cipher=aes-xts-plain64"
stop_nbdcrypt

# What does not fit is refused, whoever asks; the key file that is named does not exist.
refused() {
    local sentence=$1

    shift
    expect_failure 1 "image '$image': LUKS header: $sentence" serve --unix "$test_dir/s" \
        --key-file "$test_dir/none" "$@" "$image"
    expect_failure 1 "image '$image': LUKS header: $sentence" info "$@" "$image"
    expect_failure 1 "image '$image': LUKS header: $sentence" key test --key-file "$test_dir/none" "$@" "$image"
    expect_failure 1 "image '$image': LUKS header: $sentence" key remove --slot 0 "$@" "$image"
}
refused "its UUID is $uuid, and 00000000-1234-4321-8765-123456789abc is demanded: this is another volume" \
    --expect-uuid 00000000-1234-4321-8765-123456789abc
refused "its digest is $digest, and another one is demanded: the header has another volume key, another layout or \
other flags than it had" --header-digest "$(digest_of "$old")"
refused "its cipher is aes-xts-plain64, and aes-xts-plain (or another one) is demanded" \
    --cipher aes-xts-plain --cipher serpent-xts-plain64
refused "keyslot 0: 1000 iterations, and at most 999 are allowed" --max-pbkdf-iterations 999
# The digest of the volume key is calculated for each keyslot that is tried, whatever the keyslots use.
costly=$(temp_file)
cp "$image" "$costly"
python - "$costly" <<'PYTHON_END'
import sys
import luks_image

luks_image.change_luks2_json(sys.argv[1], lambda d: d["digests"]["0"].update(iterations=1 << 28))
PYTHON_END
expect_failure 1 "image '$costly': LUKS header: digest of the volume key: 268435456 iterations, and at most 1000 are allowed" \
    serve --unix "$test_dir/s" --key-file "$test_dir/none" --max-pbkdf-iterations 1000 "$costly"
cp "$old" "$costly"
python -c '
import sys
import luks_image
luks_image.patch(sys.argv[1], 164, (1 << 28).to_bytes(4, "big"))' "$costly"
expect_failure 1 "image '$costly': LUKS header: digest of the volume key: 268435456 iterations, and at most 1000 are allowed" \
    info --max-pbkdf-iterations 1000 "$costly"
rm "$costly"
expect_failure 1 "image '$old': LUKS header: its volume key has 256 bits, and at least 512 are demanded" \
    info --min-key-bits 512 "$old"
expect_failure 1 "image '$old': LUKS header: keyslot 0: 1000 iterations, and at most 10 are allowed" \
    info --max-pbkdf-iterations 10 "$old"
expect_failure 1 "image '$old': LUKS header: its volume key has 256 bits, and at least 257 are demanded" \
    serve --strict --unix "$test_dir/s" --min-key-bits 257 --key-file "$passphrase" \
    --export "a=$image,min-key-bits=512" --export "b=$old"

# Keys, labels and tokens come and go; the digest stays.
cryptsetup_quietly luksAddKey --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 2048 \
    --pbkdf-parallel 1 --new-key-slot 5 "$image" "$second"
cryptsetup_quietly config --label 'a label' "$image"
expect_equal "digest after a new key and label" "$digest" "$(digest_of "$image")"
refused "keyslot 5: 2048 KiB of Argon2 memory, and at most 2047 are allowed" --max-pbkdf-memory-kib 2047
expect_success key remove --slot 5 --header-digest "$digest" "$image"
expect_equal "digest after the key was removed" "$digest" "$(digest_of "$image")"

# Another volume with the same passphrase and UUID is another one.
format_luks2 "$image" 1M --sector-size 4096 --uuid $uuid
[ "$(digest_of "$image")" != "$digest" ] || fail "two volumes have one digest"
expect_failure 1 "image '$image': LUKS header: its digest is $(digest_of "$image"), and another one is demanded: \
the header has another volume key, another layout or other flags than it had" serve --unix "$test_dir/s" \
    --key-file "$passphrase" --header-digest "$digest" "$image"

# Demands that make no sense.
expect_failure 2 "expect-uuid: 'x' is not a UUID: write it as 123e4567-e89b-12d3-a456-426614174000" \
    serve --expect-uuid x "$image"
expect_failure 2 "header-digest: 'md5:0' is not the digest of a header: write v2:sha256: and 64 hexadecimal \
digits, as nbdcrypt info prints them" key test --header-digest md5:0 "$image"
expect_failure 2 "--raw serves without LUKS, so --min-key-bits can't be used: leave out one of the two" \
    serve --raw --min-key-bits 256 "$image"
expect_failure 2 "export 'a': raw serves without LUKS, so cipher can't be used: leave out one of the two" \
    serve --export "a=$image,raw,cipher=aes-xts-plain64"
expect_failure 2 "--expect-uuid is for a single IMAGE: with --export, write NAME=IMAGE,expect-uuid=..." \
    serve --expect-uuid $uuid --export "a=$image"
