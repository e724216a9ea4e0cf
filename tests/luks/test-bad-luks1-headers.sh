#!/bin/bash
# LUKS1 headers that are damaged, hostile or beyond us: serve and info refuse each with its own sentence, and change
# nothing.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

good=$(temp_file) image=$test_dir/image
truncate --size=3M "$good"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 "$good"

# expect_refusal MESSAGE: of $image, by serve and by info.
expect_refusal() {
    local before command

    before=$(sha256_of "$image")
    for command in "serve --unix $(temp_socket) --key-file $passphrase" info; do
        # shellcheck disable=SC2086
        expect_failure 1 "image '$image': LUKS header: $1" $command "$image"
    done
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
}

# with_bytes "AT BYTES..." MESSAGE: BYTES in the notation of printf.
with_bytes() {
    local at bytes

    cp "$good" "$image"
    while read -r at bytes; do
        # shellcheck disable=SC2059
        printf "$bytes" | dd of="$image" bs=1 seek="$at" conv=notrunc status=none
    done <<<"$1"
    expect_refusal "$2"
}

with_length() {
    head --bytes="$1" "$good" >"$image"
    expect_refusal "$2"
}

supported='(supported: aes, serpent, twofish and camellia, in the modes xts and cbc, with the IVs plain64, plain, plain64be and essiv:sha256)'
truncated='it is truncated, or it is a detached header (then give it with --header, and the data as the image)'

with_bytes $'8 cipher_null\\0\n40 ecb\\0' \
    "cipher 'cipher_null-ecb' leaves the data unencrypted; null ciphers are always refused"
with_bytes '8 blowfish\0' "cipher 'blowfish-xts-plain64' is not supported $supported"
with_bytes '40 cbc-essiv:sha1\0' "cipher 'aes-cbc-essiv:sha1' is not supported $supported"
with_bytes '72 md5\0' \
    "volume key digest: hash 'md5' is not supported (supported: sha1, sha224, sha256, sha384, sha512, sha512-256, sha3-224, sha3-256, sha3-384, sha3-512, blake2b-512, blake2s-256, ripemd160, whirlpool, sm3)"
with_bytes '6 \0\3' "LUKS version 3 is not supported, only 1 and 2"
with_bytes '104 \377\377\377\377' \
    "the image is 3145728 bytes, its payload begins at 2199023255040: $truncated"
with_bytes '208 \1\2\3\4' "keyslot 0: its state 0x01020304 is neither in use nor free"
with_bytes '252 \0\0\17\241' "keyslot 0: 4001 stripes, expected 4000"
with_bytes '248 \0\0\0\0' "keyslot 0: its area begins at byte 0, inside the header"
with_bytes '212 \377\377\377\377' \
    "keyslot 0: 4294967295 PBKDF2 iterations, at most 268435456 are accepted"
with_length 400 "a LUKS1 header has 592 bytes, but there are only 400: truncated"
with_length 600 "the image is 600 bytes, its payload begins at 2097152: $truncated"
with_length 2097152 "the image is 2097152 bytes, its payload begins at 2097152: $truncated"

# The good one is still good.
cp "$good" "$image"
expect_success serve --key-file "$passphrase" --run true "$image"
