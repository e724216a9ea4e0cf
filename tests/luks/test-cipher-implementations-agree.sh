#!/bin/bash
# What one implementation of the cipher writes, the others read; NBDCRYPT_CIPHER forces one, and the log and
# `nbdcrypt info` name the one in use.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
unset NBDCRYPT_CIPHER
plain=$(temp_file) image=$(temp_file)
make_pattern "$plain" 3M 1
encrypt_to_luks2 "$plain" "$image" --sector-size 512

available=()
for name in vaes-avx512 vaes-avx2 gnutls gcrypt; do
    NBDCRYPT_CIPHER=$name run_nbdcrypt info "$image"
    if grep -qxF "Implementation:  $name" "$out"; then
        available+=("$name")
    fi
done
note "this machine has: ${available[*]}"
expect_match <(echo "${available[*]}") 'gnutls gcrypt$'

expect_success info "$image"
expect_message "$out" "Implementation:  ${available[0]}"
expect_success info --json "$image"
expect_match "$out" "\"cipher-implementation\": ?\"${available[0]}\""

seed=1
for writer in "${available[@]}"; do
    seed=$((seed + 1))
    make_pattern "$plain" 3M $seed
    NBDCRYPT_CIPHER=$writer start_nbdcrypt --verbose --key-file "$passphrase" "$image"
    expect_message "$server_log" "nbdcrypt: export '': aes-xts-plain64, 512-bit key, $writer"
    nbdcopy --flush "$plain" "$uri"
    stop_nbdcrypt
    for reader in "${available[@]}"; do
        NBDCRYPT_CIPHER=$reader start_nbdcrypt --key-file "$passphrase" "$image"
        nbdcopy "$uri" - | cmp - "$plain" || fail "$reader reads something else than $writer wrote"
        stop_nbdcrypt
    done
done

list=$(printf ', %s' "${available[@]}")
NBDCRYPT_CIPHER=rot13 expect_failure 1 "image '$image': NBDCRYPT_CIPHER is 'rot13', but what this machine has for \
aes-xts-plain64 with 512 bits is: ${list#, }" serve --unix "$(temp_socket)" --key-file "$passphrase" "$image"
NBDCRYPT_CIPHER=rot13 expect_success info --json "$image"
expect_match "$out" '"cipher-implementation": ?null'
