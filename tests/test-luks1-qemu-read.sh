#!/bin/bash
# A volume that QEMU made (LUKS1, payload not aligned to 4096 bytes) reads as what was put in.
. "$(dirname "$0")/functions.sh"

requires nbdcopy --version
requires qemu-img --version
plain=$(temp_file) image=$(temp_file)
make_pattern "$plain" 4M
encrypt_to_qemu_luks "$plain" "$image"
before=$(sha256_of "$image")
start_nbdcrypt --key-file "$passphrase" "$image"
expect_image "$plain" "$uri"
stop_nbdcrypt
expect_equal "checksum of the image after reading" "$before" "$(sha256_of "$image")"
