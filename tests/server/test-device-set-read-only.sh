#!/bin/bash
# A block device that is set read-only is refused for writing, by each command, and served with --read-only.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/loop-devices.sh"

requires blockdev --version
fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
file=$(temp_file) second=$(temp_file)
printf second >"$second"
truncate --size=24M "$file"
expect_success format "${fast[@]}" "$file"
new_loop "$file"
blockdev --setro "$loop"
before=$(sha256_of "$file")
refusal="it can't be opened for writing: the device is set read-only (blockdev --setrw); --read-only serves it without"
while read -r -a command; do
    expect_failure 1 "image '$loop': $refusal" "${command[@]}"
done <<END
serve --raw --unix $(temp_socket) $loop
serve --key-file $passphrase --unix $(temp_socket) $loop
format --force ${fast[*]} $loop
key add ${fast[*]} --new-key-file $second $loop
erase --yes $loop
END
expect_equal "the file" "$before" "$(sha256_of "$file")"
start_nbdcrypt --key-file "$passphrase" --read-only "$loop"
expect_equal "is it read-only?" True "$(nbdinfo --json "$uri" | python -c '
import json, sys
print(json.load(sys.stdin)["exports"][0]["is_read_only"])')"
stop_nbdcrypt
