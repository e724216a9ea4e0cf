#!/bin/bash
# A block device that is in use is left alone, by whatever node it is named: mounted, or served.  --force does not
# change that, --force-in-use does.  Keys are changed beside a server all the same.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/loop-devices.sh"

requires command -v mkfs.ext4
requires nbdinfo --version

fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
second=$(temp_file) backup=$test_dir/backup volume=$test_dir/volume
printf second >"$second"
expect_success format "${fast[@]}" --size 1M "$volume"
expect_success header backup "$volume" "$backup"

# ---- mounted ----
file=$(temp_file)
truncate --size=40M "$file"
new_loop "$file"
other=$(second_node "$(numbers_of "$loop")")
mkfs.ext4 -q "$loop"
mount_device "$loop"
echo 'a letter' >"$mounted/letter"
sync --file-system "$mounted/letter"
is_mounted="it is mounted on $mounted; unmount it first, or give --force-in-use"
while read -r image command; do
    read -r -a words <<<"$command"
    expect_failure 1 "image '$image': $is_mounted" "${words[@]}"
done <<END
$loop serve --raw --unix $(temp_socket) $loop
$loop serve --raw --unix $(temp_socket) --export a=$loop
$other serve --raw --unix $(temp_socket) $other
$loop serve --raw --read-only --unix $(temp_socket) $loop
$loop format --force ${fast[*]} $loop
$other header restore --force $other $backup
END
start_nbdcrypt --raw --read-only --force-in-use "$loop"
expect_equal "what the server says" "nbdcrypt: '$loop': $is_mounted; going on (--force-in-use)" "$(cat "$server_log")"
expect_alive
stop_nbdcrypt
umount "$mounted"
mount_device "$loop"
expect_equal "what is on it" 'a letter' "$(cat "$mounted/letter")"
umount "$mounted"

# ---- served ----
image=$loop
expect_success format --force "${fast[@]}" "$image"
start_nbdcrypt --key-file "$passphrase" "$image"
expect_failure 1 "image '$other': $device_in_use" serve --unix "$(temp_socket)" --key-file "$passphrase" "$other"
expect_failure 1 "image '$other': $device_in_use" \
    serve --unix "$(temp_socket)" --key-file "$passphrase" --read-only "$other"
expect_failure 1 "image '$other': $device_in_use" erase --yes "$other"
expect_failure 1 "image '$other': $device_in_use" header restore --force "$other" "$backup"
expect_failure 1 "image '$other': $device_in_use" key add "${fast[@]}" --new-key-file "$second" "$other"
expect_failure 1 "image '$image': another program has it open for use (is it being served already?); end that first" \
    erase --yes "$image"
if mount "$image" "$(temp_dir)" 2>"$log_dir/mount"; then fail "the kernel mounted what is being served"; fi
expect_success key add "${fast[@]}" --new-key-file "$second" "$image"
expect_alive
stop_nbdcrypt
expect_success key test --key-file "$second" "$image"
start_nbdcrypt --key-file "$second" --read-only "$image"
start_nbdcrypt --key-file "$second" --read-only "$other"
expect_success key remove --slot 0 "$image"
stop_nbdcrypt

