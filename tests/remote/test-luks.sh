#!/bin/bash
# LUKS volumes on a remote disk: formatted there, opened by cryptsetup behind it, read and written by us as by QEMU's
# own driver; and nothing but ciphertext arrives there.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires nbdkit file --dump-plugin
requires cryptsetup --version
requires qemu-img --version

disk=$(temp_file) plain=$(temp_file)
make_pattern "$plain" 8M

# Formatted by us over NBD, checked by cryptsetup in the file.
truncate --size=24M "$disk"
new_remote
start_remote nbdkit --foreground --unix "$remote_socket" file "$disk"
expect_success format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$remote"
cryptsetup --disable-locks open --test-passphrase --key-file "$passphrase" "$disk"
run_nbdcrypt info "$remote"
expect_equal "status of info" 0 "$status"
run_nbdcrypt format --key-file "$passphrase" "$remote"
expect_equal "status of a second format" 1 "$status"
expect_match "$err" 'is not empty'
start_nbdcrypt --key-file "$passphrase" --threads 2 "$remote"
nbdcopy "$plain" "$uri"
expect_image "$plain" "$uri"
stop_nbdcrypt
# From the file, without the network.
start_nbdcrypt --key-file "$passphrase" --read-only "$disk"
expect_image "$plain" "$uri"
stop_nbdcrypt
kill_remote
head -c 64 "$plain" >"$test_dir/marker"
python - "$disk" "$test_dir/marker" <<'PYTHON_END'
import sys

if open(sys.argv[2], "rb").read() in open(sys.argv[1], "rb").read():
    raise AssertionError("plaintext arrived at the remote server")
PYTHON_END

# Encrypted by cryptsetup, read over NBD; keys are changed over another connection while it is served and read.
encrypt_to_luks2 "$plain" "$disk" --sector-size 4096
start_remote nbdkit --foreground --unix "$remote_socket" file "$disk"
start_nbdcrypt --key-file "$passphrase" "$remote"
expect_image "$plain" "$uri"
new_key=$(temp_file)
printf 'a walrus on a bicycle' >"$new_key"
"$PYTHON" "$source_dir/tests/remote/luks.py" "$uri" "$plain" "$test_dir/changed" </dev/null &
reader=$!
remember_pid "$reader"
expect_success key change --key-file "$passphrase" --new-key-file "$new_key" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$remote"
kill -0 "$reader" || fail "the reader did not go on"
: >"$test_dir/changed"
wait "$reader" || fail "the reader saw the change of a key"
stop_nbdcrypt
run_nbdcrypt key test --key-file "$passphrase" "$remote"
expect_equal "status with the old key" 1 "$status"
cryptsetup --disable-locks open --test-passphrase --key-file "$new_key" "$disk"
kill_remote

# Written over NBD, read by QEMU's own driver.
other=$(temp_file)
make_pattern "$other" 8M 2
encrypt_to_luks1 "$plain" "$disk"
start_remote nbdkit --foreground --unix "$remote_socket" file "$disk"
start_nbdcrypt --key-file "$passphrase" "$remote"
expect_image "$plain" "$uri"
nbdcopy "$other" "$uri"
stop_nbdcrypt
kill_remote
expect_same_for_qemu_luks "$other" "$disk"
