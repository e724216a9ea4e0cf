#!/bin/bash
# A LUKS1 volume with cryptsetup's header reads as what was put in.
. "$(dirname "$0")/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version
plain=$(temp_file) image=$(temp_file)
make_pattern "$plain" 4M
encrypt_to_luks1 "$plain" "$image"
before=$(sha256_of "$image")
start_nbdcrypt --key-file "$passphrase" "$image"
expect_image "$plain" "$uri"
stop_nbdcrypt
expect_equal "checksum of the image after reading" "$before" "$(sha256_of "$image")"
