#!/bin/bash
# A file and the loop device that it is behind are not used at the same time, whoever came first.  Different parts of
# one file, by a loop device each, are.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/loop-devices.sh"

requires command -v mkfs.ext4
fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
file=$(temp_file) second=$(temp_file) backup=$test_dir/backup
printf second >"$second"
truncate --size=24M "$file"
expect_success format "${fast[@]}" "$file"
expect_success header backup "$file" "$backup"

# The file, while there is the device; what is on that does not matter.
new_loop "$file"
other=$(second_node "$(numbers_of "$loop")")
behind() {
    echo "it is the file behind $loop; name that instead, detach it first (losetup --detach $loop), or give --force-in-use"
}
before=$(sha256_of "$file")
while read -r -a command; do
    expect_failure 1 "image '$file': $(behind)" "${command[@]}"
done <<END
serve --raw --unix $(temp_socket) $file
serve --raw --read-only --unix $(temp_socket) $file
format --force ${fast[*]} $file
erase --yes $file
header restore --force $file $backup
key add ${fast[*]} --new-key-file $second $file
END
expect_equal "the file" "$before" "$(sha256_of "$file")"
start_nbdcrypt --raw --force-in-use "$file"
expect_equal "what the server says" "nbdcrypt: '$file': $(behind); going on (--force-in-use)" "$(cat "$server_log")"
stop_nbdcrypt

# The device, while the file is served; and the file, while the device is.
drop_loop "$loop"
start_nbdcrypt --key-file "$passphrase" "$file"
new_loop "$file"
other=$(second_node "$(numbers_of "$loop")")
in_use="another program has the file behind it open; end that first"
for image in "$loop" "$other"; do
    expect_failure 1 "image '$image': $in_use" serve --unix "$(temp_socket)" --key-file "$passphrase" "$image"
    expect_failure 1 "image '$image': $in_use" key add "${fast[@]}" --new-key-file "$second" "$image"
done
stop_nbdcrypt
start_nbdcrypt --key-file "$passphrase" "$loop"
expect_failure 1 "image '$file': another program has it open for use (is it being served already?); end that first" \
    serve --unix "$(temp_socket)" --key-file "$passphrase" "$file"
expect_success key add "${fast[@]}" --new-key-file "$second" "$loop" # by the same name, as ever
stop_nbdcrypt
start_nbdcrypt --raw --export "a=$loop"
stop_nbdcrypt
drop_loop "$loop"

# Read-only devices are in nobody's way who reads.
new_loop "$file" --read-only
start_nbdcrypt --raw --read-only "$file"
stop_nbdcrypt
expect_failure 1 "image '$file': $(behind)" serve --raw --unix "$(temp_socket)" "$file"
drop_loop "$loop"

# Parts of a file.
new_loop "$file" --sizelimit 1M
first=$loop
new_loop "$file" --offset 1M
last=$loop
start_nbdcrypt --raw --export "a=$first" --export "b=$last"
stop_nbdcrypt
drop_loop "$first"
new_loop "$file" --sizelimit $(((1 << 20) + 4096)) # one block in common
start_nbdcrypt --raw "$last"
expect_failure 1 "image '$loop': $in_use" serve --raw --unix "$(temp_socket)" "$loop"
stop_nbdcrypt
drop_loop "$loop"
drop_loop "$last"

# A file that has lost its name is nobody else's.
new_loop "$file"
rm "$file"
start_nbdcrypt --raw "$loop"
stop_nbdcrypt
