#!/bin/bash
# A LUKS2 volume with 2048-byte sectors that cryptsetup encrypted reads as what was put in.
. "$(dirname "$0")/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version
plain=$(temp_file) image=$(temp_file)
make_pattern "$plain" 4M
encrypt_to_luks2 "$plain" "$image" --sector-size 2048
before=$(sha256_of "$image")
start_nbdcrypt --key-file "$passphrase" "$image"
expect_image "$plain" "$uri"
stop_nbdcrypt
expect_equal "checksum of the image after reading" "$before" "$(sha256_of "$image")"
