#!/bin/bash
# One damaged copy of a LUKS2 header, the first or the second, is no obstacle: the other one is used, a warning says so,
# and the image is left as it is.  So it is with a copy whose checksum is right, but whose text is no header.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version

plain=$(temp_file) good=$(temp_file) image=$test_dir/image
make_pattern "$plain" 1M
encrypt_to_luks2 "$plain" "$good" --sector-size 4096

# expect_told WHICH: of this copy of the header of $image.
expect_told() {
    local before

    before=$(sha256_of "$image")
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_image "$plain" "$uri"
    stop_nbdcrypt
    expect_message "$server_log" "nbdcrypt: image '$image': the $1 copy of the LUKS2 header is damaged; the other one is used (\`cryptsetup repair\` mends it)"
    expect_success info "$image"
    expect_match "$out" "^Header: +in the image; its $1 copy is damaged"
    expect_success info --json "$image"
    expect_match "$out" "\"damaged-header-copy\": *\"$1\""
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
}

for which in primary:5000 secondary:21384 primary:0 secondary:16384 primary:100 secondary:16484; do
    cp "$good" "$image"
    python -c 'import luks_image, sys; luks_image.damage(sys.argv[1], int(sys.argv[2]))' "$image" "${which#*:}"
    expect_told "${which%:*}"
done
for which in primary:0 secondary:16384; do
    for text in '{' '[]' '{}'; do
        cp "$good" "$image"
        python - "$image" "${which#*:}" "$text" <<'END'
import hashlib
import sys

path, at, text = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
with open(path, "r+b") as file:
    file.seek(at)
    copy = bytearray(file.read(16384))
    copy[4096:] = text.ljust(16384 - 4096, b"\0")
    copy[448:512] = bytes(64)
    copy[448:480] = hashlib.sha256(copy).digest()
    file.seek(at)
    file.write(copy)
END
        expect_told "${which%:*}"
    done
    # The next change mends it, with a word.
    run_nbdcrypt key add --key-file "$passphrase" --new-key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$image"
    expect_equal "status of key add" 0 "$status"
    expect_message "$err" "nbdcrypt: image '$image': the ${which%:*} copy of the LUKS2 header is damaged; a change replaces it by the other one"
    expect_success info "$image"
    expect_match "$out" '^Header: +in the image$'
done
