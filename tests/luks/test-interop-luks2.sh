#!/bin/bash
# LUKS2 volumes with sectors of each size, encrypted in place by cryptsetup or made by us: we read what is in them, another
# implementation (python3-cryptography, with the key that cryptsetup dumps) decrypts what we write, and keys that either has
# added open them for the other.  (Serpent and Twofish: tests/guest/test-dm-crypt.sh.)
. "$(dirname "$0")/../support/functions.sh"

unset NBDCRYPT_CIPHER # which may name one that has AES only
requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version
requires_python_module cryptography

plain=$(temp_file) image=$test_dir/image second=$(temp_file)
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
printf 'a second passphrase' >"$second"

made_by_cryptsetup() {
    encrypt_to_luks2 "$plain" "$image" --cipher "$cipher" --key-size "$key_bits" --sector-size "$sector_size"
}

made_by_us() {
    encrypt_by_nbdcrypt "$plain" "$image" --cipher "$cipher" --key-bits "$key_bits" --sector-size "$sector_size"
}

# The key is that of $1.
expect_decrypted() {
    python - "$image" "$1" "$plain" "$sector_size" "$cipher" <<'EOF'
import sys
from luks_image import LuksImage
from nbd_client import equal

image = LuksImage(sys.argv[1], sys.argv[2])
plain = open(sys.argv[3], "rb").read()
equal("sector size", image.sector_bytes, int(sys.argv[4]))
equal("cipher", image.cipher, sys.argv[5])
equal("decrypted payload", image.read(0, len(plain)), plain)
EOF
}

seed=0
while read -r maker cipher key_bits sector_size; do
    [ -n "$maker" ] || continue
    note "$maker $cipher $key_bits $sector_size"
    seed=$((seed + 1))
    rm -f "$image"
    make_pattern "$plain" 1M $seed
    "made_by_$maker"
    expect_decrypted "$passphrase"
    before=$(sha256_of "$image")
    start_nbdcrypt --key-file "$passphrase" "$image"
    if [ "$maker" = cryptsetup ]; then
        expect_image "$plain" "$uri"
        expect_equal "checksum of the image after reading" "$before" "$(sha256_of "$image")"
    fi
    # A few odd pieces, which go through read-modify-write, and a run of sectors.
    python - "$uri" "$plain" <<'EOF'
import sys
from nbd_client import Client

with Client(sys.argv[1]) as client, open(sys.argv[2], "r+b") as plain:
    for start, length in ((1, 1), (511, 2), (4095, 4098), (100000, 70001), (262144, 200704), (client.size - 3, 3)):
        data = bytes((start + i) % 251 for i in range(length))
        client.write(start, data)
        plain.seek(start)
        plain.write(data)
    client.flush()
EOF
    stop_nbdcrypt
    expect_success key change --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
    expect_decrypted "$second"
    cryptsetup_adds_key "$image" "$second" "$passphrase"
    expect_success key test --key-file "$passphrase" "$image"
done < <(sample 3 <<'END'
cryptsetup aes-xts-plain64 512 512
cryptsetup aes-xts-plain64 256 1024
cryptsetup aes-xts-plain64 512 2048
cryptsetup aes-xts-plain64 512 4096
cryptsetup aes-xts-plain 256 4096
cryptsetup aes-cbc-essiv:sha256 256 512
cryptsetup aes-cbc-essiv:sha256 256 4096
cryptsetup aes-cbc-plain64be 256 2048
us aes-xts-plain64 512 1024
us aes-xts-plain64 256 2048
us aes-xts-essiv:sha256 512 1024
us aes-cbc-essiv:sha256 128 2048
us aes-cbc-plain 256 4096
us camellia-cbc-essiv:sha256 256 512
END
)
