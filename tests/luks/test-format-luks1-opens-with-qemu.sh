#!/bin/bash
# A LUKS1 volume that `nbdcrypt format` makes opens with cryptsetup and with QEMU's own driver, which reads what was
# written through us.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version
plain=$(temp_file)
make_pattern "$plain" 4M
for key_bits in 256 512; do
    image=$test_dir/volume-$key_bits
    expect_success format --key-file "$passphrase" --type luks1 --size 4M --key-bits "$key_bits" \
        --pbkdf-iterations 1000 "$image"
    cryptsetup luksDump --disable-locks "$image" >"$test_dir/dump"
    expect_match "$test_dir/dump" '^Version:[[:space:]]+1$'
    expect_match "$test_dir/dump" '^Cipher mode:[[:space:]]+xts-plain64$'
    expect_match "$test_dir/dump" "^MK bits:[[:space:]]+$key_bits\$"
    cryptsetup_quietly open --test-passphrase "$image"
    start_nbdcrypt --key-file "$passphrase" "$image"
    nbdcopy --flush "$plain" "$uri"
    stop_nbdcrypt
    expect_same_for_qemu_luks "$plain" "$image"
done
