#!/bin/bash
# A LUKS2 volume whose keyslots use Argon2 opens, by the second of two passphrases too.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version
plain=$(temp_file) image=$(temp_file) second=$(temp_file)
make_pattern "$plain" 1M
encrypt_to_luks2 "$plain" "$image"
printf 'another passphrase' >"$second"
cryptsetup_quietly luksAddKey --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32768 \
    --pbkdf-parallel 1 "$image" "$second"
cryptsetup luksDump --disable-locks "$image" | grep -q 'argon2id' || fail "the slot is not argon2id"
start_nbdcrypt --key-file "$second" "$image"
expect_image "$plain" "$uri"
stop_nbdcrypt
