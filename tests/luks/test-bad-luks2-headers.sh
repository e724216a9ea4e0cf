#!/bin/bash
# LUKS2 headers that are damaged, hostile or beyond us: serve and info refuse each with its own sentence, and change
# nothing.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

good=$(temp_file) image=$test_dir/image
truncate --size=2M "$good"
# A small one: the payload begins at 1 MiB.
cryptsetup_quietly luksFormat --type luks2 "${fast_pbkdf[@]}" --offset 2048 --luks2-keyslots-size 512k \
    --luks2-metadata-size 16k "$good"

# expect_refusal MESSAGE [MESSAGE-OF-INFO]: of $image, by serve and by info.
expect_refusal() {
    local before command

    before=$(sha256_of "$image")
    # shellcheck disable=SC2086
    for command in "serve --unix $(temp_socket) --key-file $passphrase" info; do
        expect_failure 1 "image '$image': $1" $command "$image"
        set -- "${2:-$1}"
    done
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
}

# with_json STATEMENT MESSAGE: the header's document d is changed by the statement; checksums are right.
with_json() {
    cp "$good" "$image"
    python - "$image" "$1" <<'EOF'
import sys
import luks_image

luks_image.change_luks2_json(sys.argv[1], lambda d: exec(sys.argv[2], {"d": d}))
EOF
    expect_refusal "LUKS header: $2"
}

# with_length BYTES MESSAGE: cut.
with_length() {
    head --bytes="$1" "$good" >"$image"
    expect_refusal "$2"
}

# with_damage "AT..." MESSAGE [MESSAGE-OF-INFO]: bytes are inverted at each place.
with_damage() {
    cp "$good" "$image"
    python -c '
import sys
import luks_image
for at in sys.argv[2].split():
    luks_image.damage(sys.argv[1], int(at))' "$image" "$1"
    expect_refusal "${@:2}"
}

supported='(supported: aes, serpent, twofish and camellia, in the modes xts and cbc, with the IVs plain64, plain, plain64be and essiv:sha256)'
truncated='it is truncated, or it is a detached header (then give it with --header, and the data as the image)'

with_json 'd["segments"]["0"]["encryption"] = "cipher_null-ecb"' \
    "segment 0: cipher 'cipher_null-ecb' leaves the data unencrypted; null ciphers are always refused"
with_json 'd["segments"]["0"]["encryption"] = "null"' \
    "segment 0: cipher 'null' leaves the data unencrypted; null ciphers are always refused"
with_json 'd["keyslots"]["0"]["area"]["encryption"] = "cipher_null-ecb"' \
    "keyslot 0: cipher 'cipher_null-ecb' leaves the data unencrypted; null ciphers are always refused"
with_json 'd["segments"]["0"]["encryption"] = "blowfish-xts-plain64"' \
    "segment 0: cipher 'blowfish-xts-plain64' is not supported $supported"
with_json 'd["segments"]["0"]["encryption"] = "aes-cbc-essiv:sha1"' \
    "segment 0: cipher 'aes-cbc-essiv:sha1' is not supported $supported"
with_json 'd["config"]["requirements"] = {"mandatory": ["flux-capacitor"]}' \
    "the header requires 'flux-capacitor', which is unknown: the volume needs newer software"
with_json 'd["config"]["requirements"] = {"mandatory": ["online-reencrypt-v2"]}' \
    "the header requires 'online-reencrypt-v2', which is not supported: a re-encryption is under way; finish it with cryptsetup reencrypt"
with_json 'd["segments"]["0"]["integrity"] = {"type": "hmac(sha256)", "journal_encryption": "none", "journal_integrity": "none"}' \
    "segment 0: authenticated encryption ('integrity') is not supported"
with_json 'd["segments"]["0"]["type"] = "linear"' \
    "segment 0: type 'linear' is not supported, only 'crypt'"
with_json 'd["segments"]["0"]["sector_size"] = 8192' \
    "segment 0: sector size 8192 is not one of 512, 1024, 2048 and 4096"
with_json 'd["segments"]["0"]["offset"] = "1099511627776"' \
    "the image is 2097152 bytes, its payload begins at 1099511627776: $truncated"
with_json 'd["segments"]["0"]["offset"] = "4096"' \
    "segment 0: the payload begins at byte 4096, inside the header, which ends at 557056 (give a detached header with --header, and the data as the image)"
with_json 'd["segments"]["0"]["iv_tweak"] = str(2**64 - 1)' \
    "segment 0: iv_tweak 18446744073709551615 makes sector numbers wrap"
with_json 'd["keyslots"]["0"]["af"]["stripes"] = 4001' "keyslot 0: 4001 stripes, expected 4000"
with_json 'd["keyslots"]["0"]["kdf"]["iterations"] = 4000000000' \
    "keyslot 0: 4000000000 PBKDF2 iterations, at most 268435456 are accepted"
with_json 'd["keyslots"]["0"]["kdf"] = dict(type="argon2id", time=4, memory=8 << 20, cpus=4, salt=d["keyslots"]["0"]["kdf"]["salt"])' \
    "keyslot 0: Argon2 memory of 8388608 KiB, at most 4194304 are accepted"
with_json 'd["keyslots"]["0"]["area"]["offset"] = "33554432"' \
    "keyslot 0: its area begins at byte 33554432, outside the keyslots' part of the header (32768 to 557056)"
with_json 'd["keyslots"] = {}' \
    "no keyslot holds the volume key (erased?): no passphrase can open it"

with_length 2000 "LUKS header: both copies of the LUKS2 header are damaged (first: it ends at byte 16384, but there are only 2000 bytes: truncated; second: none was found): restore it from a backup"
with_length 20000 "LUKS header: the image is 20000 bytes, its payload begins at 1048576: $truncated"
with_length 300000 "LUKS header: the image is 300000 bytes, its payload begins at 1048576: $truncated"
with_length 1048576 "LUKS header: the image is 1048576 bytes, its payload begins at 1048576: $truncated"
with_damage "5000 21384" "LUKS header: both copies of the LUKS2 header are damaged (first: its checksum is wrong; second: its checksum is wrong): restore it from a backup"
with_damage "100 16484" "LUKS header: both copies of the LUKS2 header are damaged (first: its checksum is wrong; second: its checksum is wrong): restore it from a backup"
with_damage "0 16384" "no LUKS header found: if the header is apart, name it by --header; is it the right one? (as it is, without encryption, it is served by --raw)" "no LUKS header found: if the header is apart, name it by --header"

# The good one is still good.
cp "$good" "$image"
expect_success serve --key-file "$passphrase" --run true "$image"
