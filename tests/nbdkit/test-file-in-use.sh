#!/bin/bash
# A disk that is given to nbdkit's own plugins by name is locked as if it were named without one: served by one or the
# other, never by both; keys are changed beside it.
. "$(dirname "$0")/../support/functions.sh"

requires nbdkit file --version
requires nbdkit split --version
requires nbdkit partitioning --version
requires nbdinfo --version

fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
disk=$test_dir/disk second=$(temp_file) script=$(temp_file)
printf second >"$second"
expect_success format "${fast[@]}" --size 1M "$disk"
in_use="another program has it open for use (is it being served already?); end that first"

start_nbdcrypt --key-file "$passphrase" "$disk"
for image in "nbdkit:file?file=$disk" "nbdkit:file?$disk" "nbdkit:split?file=$disk" "nbdkit:partitioning?file=$disk"; do
    expect_failure 1 "image '$image': the plugin's file '$disk': $in_use" serve --raw --unix "$(temp_socket)" "$image"
done
expect_failure 1 "image 'nbdkit:file?$disk': the plugin's file '$disk': $in_use" erase --yes "nbdkit:file?$disk"
expect_success key add "${fast[@]}" --new-key-file "$second" "nbdkit:file?$disk"
stop_nbdcrypt

start_nbdcrypt --key-file "$passphrase" "nbdkit:file?file=$disk"
expect_failure 1 "image '$disk': $in_use" serve --unix "$(temp_socket)" --key-file "$passphrase" "$disk"
expect_failure 1 "image '$disk': $in_use" format --force "${fast[@]}" "$disk"
expect_success key remove --slot 1 "$disk"
expect_alive
stop_nbdcrypt

# Readers share it, and a plugin that must not write.
start_nbdcrypt --raw --read-only "nbdkit:file?file=$disk"
start_nbdcrypt --raw --read-only "$disk"
stop_nbdcrypt

# What is no disk is as free as ever.
cat >"$script" <<'END'
case $1 in
get_size) echo 1M ;;
pread) head --bytes="$3" /dev/zero ;;
*) exit 2 ;;
esac
END
chmod +x "$script"
start_nbdcrypt --raw --export "a=nbdkit:sh?script=$script" --export "b=nbdkit:sh?script=$script"
stop_nbdcrypt
