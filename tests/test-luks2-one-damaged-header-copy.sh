#!/bin/bash
# One damaged copy of a LUKS2 header, the first or the second, is no obstacle: the other one is used, a warning says so,
# and the image is left as it is.
. "$(dirname "$0")/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version

plain=$(temp_file) good=$(temp_file) image=$test_dir/image
make_pattern "$plain" 1M
encrypt_to_luks2 "$plain" "$good" --sector-size 4096
for which in primary:5000 secondary:21384 primary:0 secondary:16384 primary:100 secondary:16484; do
    cp "$good" "$image"
    python -c 'import luks_image, sys; luks_image.damage(sys.argv[1], int(sys.argv[2]))' "$image" "${which#*:}"
    before=$(sha256_of "$image")
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_image "$plain" "$uri"
    stop_nbdcrypt
    expect_message "$server_log" "nbdcrypt: image '$image': the ${which%:*} copy of the LUKS2 header is damaged; the other one is used (\`cryptsetup repair\` mends it)"
    expect_success info "$image"
    expect_match "$out" "^Header: +in the image; its ${which%:*} copy is damaged"
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
done
